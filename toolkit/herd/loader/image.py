"""What a compiler makes of BPF C: maps and programs, as plain data that can be kept and loaded again."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np

#: ``struct bpf_insn``, include/uapi/linux/bpf.h; a number's high half is in the next instruction.
INSTRUCTION: Final = np.dtype(
    [("code", "u1"), ("registers", "u1"), ("offset", "i2"), ("imm", "i4")]
)
_LD_IMM64: Final = 0x18  # BPF_LD | BPF_IMM | BPF_DW
_PSEUDO_MAP_FD: Final = 1  # as source register: imm is a map's descriptor
_CALL: Final = 0x85  # BPF_JMP | BPF_CALL
_PSEUDO_KFUNC_CALL: Final = 2  # as source register: imm is a kernel function's BTF id
_NO_HELPER: Final = 4096  # helpers are numbered from 1, and functions come late in BTF
_SOURCE: Final = 4 if sys.byteorder == "little" else 0  # the bit where the source register begins

#: bcc's names of C types.
_SCALARS: Final = {
    "_Bool": "u1",
    "char": "S1",
    "unsigned char": "u1",
    "short": "i2",
    "unsigned short": "u2",
    "int": "i4",
    "unsigned int": "u4",
    "long": "i8",
    "unsigned long": "u8",
    "long long": "i8",
    "unsigned long long": "u8",
}


class MapImage(msgspec.Struct, frozen=True):
    """A map to be made."""

    name: str
    kind: int  #: ``enum bpf_map_type``
    key_bytes: int
    value_bytes: int
    entries: int
    flags: int
    key: Any  #: its C type, as bcc describes it; see :func:`layout`
    value: Any


class ProgramImage(msgspec.Struct, frozen=True):
    """A program to be loaded."""

    name: str  #: ``<kind>__<target>``, see ``programs.py``
    code: bytes  #: its instructions; where one names a map, it has its number in :class:`Image`


class Image(msgspec.Struct, frozen=True):
    """All that one C text becomes."""

    maps: list[MapImage]
    programs: list[ProgramImage]


def encode(image: Image) -> bytes:
    """As bytes, the same ones each time."""
    return msgspec.msgpack.encode(image)


def decode(data: bytes) -> Image:
    """The image that :func:`encode` made these bytes of."""
    return msgspec.msgpack.decode(data, type=Image)


def renumber_maps(code: bytes, numbers: Mapping[int, int]) -> bytes:
    """The same instructions with another number in each place that names a map.

    :param numbers: old → new: descriptor → number in the image, or the other way round
    :raises KeyError: a map that isn't among them
    """
    instructions = np.frombuffer(code, INSTRUCTION).copy()
    source = instructions["registers"] >> _SOURCE & 15
    places = np.flatnonzero((instructions["code"] == _LD_IMM64) & (source == _PSEUDO_MAP_FD))
    for place in places:
        instructions["imm"][place] = numbers[int(instructions["imm"][place])]
    return instructions.tobytes()


def call_kernel(code: bytes) -> bytes:
    """The same instructions with calls of what is no helper as calls of the kernel's functions, by BTF id.

    In C, such a function is written as a helper is: ``static u64 (*name)(u64) = (void *)ID;``
    """
    instructions = np.frombuffer(code, INSTRUCTION).copy()
    unknown = (instructions["code"] == _CALL) & (instructions["imm"] > _NO_HELPER)
    instructions["registers"][unknown] = _PSEUDO_KFUNC_CALL << _SOURCE
    return instructions.tobytes()


def layout(described: Any) -> np.dtype[Any]:
    """The numpy type of a C type.

    :param described: ``"unsigned int"``, or ``["name", [["member", type], ["array", type, [length]], …],
        "struct_packed"]``: padding is a member, too
    :raises ValueError: a union, which no type of numpy's is
    """
    if isinstance(described, str):
        return np.dtype(_SCALARS[described])
    _, members, kind = described
    if kind != "struct_packed":
        raise ValueError(f"no layout for a {kind}")
    return np.dtype([_member(*member) for member in members])


def _member(name: str, described: Any, length: Any = None) -> tuple[Any, ...]:
    return (name, layout(described), *([tuple(length)] if isinstance(length, list) else []))
