"""What can be told of a worker that runs somebody else's program and keeps no log: the kernel knows it."""

from __future__ import annotations

import os
from pathlib import Path

from herd import calls


def blocked_in(pid: int) -> int | None:
    """The number of the system call in which a process's main thread sleeps; ``None``: it runs."""
    try:
        first = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except (OSError, IndexError):
        return None
    return int(first) if first.isdigit() else None


def waits(pid: int) -> bool:
    """Whether a process sleeps in a call in which connections are waited for."""
    call = blocked_in(pid)
    if call is None or calls.NAMES is None:
        return call is not None
    return calls.kind(call) not in (None, "lock")


def signal_group(pid: int, number: int) -> None:
    """Signal a worker, with what its program started; one that isn't a group of its own yet, alone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        os.kill(pid, number)
