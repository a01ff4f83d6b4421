"""Which descriptors, of which processes, are one and the same epoll set (kcmp(2))."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from collections.abc import Iterable
from typing import Final

_NUMBER: Final = {"x86_64": 312, "aarch64": 272, "riscv64": 272}.get(platform.machine())
_FILE: Final = 0  # KCMP_FILE, include/uapi/linux/kcmp.h

#: A process and its descriptor.
Descriptor = tuple[int, int]


def same(descriptors: Iterable[Descriptor]) -> dict[Descriptor, int] | None:
    """Number the open files behind these descriptors: what has the same number is one file.

    :returns: ``None`` where that can't be known: no privilege, no kcmp in this kernel, or one has ended
    """
    numbers: dict[Descriptor, int] = {}
    try:
        ordered = sorted(set(descriptors), key=functools.cmp_to_key(_compare))
        for before, after in zip([None, *ordered], ordered, strict=False):
            new = before is None or _compare(before, after) != 0
            numbers[after] = len(set(numbers.values())) if new else numbers[before or after]
    except OSError:
        return None
    return numbers


def _compare(one: Descriptor, other: Descriptor) -> int:
    """The kernel's own order of files (kcmp_ptr(), kernel/kcmp.c): 0 equal, 1 less, 2 greater."""
    libc = ctypes.CDLL(None, use_errno=True)
    if _NUMBER is None:
        raise OSError(f"the number of kcmp(2) on {platform.machine()} is unknown")
    result = libc.syscall(
        _NUMBER, one[0], other[0], _FILE, *map(ctypes.c_ulong, (one[1], other[1]))
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return {0: 0, 1: -1}.get(result, 1)
