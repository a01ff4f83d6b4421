"""One record of the ring buffer, as numpy sees it: the twin of ``bpf/event.h``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

KIND_ARRIVAL: Final = 1
KIND_WAKEUP: Final = 2
KIND_ACCEPT: Final = 3
KIND_CALL: Final = 4

FLAG_RETURNED: Final = 1
FLAG_CHAINED: Final = 2
FLAG_HANDED: Final = 4
FLAG_UNTOLD: Final = 8
FLAG_UNTRIED: Final = 16

#: Names of ``enum wait``, by value.
BLOCKED_IN: Final = (
    None,
    "accept",
    "epoll",
    "select",
    "poll",
    "other",
    "lock",
    "signal",
    "recvmsg",
    "io_uring",
)

EVENT: Final = np.dtype(
    [
        ("time", "<u8"),
        ("begin", "<u8"),
        ("end", "<u8"),
        ("arrival", "<u8"),
        ("tid", "<u4"),
        ("amount", "<u4"),
        ("peer", ">u4"),
        ("result", "<i4"),
        ("peer_port", ">u2"),
        ("cpu", "<u2"),
        ("running_cpu", "<u2"),
        ("listener", "<u2"),
        ("accepts", "<u2"),
        ("eagain", "<u2"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("what", "u1"),
        ("depth", "u1"),
    ]
)

#: A record in the ring: the kernel's 8-byte header (length and busy bit, page offset), then the event.
RECORD: Final = np.dtype([("length", "<u4"), ("page", "<u4"), ("event", EVENT)])

#: What a worker is blocked in that waits for something else than a connection of a listener.
_ELSEWHERE: Final = [BLOCKED_IN.index(name) for name in (None, "other", "lock", "recvmsg")]


def by_arrival(wakeups: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which wakeups an arrival caused, directly or chained; inside its window, others can be woken, too."""
    waited = ~np.isin(wakeups["what"], _ELSEWHERE)
    found: np.ndarray[Any, Any] = (wakeups["arrival"] != 0) & waited
    return found


def still_open(workers: Sequence[Any]) -> np.ndarray[Any, Any]:
    """Of ``struct worker`` the wakeups that are open at the end, as records.

    One that was not seen to run, but then to leave its CPU to sleep, is over. That happens where a sandbox
    keeps from BPF what its own threads do, the switch from one of them to the worker included (measured: of
    all switches to such threads each was seen, of those away from them none). The worker's next wakeup would
    have ended it.
    """
    events = []
    for worker in workers:
        event = worker["wakeup"].copy()
        if not event["begin"] and worker["maybe_slept"] > event["time"]:
            event["end"] = worker["maybe_slept"]
        if event["time"]:
            events.append(event.tobytes())
    records = np.zeros(len(events), RECORD)
    records["event"] = np.frombuffer(b"".join(events), EVENT)
    records["event"]["kind"] = KIND_WAKEUP
    return records
