"""What marks a task that has left its CPU, and has not been in user space since: on this kernel, measured."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable
from typing import Final

from herd import bpf
from herd.assembler import (
    R0,
    R1,
    R2,
    R3,
    R6,
    R7,
    call,
    do,
    fetch_add,
    jump_if,
    leave,
    load,
    store,
    value_address,
)
from herd.errors import HostError
from herd.probes.peek import Program, peeking, read_at_r3

_GET_CURRENT_PID_TGID: Final = 14
_ROUNDS: Final = 5
_TRIES: Final = 200
_VALUE: Final = "<3Q"
_VALUE_BYTES: Final = struct.calcsize(_VALUE)
_PIPE_BYTES: Final = 65536
#: So long a pipe's reader waits, that its writer sleeps meanwhile; and a task that is to sleep.
_PAUSE_S: Final = 0.0005
_UNKNOWN: Final = "this kernel doesn't tell which tasks have been in user space"


def measured(flags: int) -> int:
    """Bits of ``thread_info.flags`` that a task gets as it leaves its CPU and loses on its way to user space.

    Such are TIF_NOTIFY_RESUME, for restartable sequences (``rseq_preempt()``, include/linux/rseq.h), and on
    x86 TIF_NEED_FPU_LOAD (``switch_fpu()``); their places differ between kernels. So we sleep: once in a
    system call, and then several times within one, the writing of much to a pipe, and look at what
    ``sched_switch`` finds each time.

    :param flags: offset of ``thread_info.flags`` in ``task_struct``
    :raises HostError: there are none, or the kernel doesn't tell
    """
    try:
        with peeking("sched_switch", _VALUE_BYTES, lambda found: _program(flags, found)) as found:
            marks = ~0
            for _ in range(_ROUNDS):
                fresh = _fresh_flags(found)
                marks &= _flags_in(found, _sleep_several_times)[0] & ~fresh
    except OSError as error:
        raise HostError(f"{_UNKNOWN}: {error.strerror}") from error
    if not marks:
        raise HostError(_UNKNOWN)
    return marks


def _sleep_several_times() -> None:
    """In one system call: a pipe takes a part, and the rest as it is read."""
    source, sink = os.pipe()
    with open(source, "rb", buffering=0) as reader, open(sink, "wb", buffering=0) as writer:
        helper = threading.Thread(target=_drain, args=(reader.fileno(), 8 * _PIPE_BYTES))
        helper.start()
        writer.write(bytes(8 * _PIPE_BYTES))
        helper.join()


def _drain(pipe: int, size: int) -> None:
    while size:
        time.sleep(_PAUSE_S)
        size -= len(os.read(pipe, _PIPE_BYTES))


def _fresh_flags(found: int) -> int:
    """Those of a task that leaves its CPU for the first time since it has been in user space.

    On a busy machine it may be preempted in the system call, before it sleeps: then it sleeps once more.
    """
    for _ in range(_TRIES):
        flags, switches = _flags_in(found, lambda: time.sleep(_PAUSE_S))
        if switches == 1:
            return flags
    raise HostError(f"{_UNKNOWN}: the machine is too busy to measure it")


def _flags_in(found: int, action: Callable[[], None]) -> tuple[int, int]:
    """Those that this thread had at any time when it left its CPU during something; and how often it did."""
    us = os.getpid() << 32 | threading.get_native_id()
    bpf.update(found, bytes(4), struct.pack(_VALUE, us, 0, 0))
    action()
    _, flags, switches = struct.unpack(_VALUE, bpf.lookup(found, bytes(4), _VALUE_BYTES) or b"")
    return flags, switches


def _program(flags: int, found: int) -> Program:
    """The map's value: whom to look at (process, thread), which flags it had, and how often it was seen."""
    return [
        do(R6, "=", R1),
        *value_address(R7, found),
        call(_GET_CURRENT_PID_TGID),
        load(R1, R7),
        jump_if(R0, "!=", R1, "another"),
        load(R3, R6, 8),  # prev
        do(R3, "+=", flags),
        *read_at_r3(),
        load(R2, R7, 8),
        do(R1, "|=", R2),
        store(R7, 8, R1),
        do(R1, "=", 1),
        fetch_add(R7, 16, R1),
        "another",
        do(R0, "=", 0),
        leave(),
    ]
