"""The conservation laws: what must add up in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from herd.analysis.summary import seen
from herd.recording.schema import SIGNAL_FUNCTION, WAKE_FUNCTIONS

if TYPE_CHECKING:
    from herd.recording.read import Recording


#: Functions that decide whether a wakeup is an arrival's.
_BRACKETS: Final = {
    "sock_def_readable",
    "inet_csk_accept",
    "__wake_up_common",
    SIGNAL_FUNCTION,
    *WAKE_FUNCTIONS,
}


def check(recording: Recording) -> dict[str, Any]:
    """Check every law.

    :returns: ``ok``, ``events_lost``, ``listen_overflows``, ``listen_drops`` and ``checks``, a list of
        ``name``, ``ok`` (``None``: can't be told without a probe) and ``detail``
    """
    run = recording.run
    overflows = _grown(run, "ListenOverflows")
    drops = _grown(run, "ListenDrops")
    lost = run["probe"]["lost"]
    turned_away = f"ListenOverflows +{overflows}, ListenDrops +{drops} in this network namespace"
    # Somebody else's server may turn connections away, or end: that is its affair, and told as a note.
    ours = not run.get("observed")
    checks = [
        _complete(run),
        *([_connections(recording), _accounts(recording)] if ours else [_queued(recording)]),
        _outcomes(recording),
        *_nothing_lost(run),
        *_calls(recording),
        *_agreement(recording),
    ]
    if ours:
        checks += [
            _law("no listener turned a connection away", not overflows and not drops, turned_away),
            _processes(run),
        ]
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
    counts = {"established": int(recording.connections["established_ns"].notna().sum())}
    if recording.run["pool"].get("logs", True):
        counts["accepts of the workers"] = int(recording.workers["accepts"].sum())
    if recording.workers["served"].notna().all():
        counts["served by the workers"] = int(recording.workers["served"].sum())
    if seen(recording):
        counts["arrivals"] = len(recording.arrivals)
        counts["accepts in the kernel"] = len(recording.accepts)
        counts["accepts joined to an arrival"] = int(recording.accepts["arrival"].nunique())
    detail = ", ".join(f"{name} {count}" for name, count in counts.items())
    name = "established = arrivals = accepts" if seen(recording) else "established = accepts"
    if len(counts) == 1:
        return _law(
            name, None, f"{detail}; accepts are unknown: no probe, and workers that keep no log"
        )
    return _law(name, len(set(counts.values())) == 1, detail)


def _queued(recording: Recording) -> dict[str, Any]:
    """What came in and was not taken is still queued; what was taken and didn't come in was queued before."""
    name = "arrivals - accepts = growth of the accept queues"
    queued = recording.run["observed"]["queued"]
    if not seen(recording) or None in queued.values():
        return _law(name, None, "the queues' lengths are not known")
    arrivals, accepts = len(recording.arrivals), len(recording.accepts)
    untaken = arrivals - int(recording.accepts["arrival"].nunique())
    unseen = int(recording.accepts["arrival"].isna().sum())
    detail = (
        f"{arrivals} arrivals, {accepts} accepts; {untaken} not accepted, {queued['after']} queued at the"
        f" end; {unseen} accepted that had come before, {queued['before']} queued then"
    )
    return _law(name, untaken <= queued["after"] and unseen <= queued["before"], detail)


def _outcomes(recording: Recording) -> dict[str, Any]:
    name = "wakeups = productive + wasted"
    if not seen(recording):
        return _law(name, None, "wakeups are unknown without a probe")
    caused = recording.caused
    undecided = int(caused["outcome"].isna().sum())
    productive = int((caused["outcome"] == "productive").sum())
    wasted = len(caused) - productive - undecided
    # A server goes on when we stop looking: each worker may be awake just then.
    awake = recording.run["config"]["workers"] if recording.run.get("observed") else 0
    detail = f"{len(caused)} = {productive} + {wasted}"
    detail += f", {undecided} undecided" if undecided else ""
    # The workers' table was counted as the events came, the other from what was kept of them.
    counted = int(recording.workers["wakeups"].sum())
    detail += f", counted by worker {counted}" if counted != len(caused) else ""
    return _law(name, undecided <= awake and counted == len(caused), detail)


def _nothing_lost(run: dict[str, Any]) -> list[dict[str, Any]]:
    if run["probe"]["mode"] == "none":
        return [_law("no event was lost", None, "no probe")]
    checks = [_lost(f"no event of {check['mode']} was lost", check) for check in run["checks"]]
    return [_lost("no event was lost", run["probe"]), *checks]


def _lost(name: str, probe: dict[str, Any]) -> dict[str, Any]:
    if probe["lost"] is None:
        return _law(name, False, "unknown: the probe process did not come to its end")
    detail = f"{probe['produced']} produced = {probe['kept']} kept + {probe['lost']} lost"
    return _law(name, not probe["lost"] and probe["produced"] == probe["kept"], detail)


def _calls(recording: Recording) -> list[dict[str, Any]]:
    """Function mode: every call returned, and the wake functions woke whom the scheduler saw woken."""
    counts = recording.run["probe"]["calls"]
    if not counts:
        return []
    waiting = recording.run["config"]["workers"]
    accepting = counts["inet_csk_accept"]
    open_calls = {
        name: c["entries"] - c["returns"]
        for name, c in counts.items()
        if name not in ("inet_csk_accept", "inet_csk_wait_for_connect")
    }
    # Every worker may be blocked in accept when the recording ends.
    unreturned = accepting["entries"] - accepting["returns"]
    bad = {name: left for name, left in open_calls.items() if left}
    missed = {name: c["missed"] for name, c in counts.items() if c["missed"]}
    detail = f"missed: {missed or 'none'}; {unreturned} of {waiting} workers are still in inet_csk_accept"
    # An interrupt inside a probe of the same function is missed; it is of no account where no wakeup is
    # bracketed by it: such a call is another socket's.
    returned = not bad and not missed.keys() & _BRACKETS and 0 <= unreturned <= waiting
    return [
        _law("every call returned", returned, detail + (f"; open: {bad}" if bad else "")),
        *_wakers(recording),
    ]


def _wakers(recording: Recording) -> list[dict[str, Any]]:
    """Who was woken through the wait queue, by a wake function; and who by a signal, without one."""
    calls = recording.calls
    wakeups = recording.wakeups[recording.wakeups["cause"] == "arrival"]
    signalled = wakeups["blocked_in"] == "signal"
    woke = int(((calls["result"] == 1) & calls["function"].isin(WAKE_FUNCTIONS)).sum())
    queued = int((~signalled).sum())
    laws = [_law("wakeups = wake functions that woke", woke == queued, f"{queued} = {woke}")]
    if signalled.any():
        arrivals = set(wakeups[signalled]["arrival"])
        told = set(calls[calls["function"] == SIGNAL_FUNCTION]["arrival"].dropna())
        detail = (
            f"{len(arrivals)} arrivals, {len(arrivals & told)} of them through {SIGNAL_FUNCTION}"
        )
        laws.append(_law("every signal is an arrival's", arrivals <= told, detail))
    return laws


def _agreement(recording: Recording) -> list[dict[str, Any]]:
    """Another probe, in the same run, counts the same; 1 % leaves room for what it can't tell apart."""
    return [_agrees(recording, check["mode"]) for check in recording.run["checks"]]


def _agrees(recording: Recording, mode: str) -> dict[str, Any]:
    ours = _counts(recording, "")
    theirs = _counts(recording, f"check-{mode}/")
    detail = ", ".join(f"{name} {ours[name]} = {theirs[name]}" for name in ours)
    ok = all(abs(ours[name] - theirs[name]) <= 0.01 * ours[name] for name in ours)
    return _law(f"{recording.run['probe']['mode']} and {mode} agree", ok, detail)


def _counts(recording: Recording, folder: str) -> dict[str, int]:
    wakeups = recording.table("wakeups", ["arrival", "outcome"], folder)
    caused = wakeups[wakeups["arrival"].notna()]
    return {
        "arrivals": len(recording.table("arrivals", ["arrival"], folder)),
        "accepts": len(recording.table("accepts", ["arrival"], folder)),
        "wakeups": len(caused),
        "productive": int((caused["outcome"] == "productive").sum()),
    }


def _processes(run: dict[str, Any]) -> dict[str, Any]:
    ended = run["pool"]["exit_status"]
    unwell = [f"worker {i}: {status}" for i, status in enumerate(ended) if status != 0]
    return _law("every worker ended as it was told", not unwell, "; ".join(unwell) or "all 0")
