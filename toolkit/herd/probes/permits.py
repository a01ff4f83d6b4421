"""What kinds of function probe this kernel lets us attach: tried, in a millisecond, without a compiler."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path
from typing import Final

from herd.probes.btf import Btf

_SYS_BPF: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
_PROG_LOAD: Final = 5
_RAW_TRACEPOINT_OPEN: Final = 17
_TYPE_TRACING: Final = 26
_TRACE_FENTRY: Final = 24
#: r0 = 0; exit
_RETURN_0: Final = bytes.fromhex("b7000000000000009500000000000000")

_KPROBE_EVENTS: Final = tuple(
    Path(folder, "kprobe_events") for folder in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
)


class _ProgLoad(ctypes.Structure):
    """``union bpf_attr`` of BPF_PROG_LOAD, include/uapi/linux/bpf.h."""

    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", ctypes.c_uint64),
        ("license", ctypes.c_uint64),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", ctypes.c_uint32),
        ("expected_attach_type", ctypes.c_uint32),
        ("prog_btf_fd", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("func_info", ctypes.c_uint64),
        ("func_info_cnt", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("line_info", ctypes.c_uint64),
        ("line_info_cnt", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
    )


class _RawTracepointOpen(ctypes.Structure):
    _fields_ = (("name", ctypes.c_uint64), ("prog_fd", ctypes.c_uint32), ("pad", ctypes.c_uint32))


def fentry(btf: Btf, function: str) -> str | None:
    """Why a BPF program cannot be attached to a function's entry, or ``None`` if one was."""
    number = _SYS_BPF.get(platform.machine())
    function_id = btf.function_id(function)
    if number is None:
        return f"unknown on {platform.machine()}"
    if function_id is None:
        return f"this kernel's BTF has no function {function}"
    code = ctypes.create_string_buffer(_RETURN_0, len(_RETURN_0))
    license_ = ctypes.create_string_buffer(b"GPL")
    attributes = _ProgLoad(
        prog_type=_TYPE_TRACING,
        insn_cnt=2,
        insns=ctypes.addressof(code),
        license=ctypes.addressof(license_),
        expected_attach_type=_TRACE_FENTRY,
        attach_btf_id=function_id,
    )
    program = _bpf(number, _PROG_LOAD, attributes)
    if program < 0:
        return f"fentry is refused: {os.strerror(-program)}"
    attached = _bpf(number, _RAW_TRACEPOINT_OPEN, _RawTracepointOpen(prog_fd=program))
    os.close(program)
    if attached < 0:
        return f"fentry cannot be attached: {os.strerror(-attached)}"
    os.close(attached)
    return None


def kprobe() -> str | None:
    """Why a kprobe cannot be made, or ``None`` if this process may write to ``kprobe_events``."""
    there = [path for path in _KPROBE_EVENTS if path.exists()]
    if not there:
        return "kprobes are not in this kernel: tracefs has no kprobe_events"
    if not os.access(there[0], os.W_OK):
        return f"kprobes are refused: {there[0]} cannot be written"
    return None


def _bpf(number: int, command: int, attributes: ctypes.Structure) -> int:
    """The system call; a descriptor, or minus errno."""
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number, command, ctypes.byref(attributes), ctypes.sizeof(attributes))
    return result if result >= 0 else -ctypes.get_errno()
