"""Where the kernel keeps what a task's registers held in user space: on this kernel, measured."""

from __future__ import annotations

from typing import Final

from herd import bpf
from herd.assembler import (
    R0,
    R1,
    R2,
    R3,
    R6,
    call,
    do,
    leave,
    load,
    store,
    value_address,
)
from herd.errors import HostError
from herd.probes.peek import Program, peeking, read_at_r3

_GET_CURRENT_TASK: Final = 35
_UNKNOWN: Final = "this kernel doesn't tell where a system call's registers are"


def distance(stack: int) -> int:
    """Bytes from ``task_struct.stack`` to the ``struct pt_regs`` of the task's system call.

    Its size and what is kept free above it depend on how the kernel was built (``task_pt_regs()``,
    ``TOP_OF_KERNEL_STACK_PADDING``, arch/x86/include/asm), but for all tasks it is the same. So the next
    system call that ends tells it: ``sys_exit`` is given the registers, and the task's stack is known.

    :param stack: offset of that member
    :raises HostError: the kernel doesn't tell
    """
    try:
        found = _measured(stack)
    except OSError as error:
        raise HostError(f"{_UNKNOWN}: {error.strerror}") from error
    if not found:
        raise HostError(_UNKNOWN)
    return found


def _measured(stack: int) -> int:
    # To attach it is a system call that ends.
    with peeking("sys_exit", 8, lambda found: _program(stack, found)) as found:
        return int.from_bytes(bpf.lookup(found, bytes(4), 8) or b"", "little")


def _program(stack: int, found: int) -> Program:
    return [
        do(R6, "=", R1),
        call(_GET_CURRENT_TASK),
        do(R3, "=", R0),
        do(R3, "+=", stack),
        *read_at_r3(),
        load(R2, R6),
        do(R2, "-=", R1),
        *value_address(R3, found),
        store(R3, 0, R2),
        do(R0, "=", 0),
        leave(),
    ]
