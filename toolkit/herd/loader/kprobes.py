"""Kprobes by tracefs and perf_event_open(2): the only way to say how many calls a kretprobe keeps in mind.

Documentation/trace/kprobetrace.rst. A probe has a name, which outlives its process if that is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
from pathlib import Path
from typing import Final

from herd.bpf import libc
from herd.probes.permits import TRACING

_SYSTEM_CALL: Final = {"x86_64": 298, "aarch64": 241, "riscv64": 241, "s390x": 331, "ppc64le": 319}
_TYPE_TRACEPOINT: Final = 2
_FLAG_CLOEXEC: Final = 8
_IOC_ENABLE: Final = 0x2400
_IOC_SET_BPF: Final = 0x40042408


class _Attributes(ctypes.Structure):
    """``struct perf_event_attr`` as far as its first version goes, include/uapi/linux/perf_event.h."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("read_format", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
        ("wakeup_events", ctypes.c_uint32),
        ("bp_type", ctypes.c_uint32),
        ("config1", ctypes.c_uint64),
    )


def event(kind: str, function: str) -> str:
    """The name of a probe of this process, as ``kprobe_profile`` shows it.

    :param kind: ``p`` for a function's entry, ``r`` for its return
    """
    return f"{kind}_{function}_herd_{os.getpid()}"


def attach(program: int, kind: str, function: str, kept: int) -> contextlib.ExitStack:
    """Run a program whenever a function is called, or returns; closing what is returned ends that.

    :param kept: how many calls a kretprobe keeps in mind
    :raises OSError: the kernel refuses
    """
    folder = next((folder for folder in TRACING if (folder / "kprobe_events").exists()), TRACING[0])
    name = event(kind, function)
    with contextlib.ExitStack() as undo:
        _write(folder, f"{kind}{kept if kind == 'r' else ''}:herd/{name} {function}")
        undo.callback(_write, folder, f"-:herd/{name}")
        number = int((folder / "events/herd" / name / "id").read_text())
        descriptor = _open(number)
        undo.callback(os.close, descriptor)
        fcntl.ioctl(descriptor, _IOC_SET_BPF, program)
        fcntl.ioctl(descriptor, _IOC_ENABLE, 0)
        return undo.pop_all()


def _write(folder: Path, line: str) -> None:
    descriptor = os.open(folder / "kprobe_events", os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def _open(tracepoint: int) -> int:
    number = _SYSTEM_CALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"perf_event_open(2) is unknown on {platform.machine()}")
    attributes = _Attributes(type=_TYPE_TRACEPOINT, config=tracepoint, sample_period=1)
    attributes.size = ctypes.sizeof(attributes)
    # Every process, on CPU 0: its programs run on all.
    result: int = libc().syscall(number, ctypes.byref(attributes), -1, 0, -1, _FLAG_CLOEXEC)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
