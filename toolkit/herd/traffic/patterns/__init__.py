"""When connections are intended to start. ADD AN ARRIVAL PATTERN: one file here.

A file defines one subclass of :class:`~herd.traffic.patterns._base.Pattern`; its ``name`` is the file's.
"""

from __future__ import annotations

from herd.discover import modules, named, unknown
from herd.traffic.patterns._base import Pattern, Situation

__all__ = ["Pattern", "Situation", "find", "names"]


def names() -> list[str]:
    """Every pattern there is."""
    return modules(__name__)


def find(name: str) -> type[Pattern]:
    """The pattern called ``name``."""
    if name not in names():
        raise unknown("arrival pattern", name, names())
    found = named(f"{__name__}.{name}", Pattern, name)
    assert found is not None
    return found
