"""Where a CPU keeps in which interrupts it is: whether that is really there, tried."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from herd import bpf
from herd.assembler import R0, R1, R3, R7, call, do, leave, store, value_address
from herd.errors import HostError
from herd.probes.peek import Program, peeking, read_at_r3

_GET_CURRENT_TASK: Final = 35
#: Of ``preempt_count``, include/linux/preempt.h: a softirq's handlers run.
_SERVES: Final = 1 << 8
_TRIES: Final = 100
_PAUSE_S: Final = 0.005


def check(places: Mapping[str, str]) -> None:
    """Look there as softirqs end.

    :param places: ``TASK_CFS_RQ``, ``CFS_RQ_RQ`` and ``PREEMPT_COUNT``, as bpf/light.c has them
    :raises HostError: it is not there, as on a kernel whose softirqs are threads (PREEMPT_RT), or the kernel
        doesn't tell
    """
    steps = [int(places[name]) for name in ("TASK_CFS_RQ", "CFS_RQ_RQ", "PREEMPT_COUNT")]
    why = "this kernel doesn't tell in which interrupts a CPU is"
    try:
        with peeking("softirq_exit", 8, lambda found: _program(steps, found)) as found:
            for _ in range(_TRIES):
                time.sleep(_PAUSE_S)  # a timer's softirq will have come meanwhile
                value = int.from_bytes(bpf.lookup(found, bytes(4), 8) or bytes(8), "little")
                if value & _SERVES:
                    return
    except OSError as error:
        raise HostError(f"{why}: {error.strerror}") from error
    raise HostError(why)


def _program(steps: list[int], found: int) -> Program:
    """From the current task, pointer by pointer; the last word is the map's value."""
    walk = [
        step for place in steps for step in (do(R3, "+=", place), *read_at_r3(), do(R3, "=", R1))
    ]
    return [
        *value_address(R7, found),
        call(_GET_CURRENT_TASK),
        do(R3, "=", R0),
        *walk,
        store(R7, 0, R3),
        do(R0, "=", 0),
        leave(),
    ]
