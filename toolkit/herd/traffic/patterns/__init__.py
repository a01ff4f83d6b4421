"""When connections are intended to start. ADD AN ARRIVAL PATTERN: one file here.

A file defines one subclass of :class:`~herd.traffic.patterns._base.Pattern`; its ``name`` is the file's.
"""

from __future__ import annotations

from collections.abc import Mapping

from herd.discover import modules, named, unknown
from herd.options import Option, completed, merged
from herd.traffic.patterns._base import NEVER, Pattern, Situation

__all__ = ["NEVER", "Pattern", "Situation", "choose", "find", "names", "options"]


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


def options() -> dict[str, Option]:
    """Every option of every pattern."""
    return merged(option for name in names() for option in find(name).options)


def _who_takes(key: str) -> list[str]:
    return [f"--pattern {name}" for name in names() if key in merged(find(name).options)]


def choose(name: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """What was chosen for a pattern, with its defaults.

    :raises UsageError: the pattern has no such option, or it can't be used
    """
    pattern = find(name)
    complete = completed(f"arrival pattern {name}", pattern.options, chosen, _who_takes)
    pattern.check(complete)
    return complete
