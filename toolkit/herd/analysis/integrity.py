"""The conservation laws: what must add up in every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from herd import families
from herd.analysis import metrics
from herd.analysis.deaths import explained
from herd.analysis.summary import seen
from herd.config import SETTLED
from herd.recording.schema import ACCEPT_FUNCTIONS, SIGNAL_FUNCTION, WAKE_FUNCTIONS

if TYPE_CHECKING:
    import pandas as pd

    from herd.recording.read import Recording


def check(recording: Recording) -> dict[str, Any]:
    """Check every law.

    :returns: ``ok``, ``events_lost``, ``listen_overflows``, ``listen_drops`` and ``checks``, a list of
        ``name``, ``ok`` (``None``: can't be told without a probe) and ``detail``
    """
    run = recording.run
    # Somebody else's server may turn connections away, or end: that is its affair, and told as a note.
    ours = not run.get("observed")
    if run["config"].get("tokens"):
        checks = [_complete(run), _tokens(recording), _processes(run)]
        return _laws(checks, None, None, None)
    overflows, drops = (_grown(run, counter) for counter in ("ListenOverflows", "ListenDrops"))
    lost = run["probe"]["lost"]
    checks = [
        _complete(run),
        *([_connections(recording), _accounts(recording)] if ours else [_followed(recording)]),
        _outcomes(recording),
        *_nothing_lost(run),
        *_calls(recording),
        *_agreement(recording),
    ]
    if ours:
        checks += [_turned_away(recording, overflows, drops), _processes(run)]
    return _laws(checks, lost, overflows, drops)


def _laws(
    checks: list[dict[str, Any]], lost: int | None, overflows: int | None, drops: int | None
) -> dict[str, Any]:
    return {
        "ok": all(c["ok"] is not False for c in checks),
        "events_lost": lost,
        "listen_overflows": overflows,
        "listen_drops": drops,
        "checks": checks,
    }


def _law(name: str, ok: bool | None, detail: str) -> dict[str, Any]:
    return {"name": name, "ok": ok, "detail": detail}


def _grown(run: dict[str, Any], counter: str) -> int | None:
    """By how much a counter of TCP has grown; it says nothing about other sockets."""
    if not families.of(run["config"]).tcp:
        return None
    return int(run["counters"]["after"][counter] - run["counters"]["before"][counter])


def _turned_away(recording: Recording, overflows: int | None, drops: int | None) -> dict[str, Any]:
    """A full queue: the kernel counts TCP's; a unix client is told, by EAGAIN (unix_stream_connect())."""
    if families.of(recording.run["config"]).tcp:
        refused = f"ListenOverflows +{overflows}, ListenDrops +{drops} in this network namespace"
        ok = not overflows and not drops
    else:
        told = metrics.errors(recording).get("EAGAIN", 0)
        refused = (
            f"{told} refused by EAGAIN, as clients saw; ListenOverflows and ListenDrops are TCP's"
        )
        ok = not told
    return _law("no listener turned a connection away", ok, refused)


def _tokens(recording: Recording) -> dict[str, Any]:
    """Each is taken once; all but the last are passed on, or none is."""
    config = recording.run["config"]
    wanted = config["tokens"]
    put = 1 if config["rate"] != SETTLED else wanted
    taken, passed = (int(recording.workers[count].sum()) for count in ("accepts", "served"))
    detail = f"{wanted} wanted, {taken} taken by the workers, {passed} passed on, {put} put in"
    return _law("tokens = taken = passed on + put in", wanted == taken == passed + put, detail)


def _complete(run: dict[str, Any]) -> dict[str, Any]:
    return _law("the run came to its end", run["complete"], run["ended_by"] or "all was sent")


def _connections(recording: Recording) -> dict[str, Any]:
    attempted = recording.run["load"]["attempted"]
    errors = metrics.errors(recording)
    counted = ", ".join(f"{n} {name}" for name, n in errors.items())
    unfinished = attempted - recording.size("connections")
    detail = f"{attempted} attempted, failed: {counted or 'none'}"
    if unfinished:
        detail += f", {unfinished} unfinished"
    return _law("every connection was answered", not counted and not unfinished, detail)


def _accounts(recording: Recording) -> dict[str, Any]:
    """Client, kernel and workers count separately; they must agree, but for what dead workers had."""
    dead = explained(recording)
    counts = {"established": metrics.count(recording, "connections", "established_ns")}
    if recording.run["pool"].get("logs", True):
        accepts = int(recording.workers["accepts"].sum())
        counts["accepts of the workers"] = accepts + dead["unlogged"] + dead["lost"]
    if recording.workers["served"].notna().all():
        served = int(recording.workers["served"].sum())
        counts["served by the workers"] = served + dead["unserved"] + dead["lost"]
    if seen(recording):
        joined = metrics.distinct(recording, "accepts", "arrival") + dead["migrated"]
        counts["arrivals"] = recording.size("arrivals") - dead["announced"]
        counts["accepts in the kernel"] = recording.size("accepts") + dead["lost"]
        counts["accepts joined to an arrival"] = joined + dead["lost"]
    detail = ", ".join(f"{name} {count}" for name, count in counts.items())
    if any(dead.values()):
        detail += f"; with those of dead workers: {dead}"
    name = "established = arrivals = accepts" if seen(recording) else "established = accepts"
    if len(counts) == 1:
        return _law(
            name, None, f"{detail}; accepts are unknown: no probe, and workers that keep no log"
        )
    return _law(name, len(set(counts.values())) == 1, detail)


def _followed(recording: Recording) -> dict[str, Any]:
    """First in, first out: what came before we looked is accepted first, what is left came last."""
    name = "each connection is followed from arrival to accept"
    if not seen(recording):
        return _law(name, None, "arrivals are unknown without a probe")
    arrivals = recording.arrivals.sort_values("arrival")
    accepts = recording.accepts.sort_values("time_ns")
    untaken = ~arrivals["arrival"].isin(accepts["arrival"].dropna())
    unseen = accepts["arrival"].isna()
    # Two workers that accept at once may come back from it in the other order.
    slack = recording.run["config"]["workers"]
    lost = _astray(arrivals[::-1], untaken[::-1], slack) + _astray(accepts, unseen, slack)
    missed = _missed(arrivals, ~untaken, slack)
    detail = (
        f"{len(arrivals)} arrivals, {len(accepts)} accepts; {int(unseen.sum())} had come before we looked,"
        f" {int(untaken.sum())} were not accepted by the end"
    )
    detail += f"; {lost} of these were lost in between" if lost else ""
    if missed:
        detail += f"; by the queue's length, {missed} more were accepted than that"
        if recording.run["probe"]["mode"] == "light":
            detail += ": not all ask for the client's address; --probe tracepoints sees each"
    return _law(name, not lost and not missed, detail)


def _missed(arrivals: pd.DataFrame, taken: pd.Series[bool], slack: int) -> int:
    """How many accepts weren't seen: when the last one came to a listener, ``queue_length`` were left."""
    missed = 0
    for _, rows in arrivals.groupby("listener"):
        least = len(rows) - int(rows["queue_length"].iloc[-1])
        missed += max(0, least - slack - int(taken[rows.index].sum()))
    return missed


def _astray(rows: pd.DataFrame, which: pd.Series[bool], slack: int) -> int:
    """How many of a listener's rows are not among its first, as they should be."""
    place = rows.groupby("listener").cumcount()[which]
    of_listener = which[which].groupby(rows["listener"]).transform("size")
    return int((place >= of_listener + slack).sum())


def _outcomes(recording: Recording) -> dict[str, Any]:
    name = "wakeups = productive + wasted"
    if not seen(recording):
        return _law(name, None, "wakeups are unknown without a probe")
    outcomes = metrics.outcomes(recording).sum()
    total, productive = int(outcomes.sum()), int(outcomes["productive"])
    undecided = int(outcomes[metrics.UNDECIDED])
    untold = metrics.untold(recording) if undecided else 0
    wasted = total - productive - undecided
    # A server goes on when we stop looking: each worker may be awake just then.
    awake = recording.run["config"]["workers"] if recording.run.get("observed") else 0
    detail = f"{total} = {productive} + {wasted}"
    detail += f", {undecided} undecided" if undecided else ""
    detail += f" ({untold} ended, and the probe couldn't tell how)" if untold else ""
    # The workers' table was counted as the events came, the other from what was kept of them.
    counted = int(recording.workers["wakeups"].sum())
    detail += f", counted by worker {counted}" if counted != total else ""
    return _law(name, undecided - untold <= awake and counted == total, detail)


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
    open_calls = {name: c["entries"] - c["returns"] for name, c in counts.items()}
    # Every worker may be blocked in accept when the recording ends.
    unreturned = sum(open_calls.get(name, 0) for name in ACCEPT_FUNCTIONS)
    inside = {*ACCEPT_FUNCTIONS, *ACCEPT_FUNCTIONS.values()}
    bad = {name: left for name, left in open_calls.items() if left and name not in inside}
    missed = {name: c["missed"] for name, c in counts.items() if c["missed"]}
    detail = f"missed: {missed or 'none'}; {unreturned} of {waiting} workers are still in accept"
    # A probe is passed over while another one's handler lies interrupted beneath it on the same CPU
    # (kprobe_running() in kprobe_ftrace_handler(), arch/x86/kernel/kprobes/ftrace.c; for fentry per program,
    # __bpf_prog_enter(), kernel/bpf/trampoline.c). That lasts for the whole interrupt, softirq included: of a
    # notification that runs in it sock_def_readable is missed, too, and so the arrival, which the accounts
    # show. The wake functions run with interrupts off, so none is missed alone. All other misses are of other
    # sockets. Returns that maxactive or a nested handler lost are open calls. What fentry can miss alone is
    # the bracket of a signal: it runs with interrupts on, and no account is kept of who had one.
    unseen = missed.get(SIGNAL_FUNCTION, 0)
    returned = not bad and not unseen and 0 <= unreturned <= waiting
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
