"""The conservation laws: what must add up in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from herd.analysis.summary import seen

if TYPE_CHECKING:
    from herd.recording.read import Recording


def check(recording: Recording) -> dict[str, Any]:
    """Check every law.

    :returns: ``ok``, ``events_lost``, ``listen_overflows``, ``listen_drops`` and ``checks``, a list of
        ``name``, ``ok`` (``None``: can't be told without a probe) and ``detail``
    """
    run = recording.run
    overflows = _grown(run, "ListenOverflows")
    drops = _grown(run, "ListenDrops")
    lost = run["probe"]["lost"]
    checks = [
        _complete(run),
        _connections(recording),
        _accounts(recording),
        _outcomes(recording),
        _nothing_lost(run),
        _law("no listener turned a connection away", not overflows and not drops,
             f"ListenOverflows +{overflows}, ListenDrops +{drops} in this network namespace"),
        _processes(run),
    ]  # fmt: skip
    return {
        "ok": all(c["ok"] is not False for c in checks),
        "events_lost": lost,
        "listen_overflows": overflows,
        "listen_drops": drops,
        "checks": checks,
    }


def _law(name: str, ok: bool | None, detail: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail}


def _grown(run: dict[str, Any], counter: str) -> int:
    return int(run["counters"]["after"][counter] - run["counters"]["before"][counter])


def _complete(run: dict[str, Any]) -> dict[str, Any]:
    return _law("the run came to its end", run["complete"], run["ended_by"] or "all was sent")


def _connections(recording: Recording) -> dict[str, Any]:
    attempted = recording.run["load"]["attempted"]
    errors = recording.connections["error"].value_counts()
    counted = ", ".join(f"{n} {name}" for name, n in errors.items() if n)
    unfinished = attempted - len(recording.connections)
    detail = f"{attempted} attempted, failed: {counted or 'none'}"
    if unfinished:
        detail += f", {unfinished} unfinished"
    return _law("every connection was answered", not counted and not unfinished, detail)


def _accounts(recording: Recording) -> dict[str, Any]:
    """Client, kernel and workers count separately; they must agree."""
    counts = {
        "established": int(recording.connections["established_ns"].notna().sum()),
        "accepts of the workers": int(recording.workers["accepts"].sum()),
    }
    if seen(recording):
        counts["arrivals"] = len(recording.arrivals)
        counts["accepts in the kernel"] = len(recording.accepts)
        counts["accepts joined to an arrival"] = int(recording.accepts["arrival"].nunique())
    detail = ", ".join(f"{name} {count}" for name, count in counts.items())
    name = "established = arrivals = accepts" if seen(recording) else "established = accepts"
    return _law(name, len(set(counts.values())) == 1, detail)


def _outcomes(recording: Recording) -> dict[str, Any]:
    name = "wakeups = productive + wasted"
    if not seen(recording):
        return _law(name, None, "wakeups are unknown without a probe")
    wakeups = recording.wakeups
    caused = wakeups[wakeups["cause"] == "arrival"]
    undecided = int(caused["outcome"].isna().sum())
    productive = int((caused["outcome"] == "productive").sum())
    wasted = len(caused) - productive - undecided
    detail = f"{len(caused)} = {productive} + {wasted}"
    return _law(name, not undecided, detail + (f", {undecided} undecided" if undecided else ""))


def _nothing_lost(run: dict[str, Any]) -> dict[str, Any]:
    probe = run["probe"]
    name = "no event was lost"
    if probe["mode"] == "none":
        return _law(name, None, "no probe")
    if probe["lost"] is None:
        return _law(name, False, "unknown: the probe process did not come to its end")
    detail = f"{probe['produced']} produced = {probe['kept']} kept + {probe['lost']} lost"
    return _law(name, not probe["lost"] and probe["produced"] == probe["kept"], detail)


def _processes(run: dict[str, Any]) -> dict[str, Any]:
    ended = run["pool"]["exit_status"]
    unwell = [f"worker {i}: {status}" for i, status in enumerate(ended) if status != 0]
    return _law("every worker ended as it was told", not unwell, "; ".join(unwell) or "all 0")
