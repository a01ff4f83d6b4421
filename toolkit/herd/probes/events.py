"""What the probes record, as numpy sees it: the twin of ``bpf/event.h``; and the file that holds it."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

KIND_ARRIVAL: Final = 1
KIND_WAKEUP: Final = 2
KIND_ACCEPT: Final = 3
KIND_CALL: Final = 4
KIND_DRAINED: Final = 5  #: in the file only, see :meth:`herd.probes.lanes.Lanes.drain`
KIND_LAP: Final = 128  #: of the places of a lane, beside the kind

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

#: What a worker is blocked in that waits for something else than a connection of a listener.
_ELSEWHERE: Final = (None, "other", "lock", "recvmsg")
#: By ``what``: whether who is blocked in it may wait for a connection. (np.isin takes six times as long.)
_MAY_WAIT: Final = np.array([name not in _ELSEWHERE for name in BLOCKED_IN])

#: Records that fit into a CPU's second cache.
_BLOCK: Final = 1 << 12

_Array = np.ndarray[Any, Any]
#: Records, by field.
Columns = Mapping[str, _Array]


def kinds(events: _Array) -> _Array:
    """``KIND_ARRIVAL`` and so on, of each."""
    found: _Array = events["kind"] & ~np.uint8(KIND_LAP)
    return found


def in_order(path: Path, most: int) -> Iterator[_Array]:
    """A probe's file in the order in which its records were made: each worker's are in the order of time.

    A file that was cut off in the middle of a record (full disk, SIGKILL) is read up to there.

    :param most: records that are read at a time, and returned at a time
    """
    size = path.stat().st_size // EVENT.itemsize
    if not size:
        return
    # Mapped, not read: records are copied but once, in order.
    with path.open("rb") as opened:
        memory = mmap.mmap(opened.fileno(), size * EVENT.itemsize, prot=mmap.PROT_READ)
    file = np.frombuffer(memory, EVENT)
    begin = 0
    for first in range(0, size, most):
        part = file[first : first + most]
        marks = np.flatnonzero(kinds(part) == KIND_DRAINED)
        end = first + int(marks[-1]) + 1 if len(marks) else begin
        if first + most >= size:
            end = size
        yield from _sorted(file[begin:end], most)
        # Or the process would have all of the file at the end.
        memory.madvise(mmap.MADV_DONTNEED, 0, end * EVENT.itemsize)
        begin = end


def _sorted(records: _Array, most: int) -> Iterator[_Array]:
    # A wakeup is written down as it ends. (The end of a unix client's accept is its arrival, before.)
    made = np.maximum(records["time"], records["end"])
    records = records.take(np.argsort(made, kind="stable"))
    for first in range(0, len(records), most):
        yield records[first : first + most]


def columns(records: _Array) -> Columns:
    """A field's values side by side, or nearly.

    Whatever reads a field of many records fetches all of each from memory. So they are turned once, eight
    bytes at a time (no field lies across two words), in blocks that stay in the caches: in a fifth of the
    time that a copy of each field takes.
    """
    words = records.view("<u8").reshape(len(records), EVENT.itemsize // 8)
    turned = np.empty(words.shape[::-1], "<u8")
    for first in range(0, len(words), _BLOCK):
        turned[:, first : first + _BLOCK] = words[first : first + _BLOCK].T
    return {
        name: turned[at // 8].view(dtype)[at % 8 // dtype.itemsize :: 8 // dtype.itemsize]
        for name, (dtype, at, *_) in (EVENT.fields or {}).items()
    }


def by_arrival(wakeups: _Array | Columns) -> _Array:
    """Which wakeups an arrival caused, directly or chained; inside its window, others can be woken, too."""
    found: _Array = (wakeups["arrival"] != 0) & _MAY_WAIT[wakeups["what"]]
    return found


def still_open(workers: _Array) -> _Array:
    """Of ``struct worker`` the wakeups that are open at the end.

    One that was not seen to run, but then to leave its CPU to sleep, is over. That happens where a sandbox
    keeps from BPF what its own threads do, the switch from one of them to the worker included (measured: of
    all switches to such threads each was seen, of those away from them none). The worker's next wakeup would
    have ended it.
    """
    workers = workers[workers["wakeup"]["time"] != 0]
    found = np.ascontiguousarray(workers["wakeup"]).view(EVENT)
    over = (found["begin"] == 0) & (workers["maybe_slept"] > found["time"])
    found["end"][over] = workers["maybe_slept"][over]
    found["kind"] = KIND_WAKEUP
    return found
