"""One process accepts for others, which never see the socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from herd.observe.inspect.findings._base import Finding, advised, named
from herd.observe.inspect.model import Group

_ADVICE: Final = {
    "node": "fine, unless that process is busy (its CPU is the limit): then cluster.SCHED_NONE, or listen"
    " with reusePort in each worker (node 23.1)",
}


def look(group: Group) -> Iterator[Finding]:
    """In a group whose one holder has children."""
    if len(group.holders) != 1 or not group.awaiting:
        return
    [pid] = group.holders
    children = [child.pid for child in group.processes.values() if child.parent == pid]
    if len(children) > 1:
        yield Finding(
            id="one-process-accepts",
            address=group.name,
            level="info",
            sure="certain" if group.server == "node" else "possible",
            evidence=f"process {pid} alone holds the socket; its children {named(children)} don't",
            meaning="it accepts every connection and hands it on, by a descriptor, a fork or as a proxy: no"
            " herd, but each connection costs it a wakeup, and then a worker one",
            advice=advised(group, _ADVICE, "fine, unless its CPU is the limit"),
        )
