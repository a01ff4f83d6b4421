"""The ways to see a wakeup, each tried before it is used."""

from __future__ import annotations

import importlib

from herd.discover import modules
from herd.probes.modes._base import Probe

__all__ = ["Probe", "find", "names"]


def names() -> list[str]:
    """Every mode there is, the most exact one first."""
    return sorted(modules(__name__), key=lambda name: find(name).rank)


def find(name: str) -> type[Probe]:
    """The mode called ``name``."""
    module = importlib.import_module(f"{__name__}.{name}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Probe) and value.name == name:
            return value
    raise LookupError(name)
