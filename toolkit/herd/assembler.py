"""A small assembler for eBPF: the instructions that our programs need, and labels to jump to.

Codes are those of the kernel's Documentation/bpf/standardization/instruction-set.rst.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple


class Register(NamedTuple):
    """One of the eleven."""

    number: int


#: Results come in r0, arguments go in r1 to r5; r6 to r9 outlive a call; r10 is the end of the stack.
R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = map(Register, range(11))

_LOAD_64: Final = 0x79
_STORE_32: Final = 0x63
_STORE_64: Final = 0x7B
_ATOMIC_64: Final = 0xDB
_FETCH_ADD: Final = 0x01
_LOAD_ADDRESS: Final = 0x18
_MAP: Final = 1
_MAP_VALUE: Final = 2
_CALL: Final = 0x85
_EXIT: Final = 0x95
_FROM_REGISTER: Final = 0x08
_ALU_64: Final = {
    "+=": 0x07,
    "-=": 0x17,
    "|=": 0x47,
    "&=": 0x57,
    "<<=": 0x67,
    "%=": 0x97,
    "=": 0xB7,
}
_JUMP: Final = {"==": 0x15, ">=": 0x35, "!=": 0x55, "<": 0xA5}


@dataclass(frozen=True)
class Instruction:
    """Eight bytes of a program.

    :param target: name of the label that it jumps to
    """

    code: int
    to: int = 0
    source: int = 0
    offset: int = 0
    value: int = 0
    target: str = ""

    def encoded(self) -> bytes:
        """As the kernel takes it: ``struct bpf_insn``, whose two registers share a byte."""
        first, second = (
            (self.to, self.source) if sys.byteorder == "little" else (self.source, self.to)
        )
        registers = first | second << 4
        return struct.pack("=BBhi", self.code, registers, self.offset, self.value)


def _operand(code: int, operand: Register | int) -> Instruction:
    if isinstance(operand, Register):
        return Instruction(code | _FROM_REGISTER, source=operand.number)
    return Instruction(code, value=operand)


def do(to: Register, operator: str, operand: Register | int) -> Instruction:
    """Arithmetic in 64 bits, unsigned: ``do(R0, "%=", 16)``."""
    return replace(_operand(_ALU_64[operator], operand), to=to.number)


def jump_if(left: Register, comparison: str, right: Register | int, label: str) -> Instruction:
    """Go to a label if the comparison, unsigned, is true."""
    return replace(_operand(_JUMP[comparison], right), to=left.number, target=label)


def load(to: Register, pointer: Register, offset: int = 0) -> Instruction:
    """Read 64 bits of memory."""
    return Instruction(_LOAD_64, to.number, pointer.number, offset)


def store(pointer: Register, offset: int, source: Register, bits: int = 64) -> Instruction:
    """Write 32 or 64 bits of memory."""
    code = {32: _STORE_32, 64: _STORE_64}[bits]
    return Instruction(code, pointer.number, source.number, offset)


def fetch_add(pointer: Register, offset: int, source: Register) -> Instruction:
    """Add to 64 bits of memory, at once; what was there before is in ``source`` (Linux 5.12)."""
    return Instruction(_ATOMIC_64, pointer.number, source.number, offset, _FETCH_ADD)


def map_address(to: Register, map_fd: int) -> list[Instruction]:
    """A map, as helpers take it."""
    return [Instruction(_LOAD_ADDRESS, to.number, _MAP, value=map_fd), Instruction(0)]


def value_address(to: Register, map_fd: int) -> list[Instruction]:
    """Where the value of an array with one element lies (Linux 5.2)."""
    return [Instruction(_LOAD_ADDRESS, to.number, _MAP_VALUE, value=map_fd), Instruction(0)]


def call(helper: int) -> Instruction:
    """Call one of the kernel's helpers, by its number in include/uapi/linux/bpf.h."""
    return Instruction(_CALL, value=helper)


def leave() -> Instruction:
    """End the program; r0 is its result."""
    return Instruction(_EXIT)


def assemble(program: Sequence[Instruction | str]) -> bytes:
    """Instructions to bytes; a string among them is a label, for the instruction that follows it."""
    code = [line for line in program if isinstance(line, Instruction)]
    labels: dict[str, int] = {}
    at = 0
    for line in program:
        if isinstance(line, str):
            labels[line] = at
        else:
            at += 1
    return b"".join(
        (replace(line, offset=labels[line.target] - at - 1) if line.target else line).encoded()
        for at, line in enumerate(code)
    )
