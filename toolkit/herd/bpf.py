"""bpf(2) by ctypes: maps and programs without a compiler, for processes that must stay small."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
from typing import Any, Final

_SYSTEM_CALL: Final = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
_MAP_CREATE: Final = 0
_MAP_LOOKUP_ELEM: Final = 1
_MAP_UPDATE_ELEM: Final = 2
_MAP_DELETE_ELEM: Final = 3
_MAP_GET_NEXT_KEY: Final = 4
_PROG_LOAD: Final = 5
_PROG_TEST_RUN: Final = 10
_RAW_TRACEPOINT_OPEN: Final = 17
_LINK_CREATE: Final = 28
_ENABLE_STATS: Final = 32
_ITER_CREATE: Final = 33
_INSTRUCTION_BYTES: Final = 8
ARRAY: Final = 2  #: BPF_MAP_TYPE_ARRAY
RAW_TRACEPOINT: Final = 17  #: BPF_PROG_TYPE_RAW_TRACEPOINT
_LOG_BYTES: Final = 1 << 24
#: What the verifier says last of every program, whether it takes it or not.
_STATISTICS: Final = ("processed ", "verification time ", "stack depth ")


class _MapCreate(ctypes.Structure):
    """``union bpf_attr`` of BPF_MAP_CREATE, include/uapi/linux/bpf.h."""

    _fields_ = (
        ("map_type", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("inner_map_fd", ctypes.c_uint32),
        ("numa_node", ctypes.c_uint32),
        ("map_name", ctypes.c_char * 16),
    )


class _Element(ctypes.Structure):
    """``union bpf_attr`` of BPF_MAP_*_ELEM, and of BPF_MAP_GET_NEXT_KEY, whose value is a key."""

    _fields_ = (
        ("map_fd", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
        ("key", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
        ("flags", ctypes.c_uint64),
    )


class _ProgLoad(ctypes.Structure):
    """``union bpf_attr`` of BPF_PROG_LOAD."""

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


class _TestRun(ctypes.Structure):
    """``union bpf_attr`` of BPF_PROG_TEST_RUN."""

    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("data_in", ctypes.c_uint64),
        ("data_out", ctypes.c_uint64),
        ("repeat", ctypes.c_uint32),
        ("duration", ctypes.c_uint32),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_uint64),
        ("ctx_out", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


class _RawTracepointOpen(ctypes.Structure):
    """``union bpf_attr`` of BPF_RAW_TRACEPOINT_OPEN."""

    _fields_ = (("name", ctypes.c_uint64), ("prog_fd", ctypes.c_uint32), ("pad", ctypes.c_uint32))


class _LinkCreate(ctypes.Structure):
    """``union bpf_attr`` of BPF_LINK_CREATE."""

    _fields_ = (
        ("prog_fd", ctypes.c_uint32),
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )


class _IterCreate(ctypes.Structure):
    """``union bpf_attr`` of BPF_ITER_CREATE."""

    _fields_ = (("link_fd", ctypes.c_uint32), ("flags", ctypes.c_uint32))


@functools.cache
def libc() -> ctypes.CDLL:
    """The C library, for system calls that Python doesn't have."""
    return ctypes.CDLL(None, use_errno=True)


class _EnableStats(ctypes.Structure):
    """``union bpf_attr`` of BPF_ENABLE_STATS."""

    _fields_ = (("type", ctypes.c_uint32),)  # 0: BPF_STATS_RUN_TIME


