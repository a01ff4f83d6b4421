"""Real servers, started on loopback for tests and for ``make servers``. One file adds a program.

Each file has ``SERVERS``: one program, set up in the ways that matter to who wakes.
"""

from __future__ import annotations

import importlib

from herd.discover import modules, unknown
from herd.observe.servers._base import Place, Server
from herd.observe.servers._clients import CLIENTS
from herd.observe.servers._life import Running, running, until

__all__ = ["CLIENTS", "Place", "Running", "Server", "every", "find", "running", "until"]


def every() -> list[Server]:
    """All of them, in the order of their files."""
    return [
        server
        for name in modules(__name__)
        for server in importlib.import_module(f"{__name__}.{name}").SERVERS
    ]


def find(name: str) -> Server:
    """One of them.

    :raises UsageError: there is none of that name
    """
    known = {server.name: server for server in every()}
    if name not in known:
        raise unknown("server", name, known)
    return known[name]
