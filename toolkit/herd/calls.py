"""System calls in which a server's threads sleep, by their numbers (``/proc/TID/syscall`` tells those)."""

from __future__ import annotations

import platform
from typing import Final

_X86_64: Final = {
    7: "poll",
    23: "select",
    43: "accept",
    65: "semop",
    72: "fcntl",
    73: "flock",
    202: "futex",
    220: "semtimedop",
    232: "epoll_wait",
    270: "pselect6",
    271: "ppoll",
    281: "epoll_pwait",
    288: "accept4",
    426: "io_uring_enter",
    441: "epoll_pwait2",
}
_AARCH64: Final = {
    22: "epoll_pwait",
    25: "fcntl",
    32: "flock",
    72: "pselect6",
    73: "ppoll",
    98: "futex",
    192: "semtimedop",
    193: "semop",
    202: "accept",
    242: "accept4",
    426: "io_uring_enter",
    441: "epoll_pwait2",
}

_KINDS: Final = {
    "accept": "accept",
    "accept4": "accept",
    "select": "select",
    "pselect6": "select",
    "poll": "poll",
    "ppoll": "poll",
    "epoll_wait": "epoll",
    "epoll_pwait": "epoll",
    "epoll_pwait2": "epoll",
    "io_uring_enter": "io_uring",
    "futex": "lock",
    "semop": "lock",
    "semtimedop": "lock",
    "fcntl": "lock",
    "flock": "lock",
}

#: Names by number on this machine; ``None`` if herd doesn't know them.
NAMES: Final[dict[int, str] | None] = {"x86_64": _X86_64, "aarch64": _AARCH64}.get(
    platform.machine()
)


def kind(number: int) -> str | None:
    """How a thread waits in this call: ``accept``, ``select``, ``poll``, ``epoll``, ``io_uring``.

    :returns: ``lock`` where it waits for one, ``None`` of any other call
    """
    return _KINDS.get((NAMES or {}).get(number, ""))
