"""A small program on a tracepoint, to learn from the kernel something that nothing tells."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from herd import bpf
from herd.assembler import R1, R2, R10, Instruction, assemble, call, do, load

_PROBE_READ: Final = 4

Program = Sequence[Instruction | str]


@contextlib.contextmanager
def peeking(tracepoint: str, value_bytes: int, program: Callable[[int], Program]) -> Iterator[int]:
    """Run it at each event, until the block ends; gives the map of one value that it writes to.

    :param tracepoint: a raw one
    :param program: made for that map's descriptor
    :raises OSError: the kernel refuses
    """
    with contextlib.ExitStack() as undo:
        found = bpf.create_map("peek", bpf.ARRAY, value_bytes=value_bytes)
        undo.callback(os.close, found)
        loaded = bpf.load(bpf.RAW_TRACEPOINT, assemble(program(found)), name="peek")
        undo.callback(os.close, loaded)
        undo.callback(os.close, bpf.open_raw_tracepoint(loaded, tracepoint))
        yield found


def read_at_r3() -> list[Instruction]:
    """Eight bytes of the kernel's memory, where r3 points, into r1."""
    return [
        do(R2, "=", 8),
        do(R1, "=", R10),
        do(R1, "+=", -8),
        call(_PROBE_READ),
        load(R1, R10, -8),
    ]
