"""What can be told of a worker that runs somebody else's program and keeps no log: the kernel knows it."""

from __future__ import annotations

import os
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from herd import calls
from herd.area import Area
from herd.pool.log import STOPPED, USAGE


def blocked_in(pid: int) -> int | None:
    """The number of the system call in which a process's main thread sleeps; ``None``: it runs."""
    try:
        first = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    except (OSError, IndexError):
        return None
    return int(first) if first.isdigit() else None


def waits(pid: int) -> bool:
    """Whether a process sleeps in a call in which connections are waited for."""
    call = blocked_in(pid)
    if call is None or calls.NAMES is None:
        return call is not None
    return calls.kind(call) not in (None, "lock")


@dataclass(frozen=True)
class Start:
    """What a process had used when it first waited; its program's start is not the connections' cost."""

    cpu_us: int
    voluntary: int
    involuntary: int

    @classmethod
    def of(cls, pid: int) -> Start:
        """Read now; to the nanosecond, where ``/proc/PID/stat`` has ticks of 10 ms."""
        clock = ~pid << 3 | 2  # clock_getcpuclockid(3)
        threads = [status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status")]
        counts = re.findall(r"voluntary_ctxt_switches:\s*(\d+)", "".join(threads))
        voluntary, involuntary = sum(map(int, counts[::2])), sum(map(int, counts[1::2]))
        return cls(time.clock_gettime_ns(clock) // 1000, voluntary, involuntary)


def record_usage(area: Area, start: Start, end: resource.struct_rusage) -> None:
    """Write down, as a worker of ours would have, what one that has ended used since it first waited.

    Its CPU time is exact; how that splits into user and system is known of its whole life only.
    """
    user, system = int(end.ru_utime * 1e6), int(end.ru_stime * 1e6)
    used = max(0, user + system - start.cpu_us)
    of_user = used * user // (user + system or 1)
    before = (user - of_user, system - (used - of_user), start.voluntary, start.involuntary)
    after = (user, system, end.ru_nvcsw, end.ru_nivcsw)
    for name, first, last in zip(USAGE, before, after, strict=True):
        area[f"before_{name}"], area[f"after_{name}"] = first, last
    area["state"] = STOPPED


def signal_group(pid: int, number: int) -> None:
    """Signal a worker, with what its program started; one that isn't a group of its own yet, alone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        os.kill(pid, number)
