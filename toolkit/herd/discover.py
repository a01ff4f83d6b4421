"""One file adds a capability: whatever is in a folder, or in another package's entry point, is found."""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from herd.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


@functools.cache
def modules(package: str) -> list[str]:
    """Names of the modules in a package's folder, without importing them; not those with a ``_``.

    Looked for once: ``herd --help`` asks a hundred times.
    """
    path = importlib.import_module(package).__path__
    return sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_"))


def named(module: str, base: type[T], name: str) -> type[T] | None:
    """The subclass of ``base`` in a module whose attribute ``name`` is ``name``."""
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, type) and issubclass(value, base) and vars(value).get("name") == name:
            return value
    return None


def plugins(group: str) -> list[EntryPoint]:
    """Entry points that other installed packages offer."""
    # Imported late: it is half of what the pool's and the load's processes would import.
    from importlib.metadata import entry_points

    return sorted(entry_points(group=group), key=lambda point: point.name)


def unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that isn't there: says the nearest one and all there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]!r}?" if near else ""
    return UsageError(f"unknown {what} {name!r}{guess}", f"known: {', '.join(names)}")
