"""The threads of an observed server: who they are and what they used, also of those that come and go."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from herd.observe.usage import Usage

_NOTHING: Final = Usage(0, 0, 0, 0, 0)


def threads_of(pids: Iterable[int]) -> list[int]:
    """The thread ids of processes; of those that are gone, none."""
    found: list[int] = []
    for pid in pids:
        with contextlib.suppress(OSError):
            found += [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    return sorted(found)


@dataclass
class Member:
    """One thread.

    :param pid: its process; ``None``: it was gone before that could be read
    """

    tid: int
    pid: int | None
    comm: str | None
    before: Usage
    after: Usage | None

    def used(self) -> dict[str, Any]:
        """Columns of the workers table: null where nothing could be read."""
        if self.after is None:
            names = ("voluntary_switches", "involuntary_switches", "cpu_user_s", "cpu_system_s")
            return dict.fromkeys(names)
        return self.after.since(self.before)

    def look(self) -> bool:
        """Read again what it has used; of one that is gone, the last that was read stays.

        :returns: whether it is still there
        """
        found = Usage.of(self.tid)
        self.after = found or self.after
        return found is not None


class Crowd:
    """All threads that were seen."""

    def __init__(self) -> None:
        self.members: dict[int, Member] = {}

    def meet(self, tids: Iterable[int]) -> None:
        """Take in those that were there before us: what they have used until now isn't counted."""
        for tid in tids:
            self._join(tid, Usage.of(tid) or _NOTHING)

    def look(self, tids: Iterable[int]) -> set[int]:
        """Take in those that have come, and read what all of these have used.

        :param tids: threads that were seen at work
        :returns: those of them that are still there
        """
        wanted = set(tids)
        for tid in wanted - self.members.keys():
            self._join(tid, _NOTHING)
        return {tid for tid in wanted if self.members[tid].look()}

    def _join(self, tid: int, before: Usage) -> None:
        pid, comm = _identity(tid)
        self.members[tid] = Member(tid, pid, comm, before, None)


def _identity(tid: int) -> tuple[int | None, str | None]:
    try:
        text = Path(f"/proc/{tid}/status").read_text()
    except OSError:
        return None, None
    name = re.search(r"^Name:\s*(.*)$", text, re.MULTILINE)
    pid = re.search(r"^Tgid:\s*(\d+)$", text, re.MULTILINE)
    return (int(pid[1]) if pid else None), (name[1] if name else None)
