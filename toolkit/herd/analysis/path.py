"""One connection's life, step by step: from its arrival to the accept that takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from herd.errors import UsageError
from herd.recording.schema import ACCEPT_FUNCTIONS

if TYPE_CHECKING:
    import pandas as pd

    from herd.recording.read import Recording

#: What a function does there, and what the article of the 2.6 era calls it. docs/kernel-path.md has more.
STEPS: Final[dict[str, tuple[str, str]]] = {
    "tcp_child_process": (
        "the handshake's last packet: the connection is established",
        "tcp_child_process",
    ),
    "sock_def_readable": ("the listener is told: a connection can be accepted", "sk_data_ready"),
    "__wake_up": ("wake the queue's waiters", "__wake_up"),
    "__wake_up_sync": ("wake the queue's waiters", "__wake_up"),
    "__wake_up_sync_key": (
        "wake the waiters, up to the first exclusive one",
        "wake_up_interruptible",
    ),
    "__wake_up_common": ("go through the queue under its lock", "__wake_up_common"),
    "ep_poll_callback": ("an epoll item: its set becomes ready", ""),
    "io_poll_wake": ("an accept in an io_uring: goes to its worker's task work", ""),
    "wake_up_state": ("wake a task for its task work", ""),
    "autoremove_wake_function": (
        "wake a task in accept, and unqueue it",
        "default_wake_function",
    ),
    "ep_autoremove_wake_function": ("wake a task in epoll_wait, and unqueue it", ""),
    "pollwake": ("wake a task in select or poll", ""),
    "sock_wake_async": ("send SIGIO to who asked for it", "sk_wake_async"),
    "inet_csk_accept": ("take a connection off the accept queue", "inet_csk_accept"),
    "inet_csk_wait_for_connect": ("the queue is empty: wait", "inet_csk_wait_for_connect"),
    "unix_accept": ("take a connection off the receive queue", ""),
    "__skb_wait_for_more_packets": ("the queue is empty: wait", ""),
    "prepare_to_wait_exclusive": ("queue at the tail, exclusive", "prepare_to_wait_exclusive"),
}


def path(recording: Recording, arrival: int) -> list[dict[str, Any]]:
    """The steps of the connection that arrived as number ``arrival``, in the order of time.

    :returns: a list of ``time_ns``, ``cpu``, ``pid`` (null: who notifies, a softirq or a unix client),
        ``function`` (of the kernel, or the tracepoint that stands for it), ``depth``, ``what``
    :raises UsageError: there was no such arrival, or no probe saw any
    """
    arrivals = recording.arrivals
    matching = of_arrival(arrivals, arrival).to_dict("records")
    if not matching:
        last = arrivals["arrival"].max()
        seen = f"arrivals are 1 to {last}" if len(arrivals) else "no probe saw any arrival"
        raise UsageError(f"{recording.path} has no arrival {arrival}: {seen}")
    [found] = matching
    steps = _calls(recording, arrival)
    if not steps:
        listener = f"the listener is told (queue: {found['queue_length']})"
        steps = [_step(found["time_ns"], found["cpu"], None, "sk_data_ready", 0, listener)]
    steps += _wakeups(recording, arrival) + _accept(recording, arrival)
    return sorted(steps, key=lambda step: (step["time_ns"], step["depth"]))


def _step(time: Any, cpu: Any, pid: Any, function: str, depth: int, what: str) -> dict[str, Any]:
    return {
        "time_ns": int(time),
        "cpu": None if _missing(cpu) else int(cpu),
        "pid": None if _missing(pid) else int(pid),
        "function": function,
        "depth": int(depth),
        "what": what,
    }


def _missing(value: Any) -> bool:
    import pandas as pd

    return value is None or bool(pd.isna(value))


def of_arrival(table: pd.DataFrame, arrival: int) -> pd.DataFrame:
    """The rows of a table that belong to an arrival."""
    rows: pd.DataFrame = table[table["arrival"] == arrival]
    return rows


def calls_of(recording: Recording, arrival: int) -> pd.DataFrame:
    """The calls that notified of an arrival, and those of accept that took it."""
    import pandas as pd

    calls: pd.DataFrame = recording.calls
    notified = of_arrival(calls, arrival)
    accepts = of_arrival(recording.accepts, arrival)
    if accepts.empty:
        return notified
    [accept] = accepts.to_dict("records")
    own = calls[
        (calls["pid"] == accept["tid"])
        & calls["arrival"].isna()
        & (calls["time_ns"] >= accept["entered_ns"])
        & (calls["returned_ns"] <= accept["time_ns"])
    ]
    both: pd.DataFrame = pd.concat([notified, own])
    return both


def _calls(recording: Recording, arrival: int) -> list[dict[str, Any]]:
    steps = []
    for call in calls_of(recording, arrival).to_dict("records"):
        name = call["function"]
        what = STEPS[name][0]
        if not _missing(call["arrival"]) and not _missing(call["pid"]):
            what += f": pid {call['pid']} {'wakes' if call['result'] else 'was awake'}"
        pid = call["pid"] if _missing(call["arrival"]) else None
        steps.append(_step(call["time_ns"], call["cpu"], pid, name, call["depth"], what))
        if name in ACCEPT_FUNCTIONS:
            what = "returns the connection" if call["result"] else "returns: there is none"
            steps.append(_step(call["returned_ns"], call["cpu"], pid, name, call["depth"], what))
    return steps


def _wakeups(recording: Recording, arrival: int) -> list[dict[str, Any]]:
    steps = []
    for w in of_arrival(recording.wakeups, arrival).to_dict("records"):
        who = f"worker {w['worker']}, blocked in {w['blocked_in']},"
        steps.append(
            _step(w["time_ns"], w["cpu"], w["tid"], "try_to_wake_up", 0, f"{who} is runnable")
        )
        if not _missing(w["running_ns"]):
            what = f"worker {w['worker']} runs"
            steps.append(_step(w["running_ns"], w["running_cpu"], w["tid"], "schedule", 0, what))
        if not _missing(w["slept_ns"]):
            outcome = "unknown" if _missing(w["outcome"]) else str(w["outcome"]).replace("_", " ")
            what = f"worker {w['worker']} sleeps again: {outcome}"
            steps.append(_step(w["slept_ns"], w["running_cpu"], w["tid"], "schedule", 0, what))
    return steps


def _accept(recording: Recording, arrival: int) -> list[dict[str, Any]]:
    steps = []
    ring = "io_uring" in set(of_arrival(recording.wakeups, arrival)["blocked_in"])
    name = "io_uring_complete" if ring else "accept4"
    where = "told by its ring" if ring else "back in user space"
    for a in of_arrival(recording.accepts, arrival).to_dict("records"):
        what = f"worker {a['worker']} has the connection"
        if not _missing(a["peer_port"]):
            what += f" from {a['peer']} port {a['peer_port']}"
        steps.append(_step(a["time_ns"], a["cpu"], a["tid"], name, 0, f"{what}: {where}"))
    return steps
