"""What a finding says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from herd.observe.inspect.model import Group

LEVELS: Final = ("problem", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """Something about a group of sockets that its administrator should know."""

    id: str
    address: str
    level: str  #: one of :data:`LEVELS`
    sure: str  #: ``certain``, ``likely`` or ``possible``
    evidence: str  #: what was seen
    meaning: str  #: what follows
    advice: str  #: what to change in this server; nothing: leave it


def advised(group: Group, advice: Mapping[str, str], otherwise: str) -> str:
    """What to do in the group's server, by its name."""
    return advice.get(group.server or "", otherwise)


def named(pids: Iterable[int]) -> str:
    """``4711, 4712``; of many the first, and how many more."""
    return listed(str(pid) for pid in sorted(pids))


def listed(words: Iterable[str]) -> str:
    """Words with commas; of many the first, and how many more."""
    known = list(words)
    more = f" and {len(known) - _MOST} more" if len(known) > _MOST else ""
    return ", ".join(known[:_MOST]) + more


_MOST: Final = 8
