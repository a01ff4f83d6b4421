"""What BPF programs cost, as the kernel itself measures it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from herd import bpf

_MEASURE_NS: Final = 50_000_000
_EVERY_NS: Final = 2_000_000_000


class Cost:
    """Measured a twentieth of the time at the most: the kernel reads its clock twice a run for it, and that
    takes about as long as most of our programs do.

    :param programs: their descriptors
    """

    def __init__(self, programs: Collection[int]) -> None:
        self._programs = programs
        self._statistics: int | None = None  # the kernel measures while this is open
        self._began_ns = 0
        self._before = (0, 0)
        self._runs = self._ns = self._measured_ns = 0

    def tick(self) -> None:
        """Begin to measure, or end; whoever calls this often has it done in time."""
        passed_ns = time.monotonic_ns() - self._began_ns
        if self._statistics is None and passed_ns >= _EVERY_NS:
            self._begin()
        elif self._statistics is not None and passed_ns >= _MEASURE_NS:
            self._end()

    def end(self) -> dict[str, int] | None:
        """How often our programs ran, for how many ns in all, and in how much time that was.

        :returns: ``None`` where the kernel measured nothing
        """
        if self._statistics is not None:
            self._end()
        if not self._measured_ns:
            return None
        return {"runs": self._runs, "ns": self._ns, "measured_ns": self._measured_ns}

    def _begin(self) -> None:
        self._began_ns = time.monotonic_ns()
        self._statistics = bpf.enable_statistics()
        self._before = self._read()

    def _end(self) -> None:
        assert self._statistics is not None
        runs, ns = self._read()
        os.close(self._statistics)
        self._statistics = None
        self._runs += runs - self._before[0]
        self._ns += ns - self._before[1]
        self._measured_ns += time.monotonic_ns() - self._began_ns

    def _read(self) -> tuple[int, int]:
        """Runs and ns of all; more than what was measured for us if somebody else has it measured, too."""
        texts = [Path(f"/proc/self/fdinfo/{fd}").read_text() for fd in self._programs]
        runs, ns = (
            sum(int(n) for text in texts for n in re.findall(rf"^{field}:\s*(\d+)", text, re.M))
            for field in ("run_cnt", "run_time_ns")
        )
        return runs, ns
