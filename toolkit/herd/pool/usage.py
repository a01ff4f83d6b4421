"""What a worker has used of the machine, written down by itself, or by others for one that can't."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from herd.area import Area
from herd.pool.log import STOPPED, USAGE

_PROCESS: Final = 2
_THREAD: Final = _PROCESS | 4


@dataclass(frozen=True)
class Usage:
    """CPU time and context switches since the start of a process or thread."""

    cpu_us: int
    voluntary: int
    involuntary: int

    @classmethod
    def of_process(cls, pid: int) -> Usage:
        """A process with all its threads; to the nanosecond, where ``/proc/PID/stat`` has ticks of 10 ms."""
        return cls._read(pid, _PROCESS, Path(f"/proc/{pid}/task").glob("*/status"))

    @classmethod
    def of_thread(cls, tid: int) -> Usage:
        """One thread of this process: the kernel tells no other (``pid_for_clock()``)."""
        return cls._read(tid, _THREAD, [Path(f"/proc/self/task/{tid}/status")])

    @classmethod
    def _read(cls, number: int, kind: int, threads: Iterable[Path]) -> Usage:
        clock = ~number << 3 | kind  # clock_getcpuclockid(3)
        text = "".join(status.read_text() for status in threads)
        counts = re.findall(r"voluntary_ctxt_switches:\s*(\d+)", text)
        voluntary, involuntary = sum(map(int, counts[::2])), sum(map(int, counts[1::2]))
        return cls(time.clock_gettime_ns(clock) // 1000, voluntary, involuntary)


def note_own(area: Area, when: str, who: int) -> None:
    """Write down what the calling worker has used, ``before`` or ``after``.

    :param who: RUSAGE_SELF, or of a thread RUSAGE_THREAD
    """
    usage = resource.getrusage(who)
    user, system = int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
    _note(area, when, (user, system, usage.ru_nvcsw, usage.ru_nivcsw))


def note_start(area: Area, start: Usage) -> None:
    """Write down for a worker what it had used when it first waited: a start is not the connections' cost."""
    _note(area, "before", (start.cpu_us, 0, start.voluntary, start.involuntary))


def note_end(area: Area, end: Usage, rusage: resource.struct_rusage) -> None:
    """Write down for a worker what it has used by its end.

    Its CPU time is exact; how that splits into user and system is known of its whole process and life only.

    :param rusage: of its process
    """
    before = area["before_user_us"], area["before_system_us"]
    used = max(0, end.cpu_us - sum(before))
    of_user = int(used * rusage.ru_utime / (rusage.ru_utime + rusage.ru_stime or 1))
    user, system = before[0] + of_user, before[1] + used - of_user
    _note(area, "after", (user, system, end.voluntary, end.involuntary))
    area["state"] = STOPPED


def _note(area: Area, when: str, values: tuple[int, ...]) -> None:
    for name, value in zip(USAGE, values, strict=True):
        area[f"{when}_{name}"] = value
