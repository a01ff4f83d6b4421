"""What changed between two recordings, or two sets of repeats: config, environment, each figure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from herd.analysis import statistics
from herd.analysis.samples import SAMPLES
from herd.analysis.statistics import Interval
from herd.analysis.words import title
from herd.errors import UsageError
from herd.nested import flat
from herd.recording.read import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHANGED: Final = "changed"
SAME: Final = "no change seen"
UNTOLD: Final = "can't tell"
_VERDICTS: Final = (CHANGED, UNTOLD, SAME)
#: Means of equal values may differ so much, relative to them.
_ROUNDING: Final = 1e-9
#: With fewer the percentile bootstrap's intervals are too narrow.
_FEW_RUNS: Final = 5
#: Differ from run to run by themselves.
_OWN_CONFIG: Final = ("output", "seed", "timeout_s")
_OWN_HOST: Final = ("clock", "load_average")


@dataclass(frozen=True)
class Metric:
    """A figure of a run.

    :param figure: of a summary; ``None`` where it is unknown
    :param sample: a key of :data:`~herd.analysis.samples.SAMPLES`: what it is a figure of; ``None``: of all
    :param quantile: which of the sample; ``None``: its mean
    """

    name: str
    unit: str
    figure: Callable[[Mapping[str, Any]], float | None]
    sample: str | None = None
    quantile: float | None = None


def _each(count: str) -> Callable[[Mapping[str, Any]], float | None]:
    def figure(summary: Mapping[str, Any]) -> float | None:
        total, accepts = summary["wakeups"][count], summary["accepts"]
        return total / accepts if accepts and total is not None else None

    return figure


def _latency(key: str, quantile: str) -> Callable[[Mapping[str, Any]], float | None]:
    return lambda summary: (summary["latency_us"][key] or {}).get(quantile)


METRICS: Final = (
    Metric("wakeups/connection", "", _each("total"), "wakeups"),
    Metric("wasted in kernel/connection", "", _each("wasted_in_kernel"), "wasted_in_kernel"),
    Metric("wasted in user/connection", "", _each("wasted_in_user"), "wasted_in_user"),
    Metric("fairness (Jain)", "", lambda summary: summary["fairness"]["jain"]),
    *(
        Metric(f"{words} {name}", "µs", _latency(key, name), key, quantile)
        for key, words in {
            "queue_delay": "queue delay",
            "wake_latency": "wake latency",
            "connect": "connect",
            "first_byte": "first byte",
        }.items()
        for name, quantile in {"p50": 0.5, "p99": 0.99}.items()
    ),
    Metric("CPU/connection", "µs", lambda summary: summary["cost"]["cpu_us_per_connection"]),
    Metric("switches/connection", "", lambda summary: summary["cost"]["switches_per_connection"]),
)


@dataclass(frozen=True)
class Change:
    """What became of a metric.

    :param before: with ``after``: the figure of a run, or the mean of the repeats' figures
    :param absolute: after less before, and where that lies; ``None`` where one of them is unknown
    :param relative: after ÷ before - 1, likewise, and where ``before`` is zero
    :param verdict: :data:`CHANGED`, :data:`SAME` or :data:`UNTOLD`
    :param why: it can't be told
    """

    metric: Metric
    before: float | None
    after: float | None
    absolute: Interval | None = None
    relative: Interval | None = None
    verdict: str = UNTOLD
    why: str | None = None

    @property
    def effect(self) -> float:
        """How many times larger or smaller it became, as a logarithm; 0 is no change."""
        if not self.before or not self.after:
            return np.inf if (self.before or 0) != (self.after or 0) else 0.0
        return abs(float(np.log(self.after / self.before)))


class Side:
    """One recording, or the repeats of one config.

    :param path: a recording, or a folder of recordings
    :raises UsageError: there is none, or they are of several configs
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        alone = (path / "run.json").is_file() or not path.is_dir()
        folders = [path] if alone else sorted(file.parent for file in path.glob("*/run.json"))
        if not folders:
            raise UsageError(f"{path} is neither a recording nor a folder of recordings")
        self.recordings = [load(folder) for folder in folders]
        self.run = self.recordings[0].run
        self._refuse_several_configs()

    def _refuse_several_configs(self) -> None:
        for other in self.recordings[1:]:
            different = differing(_config(self.run), _config(other.run))
            if different:
                raise UsageError(
                    f"{self.path} holds recordings of several configs: {', '.join(different)} differ"
                    f" between {self.recordings[0].path.name} and {other.path.name}",
                    "name one of its recordings, or a folder with repeats of one config",
                )

    @property
    def repeats(self) -> bool:
        """Whether there is more than one run."""
        return len(self.recordings) > 1

    def figures(self, metric: Metric) -> list[float] | None:
        """That of each run; ``None`` where one doesn't know it."""
        found = [metric.figure(recording.summary) for recording in self.recordings]
        known = [value for value in found if value is not None]
        return known if len(known) == len(found) else None


@dataclass(frozen=True)
class Diff:
    """What changed.

    :param config: key → before and after, of those that differ; likewise ``environment``
    :param changes: of each metric, the largest first
    :param over: what the intervals are over: "runs" or "connections"
    :param notes: what a reader must know
    """

    before: Side
    after: Side
    config: dict[str, tuple[Any, Any]]
    environment: dict[str, tuple[Any, Any]]
    changes: list[Change]
    over: str
    notes: list[str]


