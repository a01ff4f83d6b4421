"""What a client says on its connection, and when it has its answer. ADD A REQUEST: one file here.

A file defines one subclass of :class:`~herd.traffic.requests._base.Request`; its ``name`` is the file's, with
hyphens.
"""

from __future__ import annotations

from collections.abc import Mapping

from herd.discover import modules, named, unknown
from herd.options import Option, completed, merged
from herd.traffic.requests._base import BadAnswer, Request, Unfinished

__all__ = ["BadAnswer", "Request", "Unfinished", "choose", "find", "names", "options"]


def names() -> list[str]:
    """Every kind of request there is."""
    return [module.replace("_", "-") for module in modules(__name__)]


def find(name: str) -> type[Request]:
    """The kind of request called ``name``."""
    if name not in names():
        raise unknown("request", name, names())
    found = named(f"{__name__}.{name.replace('-', '_')}", Request, name)
    assert found is not None
    return found


def options() -> dict[str, Option]:
    """Every option of every request."""
    return merged(option for name in names() for option in find(name).options)


def _who_takes(key: str) -> list[str]:
    return [f"--request {name}" for name in names() if key in merged(find(name).options)]


def choose(name: str, chosen: Mapping[str, str]) -> dict[str, str]:
    """What was chosen for a request, with its defaults.

    :raises UsageError: the request has no such option, or it can't be used
    """
    request = find(name)
    complete = completed(f"request {name}", request.options, chosen, _who_takes)
    request.check(complete)
    return complete
