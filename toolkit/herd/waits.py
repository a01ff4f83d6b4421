"""In which system call a task sleeps, as ``/proc`` tells it."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

#: System calls in which a program can wait for a connection, by machine (asm/unistd.h).
_WAITS: Final = {
    "x86_64": {
        "accept": (43, 288),
        "epoll": (232, 281, 441),
        "select": (23, 270),
        "poll": (7, 271),
        "io_uring": (426,),
    },
    "aarch64": {
        "accept": (202, 242),
        "epoll": (22, 441),
        "select": (72,),
        "poll": (73,),
        "io_uring": (426,),
    },
}


def sleeping_call(tid: int) -> tuple[int, int] | None:
    """The system call in which a task sleeps: its number and first argument; ``None``: none."""
    try:
        words = Path(f"/proc/{tid}/syscall").read_text().split()
    except OSError:
        return None
    if len(words) < 2 or not words[0].isdigit():
        return None
    return int(words[0]), int(words[1], 16)


def waiting_in(tid: int) -> tuple[str, int] | None:
    """What a task waits for connections in, and the call's first argument (accept, epoll: a descriptor).

    :returns: ``None`` for one that runs, sleeps in another call, or whose machine's numbers we don't know
    """
    call = sleeping_call(tid)
    kinds = _WAITS.get(platform.machine(), {})
    for kind, numbers in kinds.items():
        if call and call[0] in numbers:
            return kind, call[1]
    return None
