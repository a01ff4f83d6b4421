"""What a thread of somebody else's has used so far, as ``/proc`` tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SWITCHES = re.compile(r"voluntary_ctxt_switches:\s*(\d+)")


@dataclass(frozen=True)
class Usage:
    """Counts since the thread began.

    :param cpu_ns: on a CPU; exact, where ``user`` and ``system`` are in ticks of 10 ms
    """

    cpu_ns: int
    user: int
    system: int
    voluntary: int
    involuntary: int

    @classmethod
    def of(cls, tid: int) -> Usage | None:
        """Read now; ``None`` if the thread is gone."""
        # Not /proc/TID/stat: that one is of the whole process (proc_tgid_stat(), fs/proc/array.c).
        folder = Path(f"/proc/{tid}/task/{tid}")
        try:
            cpu_ns = int((folder / "schedstat").read_text().split()[0])
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            switches = _SWITCHES.findall((folder / "status").read_text())
        except OSError:
            return None
        return cls(cpu_ns, int(fields[11]), int(fields[12]), int(switches[0]), int(switches[1]))

    def since(self, before: Usage) -> dict[str, Any]:
        """What was used in between, as columns of the workers table."""
        cpu_s = (self.cpu_ns - before.cpu_ns) / 1e9
        user, system = self.user - before.user, self.system - before.system
        if not user + system:  # less than a tick: as in its whole life
            user, system = self.user, self.system
        of_user = user / (user + system) if user + system else 0.0
        return {
            "voluntary_switches": self.voluntary - before.voluntary,
            "involuntary_switches": self.involuntary - before.involuntary,
            "cpu_user_s": cpu_s * of_user,
            "cpu_system_s": cpu_s * (1 - of_user),
        }
