"""What marks a task that has left its CPU, and has not been in user space since: on this kernel, measured."""

from __future__ import annotations

import contextlib
import os
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
    R10,
    Instruction,
    assemble,
    call,
    do,
    jump_if,
    leave,
    load,
    store,
    value_address,
)
from herd.errors import HostError

_GET_CURRENT_PID_TGID: Final = 14
_PROBE_READ: Final = 4
_ROUNDS: Final = 5
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
        with _Switches(flags) as switches:
            marks = ~0
            for _ in range(_ROUNDS):
                fresh = switches.flags_in(lambda: time.sleep(_PAUSE_S))
                marks &= switches.flags_in(_sleep_several_times) & ~fresh
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


class _Switches:
    """Looks at the flags of this thread whenever it leaves its CPU."""

    def __init__(self, flags: int) -> None:
        with contextlib.ExitStack() as undo:
            #: Whom to look at (process, thread), and which flags it had.
            self._found = bpf.create_map("switches", bpf.ARRAY, value_bytes=16)
            undo.callback(os.close, self._found)
            code = assemble(_program(flags, self._found))
            program = bpf.load(bpf.RAW_TRACEPOINT, code, name="switches")
            undo.callback(os.close, program)
            undo.callback(os.close, bpf.open_raw_tracepoint(program, "sched_switch"))
            self._undo = undo.pop_all()

    def __enter__(self) -> _Switches:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def flags_in(self, action: Callable[[], None]) -> int:
        """Those that we had at any time when we left the CPU while we did something."""
        us = os.getpid() << 32 | threading.get_native_id()
        bpf.update(self._found, bytes(4), us.to_bytes(8, "little") + bytes(8))
        action()
        found = bpf.lookup(self._found, bytes(4), 16) or bytes(16)
        return int.from_bytes(found[8:], "little")


def _program(flags: int, found: int) -> list[Instruction | str]:
    return [
        do(R6, "=", R1),
        *value_address(R7, found),
        call(_GET_CURRENT_PID_TGID),
        load(R1, R7),
        jump_if(R0, "!=", R1, "another"),
        load(R3, R6, 8),  # prev
        do(R3, "+=", flags),
        do(R2, "=", 8),
        do(R1, "=", R10),
        do(R1, "+=", -8),
        call(_PROBE_READ),
        load(R1, R10, -8),
        load(R2, R7, 8),
        do(R1, "|=", R2),
        store(R7, 8, R1),
        "another",
        do(R0, "=", 0),
        leave(),
    ]
