"""Looking into another network namespace, such as a container's."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from herd.errors import HostError, UsageError
from herd.host import privileges

T = TypeVar("T")

_CLONE_NEWNET: Final = 0x40000000


def inode(pid: int | str = "self") -> int:
    """The number of a process's network namespace, as ``lsns`` shows it.

    :raises UsageError: there is no such process
    :raises HostError: it is another user's
    """
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError as error:
        raise _cannot(pid, error) from error


def inside(pid: int, look: Callable[[], T]) -> T:
    """What ``look`` returns in a process's network namespace.

    :raises UsageError: there is no such process
    :raises HostError: it is in another namespace, and this user may not enter that
    """
    if inode(pid) == inode():
        return look()
    # setns(2) moves the calling thread alone, so a thread of its own goes, and ends there.
    with ThreadPoolExecutor(1, "herd-netns") as pool:
        return pool.submit(_enter_and, pid, look).result()


def _enter_and(pid: int, look: Callable[[], T]) -> T:
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _cannot(pid, error) from error
    try:
        if libc.setns(namespace, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise _cannot(pid, OSError(number, os.strerror(number)))
    finally:
        os.close(namespace)
    return look()


def _cannot(pid: int | str, error: OSError) -> UsageError | HostError:
    if isinstance(error, FileNotFoundError | ProcessLookupError):
        return UsageError(f"there is no process {pid}", "ss -ltnp lists those that listen")
    return HostError(
        f"cannot look into the network namespace of process {pid}: {error.strerror}",
        privileges.how_to_get_them("COMMAND --pid PID"),
    )
