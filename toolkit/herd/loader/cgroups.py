"""The cgroup that all others are in, for programs that are to run for every process."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from typing import Final

from herd.bpf import libc

# The same on all machines: include/uapi/asm-generic/unistd.h.
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_CLOSE_ON_EXEC: Final = 1  # FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC
_CREATE: Final = 6  # FSCONFIG_CMD_CREATE


@contextlib.contextmanager
def root() -> Iterator[int]:
    """A descriptor of it (version 2), by a mount of our own that has no place in the tree of files.

    So it needn't be mounted anywhere, and nobody sees that it was.

    :raises OSError: the kernel has no such file system, or we may not mount it
    """
    with contextlib.ExitStack() as undo:
        context = _call(_FSOPEN, b"cgroup2", _CLOSE_ON_EXEC)
        undo.callback(os.close, context)
        _call(_FSCONFIG, context, _CREATE, None, None, 0)
        mount = _call(_FSMOUNT, context, _CLOSE_ON_EXEC, 0)
        undo.callback(os.close, mount)
        yield mount


def _call(number: int, *arguments: int | bytes | None) -> int:
    result: int = libc().syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cgroup2: {os.strerror(code)}")
    return result