def call(command: int, attributes: ctypes.Structure) -> int:
    """The system call; returns what it returns.

    :raises OSError: the kernel refuses, or the number of the call on this machine is not known
    """
    number = _SYSTEM_CALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"bpf(2) is unknown on {platform.machine()}")
    result: int = libc().syscall(
        number, command, ctypes.byref(attributes), ctypes.sizeof(attributes)
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def create_map(
    name: str, kind: int, *, value_bytes: int, entries: int = 1, key_bytes: int = 4, flags: int = 0
) -> int:
    """Make a map; returns its descriptor, with which it goes unless a program holds it.

    :param name: at most 15 characters, for bpftool
    :param kind: ``enum bpf_map_type``
    """
    attributes = _MapCreate(
        map_type=kind,
        key_size=key_bytes,
        value_size=value_bytes,
        max_entries=entries,
        map_flags=flags,
        map_name=name.encode(),
    )
    return call(_MAP_CREATE, attributes)


def update(map_fd: int, key: bytes, value: bytes) -> None:
    """Write one element of a map."""
    _element(_MAP_UPDATE_ELEM, map_fd, key, ctypes.create_string_buffer(value, len(value)))


def lookup(map_fd: int, key: bytes, value_bytes: int) -> bytes | None:
    """Read one element of a map; ``None`` where there is none.

    :param value_bytes: for a value per CPU, those of all possible CPUs, each rounded up to 8
    """
    found = ctypes.create_string_buffer(value_bytes)
    return found.raw if _is_there(_MAP_LOOKUP_ELEM, map_fd, key, found) else None


def delete(map_fd: int, key: bytes) -> None:
    """Remove one element of a map, if it is there."""
    _is_there(_MAP_DELETE_ELEM, map_fd, key, None)


def next_key(map_fd: int, key: bytes | None, key_bytes: int) -> bytes | None:
    """The key after this one, or the first; ``None`` after the last."""
    found = ctypes.create_string_buffer(key_bytes)
    return found.raw if _is_there(_MAP_GET_NEXT_KEY, map_fd, key, found) else None


def _is_there(
    command: int, map_fd: int, key: bytes | None, value: ctypes.Array[Any] | None
) -> bool:
    try:
        _element(command, map_fd, key, value)
    except FileNotFoundError:
        return False
    return True


def _element(command: int, map_fd: int, key: bytes | None, value: ctypes.Array[Any] | None) -> None:
    at = ctypes.create_string_buffer(key, len(key)) if key is not None else None
    attributes = _Element(
        map_fd=map_fd,
        key=ctypes.addressof(at) if at is not None else 0,
        value=ctypes.addressof(value) if value is not None else 0,
    )
    call(command, attributes)


def open_raw_tracepoint(program: int, name: str | None = None) -> int:
    """Attach a program; returns the link, with which it is detached again.

    :param name: of the tracepoint; none for what was loaded for its target: fentry, typed raw tracepoints
    """
    text = ctypes.create_string_buffer(name.encode()) if name else None
    address = ctypes.addressof(text) if text is not None else 0
    return call(_RAW_TRACEPOINT_OPEN, _RawTracepointOpen(name=address, prog_fd=program))


def link(program: int, attach_type: int, target: int = 0) -> int:
    """Attach a program; returns the link.

    :param target: a descriptor, such as a cgroup's; an iterator needs none
    """
    attributes = _LinkCreate(prog_fd=program, target_fd=target, attach_type=attach_type)
    return call(_LINK_CREATE, attributes)


def iterate(iterator: int) -> int:
    """A descriptor that reads what an iterator writes, by its link."""
    return call(_ITER_CREATE, _IterCreate(link_fd=iterator))


def run(program: int, *arguments: int) -> None:
    """Call a raw tracepoint's program, once, with these arguments (BPF_PROG_TEST_RUN, since 5.10)."""
    words = (ctypes.c_uint64 * len(arguments))(*arguments)
    attributes = _TestRun(
        prog_fd=program, ctx_size_in=ctypes.sizeof(words), ctx_in=ctypes.addressof(words)
    )
    call(_PROG_TEST_RUN, attributes)


def enable_statistics() -> int | None:
    """Have the kernel measure how long programs run, while the returned descriptor is open.

    :returns: ``None`` where it refuses (before 5.8, or without CAP_SYS_ADMIN)
    """
    try:
        return call(_ENABLE_STATS, _EnableStats())
    except OSError:
        return None


def load(
    kind: int, code: bytes, *, name: str = "", attach_type: int = 0, attach_btf_id: int = 0
) -> int:
    """Load a program; returns its descriptor.

    :param kind: ``enum bpf_prog_type``
    :param code: its instructions, eight bytes each
    :raises OSError: the kernel refuses it; the text has the verifier's reason where it gave one
    """
    instructions = ctypes.create_string_buffer(code, len(code))
    license_ = ctypes.create_string_buffer(b"GPL")
    attributes = _ProgLoad(
        prog_type=kind,
        insn_cnt=len(code) // _INSTRUCTION_BYTES,
        insns=ctypes.addressof(instructions),
        license=ctypes.addressof(license_),
        prog_name=name.encode(),
        expected_attach_type=attach_type,
        attach_btf_id=attach_btf_id,
    )
    try:
        return call(_PROG_LOAD, attributes)
    except OSError as error:
        number = error.errno or 0
        reason = verdict(_log(attributes))
        text = os.strerror(number) + (f": {reason}" if reason else "")
        raise OSError(number, text) from error


def _log(attributes: _ProgLoad) -> str:
    """What the verifier says of a program that was refused: it is asked only then, since it is slow."""
    log = ctypes.create_string_buffer(_LOG_BYTES)
    attributes.log_level = 1
    attributes.log_size = len(log)
    attributes.log_buf = ctypes.addressof(log)
    try:
        os.close(call(_PROG_LOAD, attributes))
    except OSError:
        return log.value.decode(errors="replace")
    return ""


def verdict(log: str) -> str:
    """The line of a verifier's log that says why: the last that isn't statistics."""
    lines = [line.strip() for line in log.splitlines()]
    reasons = [line for line in lines if line and not line.startswith(_STATISTICS)]
    return reasons[-1] if reasons else ""
