"""How workers wait for connections. ADD A STRATEGY: one file here, or an entry point elsewhere.

A file defines one subclass of :class:`~herd.strategies._base.Strategy`; its ``name`` is what
``--strategy`` takes. Another package offers its own through the entry-point group ``herd.strategies``.
"""

from __future__ import annotations

import importlib

from herd.discover import modules, named, plugins, unknown
from herd.errors import UsageError
from herd.strategies._base import Listen, Prediction, Server, Strategy

__all__ = ["Listen", "Prediction", "Server", "Strategy", "find", "load", "names", "reference"]


def names() -> list[str]:
    """Every strategy there is, built-in ones first; imports none of them."""
    own = [module.replace("_", "-") for module in modules(__name__)]
    return own + [point.name for point in plugins("herd.strategies") if point.name not in own]


def reference(name: str) -> str:
    """Where to import a strategy from, as ``module:attribute``; another process can load it."""
    module = name.replace("-", "_")
    if module in modules(__name__):
        found = named(f"{__name__}.{module}", Strategy, name)
        if found:
            return f"{found.__module__}:{found.__qualname__}"
    for point in plugins("herd.strategies"):
        if point.name == name:
            return point.value
    raise unknown("strategy", name, names())


def load(where: str) -> type[Strategy]:
    """Import what :func:`reference` named; an extension that fails is named in the error."""
    module, _, attribute = where.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise UsageError(
            f"strategy {where} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise UsageError(f"strategy {where} is not a subclass of herd.strategies.Strategy")
    return found


def find(name: str) -> type[Strategy]:
    """The strategy called ``name``."""
    return load(reference(name))
