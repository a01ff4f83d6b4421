"""What can be told of a worker that runs somebody else's program and keeps no log: the kernel knows it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Final

#: System calls in which a program can wait for a connection, by machine: accept, accept4, select, pselect6,
#: poll, ppoll, epoll_wait, epoll_pwait, epoll_pwait2, io_uring_enter.
_WAITS: Final = {
    "x86_64": {43, 288, 23, 270, 7, 271, 232, 281, 441, 426},
    "aarch64": {202, 242, 72, 73, 22, 441, 426},
}


def blocked_in(pid: int) -> int | None:
    """The number of the system call in which a process's main thread sleeps; ``None``: it runs."""
    try:
        first = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except (OSError, IndexError):
        return None
    return int(first) if first.isdigit() else None


def waits(pid: int) -> bool:
    """Whether a process sleeps in a call in which connections are waited for."""
    known = _WAITS.get(platform.machine())
    call = blocked_in(pid)
    return call is not None and (known is None or call in known)


def signal_group(pid: int, number: int) -> None:
    """Signal a worker, with what its program started; one that isn't a group of its own yet, alone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        os.kill(pid, number)
