"""How workers wait for connections. ADD A STRATEGY: one file here, or an entry point elsewhere.

A file defines one subclass of :class:`~herd.strategies._base.Strategy`; its ``name`` is what
``--strategy`` takes. Another package offers its own through the entry-point group ``herd.strategies``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Mapping

from herd.discover import modules, named, plugins, unknown
from herd.errors import HerdError, UsageError
from herd.options import Option, completed, merged
from herd.strangers import guarded
from herd.strategies._base import Listen, Prediction, Server, Strategy

__all__ = [
    "Listen",
    "Option",
    "Prediction",
    "Server",
    "Strategy",
    "bereaved",
    "builtin",
    "choose",
    "find",
    "load",
    "names",
    "options",
    "predict",
    "reference",
    "unavailable",
]


def names() -> list[str]:
    """Every strategy there is, built-in ones first; imports none of them."""
    own = builtin()
    return own + [point.name for point in plugins("herd.strategies") if point.name not in own]


def builtin() -> list[str]:
    """Those of this package."""
    return [module.replace("_", "-") for module in modules(__name__)]


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
    found = _imported(where)
    if isinstance(found, HerdError):
        raise found
    return found


@functools.cache
def _imported(where: str) -> type[Strategy] | HerdError:
    """Tried once: one that hangs costs its patience once, not at each command and option."""
    module, _, attribute = where.partition(":")
    try:
        with guarded(f"strategy {where} cannot be imported"):
            found = getattr(importlib.import_module(module), attribute)
    except HerdError as error:
        return error
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        return UsageError(f"strategy {where} is not a subclass of herd.strategies.Strategy")
    return found


def find(name: str) -> type[Strategy]:
    """The strategy called ``name``."""
    return load(reference(name))


def options() -> dict[str, Option]:
    """Every option of every strategy; one of another package that can't be imported has none."""
    found: list[Option] = []
    for name in names():
        with contextlib.suppress(Exception):
            found += find(name).options
    return merged(found)


def _who_takes(key: str) -> list[str]:
    takers = []
    for name in names():
        with contextlib.suppress(Exception):
            takers += [name] if key in {option.name for option in find(name).options} else []
    return takers


def unavailable(name: str) -> str | None:
    """Why a strategy cannot run on this host.

    :raises UsageError: it couldn't say
    """
    with guarded(f"strategy {name} cannot be used"):
        return find(name).unavailable()


def predict(name: str, chosen: Mapping[str, str], workers: int) -> Prediction:
    """What a strategy should show with these options.

    :raises UsageError: it couldn't say
    """
    with guarded(f"strategy {name} cannot predict"):
        return find(name)(chosen).prediction(workers)


def bereaved(name: str, chosen: Mapping[str, str]) -> str | None:
    """Why the others may wait for ever once a worker was killed.

    :raises HerdError: it couldn't say
    """
    with guarded(f"strategy {name} cannot say why its workers wait", HerdError):
        return find(name)(chosen).bereaved()


def choose(name: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """What was chosen for a strategy, with its defaults.

    :raises UsageError: the strategy has no such option, or the option no such choice, or it can't be used
    """
    strategy = find(name)
    with guarded(f"strategy {name} cannot be used"):
        complete = completed(f"strategy {name}", strategy.options, chosen, _who_takes)
        strategy.check(complete)
        return complete
