"""The ways to see a wakeup, each tried before it is used."""

from __future__ import annotations

from herd.discover import modules, named
from herd.probes.modes._base import SOURCES, Probe

__all__ = ["SOURCES", "Probe", "find", "names"]


def names() -> list[str]:
    """Every mode there is, the most exact one first."""
    return sorted(modules(__name__), key=lambda name: find(name).rank)


def find(name: str) -> type[Probe]:
    """The mode called ``name``."""
    found = named(f"{__name__}.{name}", Probe, name)
    assert found is not None
    return found
