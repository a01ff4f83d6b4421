"""Is it worth fixing? What wasted wakeups cost a server, and not just that they are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from herd.analysis.metrics import wasted_cpu_ns

if TYPE_CHECKING:
    from herd.recording.read import Recording

FINE: Final = "fine"
KNOW: Final = "worth knowing"
FIX: Final = "worth fixing"

#: A busy worker is not woken and an overlap wakes two: up to here nobody would call it a herd.
_HERD: Final = 1.5
#: Workers that hardly ever sleep are hardly ever woken.
_AWAKE: Final = 0.5
#: Of one CPU, spent in wakeups that brought nothing.
_EXPENSIVE: Final = 0.01
#: One worker takes this share, where there are several.
_LOPSIDED: Final = 0.8


@dataclass(frozen=True)
class Verdict:
    """:param level: one of :data:`FINE`, :data:`KNOW`, :data:`FIX`"""

    level: str
    text: str


def judge(recording: Recording, summary: dict[str, Any]) -> Verdict:
    """The verdict on an observed server.

    :param summary: its figures, as :func:`herd.analysis.summary.summarise` has them
    """
    if summary["wakeups"]["total"] is None:
        return Verdict(KNOW, "wakeups are unknown: no probe could be attached")
    if not summary["arrivals"]:
        return _unvisited(recording.run)
    return _visited(recording, summary)


def _unvisited(run: dict[str, Any]) -> Verdict:
    expected = run["prediction"]["expected"]
    text = f"no connection came in {_seconds(run):.3g} s"
    if expected is None:
        return Verdict(FINE, text)
    text += f"; by the wait queue, the next one would wake {expected:.0f}"
    return Verdict(KNOW if expected > _HERD else FINE, text)


def _visited(recording: Recording, summary: dict[str, Any]) -> Verdict:
    each = summary["wakeups"]["per_connection"]
    share = wasted_cpu_share(recording)
    figures = _figures(summary, share, _seconds(recording.run))
    advice = recording.run["observed"]["advice"]
    if each is None:
        return Verdict(KNOW, f"{figures}: connections came, and none was accepted")
    if each >= _HERD:
        level = FIX if share >= _EXPENSIVE else KNOW
        why = (
            "worth fixing if CPU or the latency of an idle server matters"
            if level == FIX
            else "a herd, but a cheap one at this rate"
        )
        return Verdict(level, "; ".join(filter(None, [f"{figures}: {why}", advice])))
    return _no_herd(figures, each, _busiest(recording), advice)


def _no_herd(figures: str, each: float, busiest: float, advice: str | None) -> Verdict:
    if busiest >= _LOPSIDED:
        text = f"{figures}; one worker took {busiest:.0%} of the connections: no herd, but uneven"
        return Verdict(KNOW, text)
    text = f"{figures}: no herd"
    if each < _AWAKE:
        text = f"{figures}: its workers hardly sleep, so few are woken; look again when it is idle"
    if advice:
        return Verdict(KNOW, f"{text}; when it is idle, more would wake than needed: {advice}")
    return Verdict(FINE, text)


def _figures(summary: dict[str, Any], share: float, seconds: float) -> str:
    wakeups = summary["wakeups"]
    rate = summary["arrivals"] / seconds
    each = "unknown" if wakeups["per_connection"] is None else f"{wakeups['per_connection']:.2f}"
    wasted = wakeups["wasted"] / wakeups["total"] if wakeups["total"] else 0.0
    return (
        f"{each} wakeups per connection, {wasted:.0%} wasted, costing {share:.2%} of one CPU"
        f" at {rate:.3g} connections/s"
    )


def wasted_cpu_share(recording: Recording) -> float:
    """CPU time of the workers in wakeups that brought nothing ÷ time observed; 1 is one CPU.

    What the waker spends to wake them is not in it.
    """
    return wasted_cpu_ns(recording) / 1e9 / _seconds(recording.run)


def _seconds(run: dict[str, Any]) -> float:
    return max(1e-9, float(run["end_ns"] - run["begin_ns"]) / 1e9)


def _busiest(recording: Recording) -> float:
    """The largest share of the connections that one of several workers took; 0 for one worker alone."""
    accepts = recording.workers["accepts"].dropna()
    return float(accepts.max() / accepts.sum()) if len(accepts) > 1 and accepts.sum() else 0.0
