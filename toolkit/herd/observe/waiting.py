"""In which system calls a process's threads sleep, and which descriptors they wait for there."""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from herd import calls
from herd.observe.holders import PROC

_POLLFD: Final = struct.Struct("=ihh")
_MOST_BYTES: Final = 1 << 24


@dataclass(frozen=True)
class Waiting:
    """A thread that sleeps in a call in which connections, or locks, are waited for."""

    pid: int
    tid: int
    kind: str  #: as :func:`herd.calls.kind` has it
    #: The descriptors in the call: accept's listener, epoll's set, all that is polled; ``None``: not seen.
    fds: tuple[int, ...] | None


def look(pid: int, proc: Path = PROC) -> list[Waiting]:
    """The threads of a process that sleep so; none of one that has ended.

    :raises PermissionError: it is another user's
    """
    try:
        tasks = sorted(int(task.name) for task in (proc / str(pid) / "task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []
    threads = (of_thread(pid, tid, proc) for tid in tasks)
    return [found for found in threads if found is not None]


def of_thread(pid: int, tid: int, proc: Path = PROC) -> Waiting | None:
    """One thread; ``None`` if it runs, sleeps in another call or is gone.

    :raises PermissionError: it is another user's
    """
    # "232 0x7 0x56540d80feb0 …": the call and its arguments; "running" (fs/proc/base.c)
    try:
        words = (proc / str(pid) / "task" / str(tid) / "syscall").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    kind = calls.kind(int(words[0])) if words and words[0].isdigit() else None
    if kind is None:
        return None
    arguments = [int(word, 16) for word in words[1:7]]
    return Waiting(pid, tid, kind, _descriptors(kind, arguments, proc / str(pid) / "mem"))


def _descriptors(kind: str, arguments: list[int], memory: Path) -> tuple[int, ...] | None:
    if kind == "lock":
        return ()
    if kind not in _IN_MEMORY:
        return (arguments[0],)
    try:
        with memory.open("rb", buffering=0) as file:
            return _IN_MEMORY[kind](file.fileno(), arguments)
    except (OSError, OverflowError):  # it has gone on, and its memory with it
        return None


def _polled(memory: int, arguments: list[int]) -> tuple[int, ...]:
    address, number = arguments[:2]
    data = _read(memory, address, _POLLFD.size * number)
    return tuple(fd for fd, _, _ in _POLLFD.iter_unpack(data))


def _selected(memory: int, arguments: list[int]) -> tuple[int, ...]:
    """Those to be read; the caller's sets are as they were until the call returns (core_sys_select())."""
    number, address = arguments[:2]
    if address == 0:
        return ()
    bits = int.from_bytes(_read(memory, address, (number + 7) // 8), sys.byteorder)
    return tuple(fd for fd in range(number) if bits >> fd & 1)


def _read(memory: int, address: int, size: int) -> bytes:
    if size > _MOST_BYTES:
        raise OSError(errno.E2BIG, "more descriptors than a process can have")
    data = os.pread(memory, size, address)
    if len(data) < size:
        raise OSError(errno.EFAULT, "it ends before")
    return data


_IN_MEMORY: Final[dict[str, Callable[[int, list[int]], tuple[int, ...]]]] = {
    "poll": _polled,
    "select": _selected,
}
