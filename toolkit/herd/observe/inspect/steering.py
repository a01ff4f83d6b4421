"""The BPF program that chooses in a reuseport group: no system call tells of it, the kernel's struct does.

An iterator over TCP sockets (BPF_TRACE_ITER) reads ``struct sock_reuseport`` (include/net/sock_reuseport.h);
it needs no compiler, and sees classic programs, which have no id, as well.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from herd import assembler, bpf
from herd.assembler import R0, R1, R2, R3, R6, R7, R8, R9, R10, Instruction, Register
from herd.errors import HostError
from herd.probes.btf import Btf

_TRACING: Final = 26  # BPF_PROG_TYPE_TRACING
_ITER: Final = 28  # BPF_TRACE_ITER
_LINK_CREATE: Final = 28
_ITER_CREATE: Final = 33
_PROBE_READ_KERNEL: Final = 113
_SEQ_WRITE: Final = 127
_LISTEN: Final = 10  # TCP_LISTEN

#: What the program writes of a listener with a program: cookie, three pointers, type, id, name.
_RECORD: Final = struct.Struct("=QQQQII16s")
_COOKIE, _GROUP, _PROGRAM, _AUX, _TYPE, _ID, _NAME = 0, 8, 16, 24, 32, 36, 40
_STACK: Final = -_RECORD.size
_STATE: Final = _STACK - 8
_STATE_BYTE: Final = _STATE if sys.byteorder == "little" else _STATE + 7
_KINDS: Final = {0: "classic", 1: "socket filter", 21: "sk_reuseport"}  # enum bpf_prog_type


@dataclass(frozen=True)
class Program:
    """A program that chooses the socket of a connection."""

    kind: str
    id: int | None  #: as bpftool shows it; of classic BPF: ``None``
    name: str


def look() -> tuple[dict[int, Program] | None, str]:
    """The programs of this network namespace's TCP listeners that have one, by cookie.

    :returns: ``None`` where they couldn't be looked for, and why
    """
    try:
        return _read(), ""
    except HostError as error:
        return None, error.message
    except OSError as error:
        return None, error.strerror or str(error)


class _Link(ctypes.Structure):
    """``union bpf_attr`` of BPF_LINK_CREATE, as far as an iterator needs it."""

    _fields_ = (
        ("program", ctypes.c_uint32),
        ("target", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("rest", ctypes.c_uint64 * 4),
    )


class _Iterator(ctypes.Structure):
    """``union bpf_attr`` of BPF_ITER_CREATE."""

    _fields_ = (("link", ctypes.c_uint32), ("flags", ctypes.c_uint32))


def _read() -> dict[int, Program]:
    btf = Btf.vmlinux()
    program = bpf.load(
        _TRACING,
        _code(btf),
        name="herd_steering",
        attach_type=_ITER,
        attach_btf_id=btf.function_id("bpf_iter_tcp") or 0,
    )
    try:
        link = bpf.call(_LINK_CREATE, _Link(program=program, attach_type=_ITER))
    finally:
        os.close(program)
    try:
        return dict(_decoded(_all(bpf.call(_ITER_CREATE, _Iterator(link=link)))))
    finally:
        os.close(link)


def _all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def _decoded(data: bytes) -> Iterable[tuple[int, Program]]:
    for cookie, _, _, _, kind, number, name in _RECORD.iter_unpack(data):
        text = name.rstrip(b"\0").decode(errors="replace")
        yield cookie, Program(_KINDS.get(kind, f"type {kind}"), number or None, text)


def _code(btf: Btf) -> bytes:
    """Write a record for each listener whose group has a program."""
    return assembler.assemble(
        [
            assembler.load(R6, R1, 0),
            assembler.load(R7, R1, 8),
            assembler.jump_if(R7, "==", 0, "out"),
            assembler.do(R8, "=", 0),
            *(assembler.store(R10, at, R8) for at in range(_STATE, 0, 8)),
            *_copy(_STATE_BYTE, 1, R7, btf, "sock_common.skc_state"),
            assembler.load(R9, R10, _STATE),
            assembler.jump_if(R9, "!=", _LISTEN, "out"),
            *_copy(_STACK + _COOKIE, 8, R7, btf, "sock_common.skc_cookie"),
            *_follow(_STACK + _GROUP, R7, btf, "sock.sk_reuseport_cb"),
            *_follow(_STACK + _PROGRAM, R9, btf, "sock_reuseport.prog"),
            *_copy(_STACK + _TYPE, 4, R9, btf, "bpf_prog.type"),
            *_follow(_STACK + _AUX, R9, btf, "bpf_prog.aux"),
            *_copy(_STACK + _ID, 4, R9, btf, "bpf_prog_aux.id"),
            *_copy(_STACK + _NAME, 16, R9, btf, "bpf_prog_aux.name"),
            assembler.load(R1, R6, 0),
            assembler.do(R2, "=", R10),
            assembler.do(R2, "+=", _STACK),
            assembler.do(R3, "=", _RECORD.size),
            assembler.call(_SEQ_WRITE),
            "out",
            assembler.do(R0, "=", 0),
            assembler.leave(),
        ]
    )


def _copy(to: int, size: int, source: Register, btf: Btf, member: str) -> list[Instruction]:
    """Read a member of the struct that ``source`` points to, to a place on the stack.

    :raises HostError: this kernel has none
    """
    offset = btf.offset(*member.split("."))
    if offset is None:
        raise HostError(f"this kernel has no {member}")
    return [
        assembler.do(R1, "=", R10),
        assembler.do(R1, "+=", to),
        assembler.do(R2, "=", size),
        assembler.do(R3, "=", source),
        assembler.do(R3, "+=", offset),
        assembler.call(_PROBE_READ_KERNEL),
    ]


def _follow(to: int, source: Register, btf: Btf, member: str) -> list[Instruction]:
    """As :func:`_copy`, of a pointer, which is then in r9; a null pointer ends the program."""
    return [
        *_copy(to, 8, source, btf, member),
        assembler.load(R9, R10, to),
        assembler.jump_if(R9, "==", 0, "out"),
    ]
