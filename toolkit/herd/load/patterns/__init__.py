"""When connections are intended to start. ADD AN ARRIVAL PATTERN: one file here.

A file defines one subclass of :class:`~herd.load.patterns._base.Pattern` named like the file.
"""

from __future__ import annotations

import importlib

from herd.discover import modules, unknown
from herd.load.patterns._base import Pattern, Situation

__all__ = ["Pattern", "Situation", "find", "names"]


def names() -> list[str]:
    """Every pattern there is."""
    return modules(__name__)


def find(name: str) -> type[Pattern]:
    """The pattern called ``name``."""
    if name not in names():
        raise unknown("arrival pattern", name, names())
    module = importlib.import_module(f"{__name__}.{name}")
    found = getattr(module, name.capitalize())
    assert issubclass(found, Pattern)
    return found
