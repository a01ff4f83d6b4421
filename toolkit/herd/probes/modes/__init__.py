"""The ways to see a wakeup, each tried before it is used."""

from __future__ import annotations

from herd.discover import modules, named
from herd.probes.modes._base import ENTRIES, EXITS, SOURCES, Probe

__all__ = ["ENTRIES", "EXITS", "SOURCES", "Probe", "find", "lightest", "names"]


def names() -> list[str]:
    """Every mode there is, the one that tells most first."""
    return sorted(modules(__name__), key=lambda name: find(name).rank)


def lightest() -> list[str]:
    """The same, the one that costs least first."""
    return sorted(modules(__name__), key=lambda name: find(name).weight)


def find(name: str) -> type[Probe]:
    """The mode called ``name``."""
    found = named(f"{__name__}.{name}", Probe, name)
    assert found is not None
    return found
