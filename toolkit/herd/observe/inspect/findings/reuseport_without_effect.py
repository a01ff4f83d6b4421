"""SO_REUSEPORT is set, but there is one socket, which all share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from herd.observe.inspect.findings._base import Finding, advised, named
from herd.observe.inspect.model import Group

_ADVICE: Final = {
    "gunicorn": "upgrade to gunicorn 24 or newer, whose workers bind for themselves; before, the master"
    " binds one socket and forks (pull request 2938)",
    "nginx": "restart rather than reload, if `reuseport` was added; check worker_processes",
    "node": "listen with reusePort in each worker, without cluster's own sharing (node 23.1)",
}
_OTHERWISE: Final = "bind in each worker, after the fork, not once in the parent"


def look(group: Group) -> Iterator[Finding]:
    """In a group of one socket."""
    if not group.reuseport or len(group.sockets) > 1 or len(group.workers) < 2:
        return
    server = group.server or "the server"
    option = _option(group)
    said = f"was started with {option}" if option else "has set SO_REUSEPORT"
    yield Finding(
        id="reuseport-without-effect",
        address=group.name,
        level="warning",
        sure="certain",
        evidence=f"{server} {said}, but all {len(group.workers)} workers ({named(group.workers)}) hold the"
        " same socket",
        meaning="the option had no effect: the kernel has nothing to choose from, and all workers share"
        " one accept queue (a group has one member, net/core/sock_reuseport.c)",
        advice=advised(group, _ADVICE, _OTHERWISE),
    )


def _option(group: Group) -> str | None:
    """The word of a command line that asked for it."""
    lines = (group.processes[pid].arguments for pid in group.holders if pid in group.processes)
    words = (word for line in lines for word in line)
    return next((word for word in words if re.search("reuse.?port", word, re.IGNORECASE)), None)