def diff(before: Path, after: Path) -> Diff:
    """Compare what lies in two folders.

    :raises UsageError: one is neither a recording nor a folder with repeats of one config
    """
    sides = Side(before), Side(after)
    over = "runs" if any(side.repeats for side in sides) else "connections"
    change = _over_runs if over == "runs" else _over_connections(*sides)
    changes = [_change(metric, *sides, change) for metric in METRICS]
    changes.sort(key=lambda found: (_VERDICTS.index(found.verdict), -found.effect))
    config, environment = (
        differing(*(part(side.run) for side in sides)) for part in (_config, _environment)
    )
    notes = list(_notes(*sides, over, len(changes)))
    return Diff(*sides, config, environment, changes, over, notes)


def _config(run: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flat(run["config"]).items() if key not in _OWN_CONFIG}


def _environment(run: Mapping[str, Any]) -> dict[str, Any]:
    return flat({k: v for k, v in run["host"].items() if k not in _OWN_HOST})


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ; a value that isn't there is ``None``."""
    keys = dict.fromkeys((*before, *after))
    both = {key: (before.get(key), after.get(key)) for key in keys}
    return {key: (first, second) for key, (first, second) in both.items() if first != second}


_Compare = Callable[[Metric, list[float], list[float]], tuple[Interval, Interval | None]]


def _change(metric: Metric, before: Side, after: Side, compare: _Compare) -> Change:
    first, second = before.figures(metric), after.figures(metric)
    if first is None or second is None:
        why = f"unknown {_where(first, second)}"
        return Change(metric, _mean(first), _mean(second), why=why)
    absolute, relative = compare(metric, first, second)
    verdict, reason = _verdict(metric, absolute, before, after)
    return Change(metric, _mean(first), _mean(second), absolute, relative, verdict, reason)


def _mean(values: list[float] | None) -> float | None:
    return None if values is None else float(np.mean(values))


def _where(before: Any, after: Any) -> str:
    return " and ".join(
        name for name, value in (("before", before), ("after", after)) if value is None
    )


def _verdict(
    metric: Metric, absolute: Interval, before: Side, after: Side
) -> tuple[str, str | None]:
    if metric.unit and not (_comparable(before) and _comparable(after)):
        return UNTOLD, "an emulated kernel's times are not comparable"
    if absolute.low is None:
        return UNTOLD, "one figure a run: repeat the runs"
    negligible = _ROUNDING * sum(abs(_mean(side.figures(metric)) or 0) for side in (before, after))
    return (SAME, None) if absolute.overlaps(-negligible, negligible) else (CHANGED, None)


def _comparable(side: Side) -> bool:
    return all(r.run["host"].get("latencies_comparable", True) for r in side.recordings)


def _over_runs(
    _metric: Metric, before: list[float], after: list[float]
) -> tuple[Interval, Interval | None]:
    ratio = statistics.ratio(before, after) if min(before) > 0 else None
    return statistics.difference(before, after), _less_one(ratio)


def _less_one(ratio: Interval | None) -> Interval | None:
    if ratio is None:
        return None
    low, high = (None if end is None else end - 1 for end in (ratio.low, ratio.high))
    return Interval(ratio.estimate - 1, low, high, ratio.count)


def _over_connections(before: Side, after: Side) -> _Compare:
    """Compares by the connections of one run each; a table is read once for its metrics."""

    @cache
    def sample(side: Side, name: str) -> NDArray[Any]:
        return np.sort(SAMPLES[name](side.recordings[0]))

    def compare(
        metric: Metric, first: list[float], second: list[float]
    ) -> tuple[Interval, Interval | None]:
        samples = [sample(side, metric.sample) for side in (before, after) if metric.sample]
        draws = [
            statistics.resampled(values, metric.quantile, seed)
            for seed, values in enumerate(samples, 1)
        ]
        count = min(map(len, samples), default=1)
        change = statistics.between(second[0] - first[0], count, *draws, how=np.subtract)
        if first[0] <= 0:
            return change, None
        ratio = statistics.between(second[0] / first[0], count, *draws, how=np.divide)
        return change, _less_one(ratio)

    return compare


def _notes(before: Side, after: Side, over: str, metrics: int) -> Iterator[str]:
    if over == "connections":
        yield (
            "the intervals are over the connections (of wake latency: the wakeups) of one run each: they"
            " don't cover how runs of one config differ; compare folders with repeats for that"
        )
    elif min(len(side.recordings) for side in (before, after)) < _FEW_RUNS:
        yield f"with fewer than {_FEW_RUNS} runs a side, intervals are narrower than they should be"
    sure = f"{metrics} metrics at {statistics.CONFIDENCE:.0%}"
    yield f"{sure}: about one in twenty that didn't change seems to have"
    counts = [side.run["config"]["workers"] for side in (before, after)]
    if counts[0] != counts[1]:
        yield f"{counts[0]} workers before and {counts[1]} after: what grows with them isn't comparable"
    for side in (before, after):
        for recording in side.recordings:
            if not recording.run["integrity"]["ok"]:
                yield f"{recording.path} is not sound; herd report says why"


def as_json(found: Diff) -> dict[str, Any]:
    """What ``herd diff --json`` prints."""
    return {
        "before": _side(found.before),
        "after": _side(found.after),
        "config": _pairs(found.config),
        "environment": _pairs(found.environment),
        "intervals_over": found.over,
        "confidence": statistics.CONFIDENCE,
        "metrics": [_row(change) for change in found.changes],
        "notes": found.notes,
    }


def _side(side: Side) -> dict[str, Any]:
    return {"title": title(side.run), "runs": [str(r.path) for r in side.recordings]}


def _pairs(values: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {key: {"before": first, "after": second} for key, (first, second) in values.items()}


def _row(change: Change) -> dict[str, Any]:
    return {
        "name": change.metric.name,
        "unit": change.metric.unit or None,
        "before": change.before,
        "after": change.after,
        "absolute": _interval(change.absolute),
        "relative": _interval(change.relative),
        "verdict": change.verdict,
        "why": change.why,
    }


def _interval(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high}
