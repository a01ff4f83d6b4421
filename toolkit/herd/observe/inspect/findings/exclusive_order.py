"""EPOLLEXCLUSIVE wakes one, but always the same one first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from herd.observe.inspect.findings._base import Finding, advised
from herd.observe.inspect.model import Group

_ADVICE: Final = {
    "nginx": "fine at most loads; `listen … reuseport` spreads evenly, but queues behind busy workers",
}


def look(group: Group) -> Iterator[Finding]:
    """In each socket that several exclusive epoll sets share."""
    for socket in group.sockets:
        sets = [entry for entry in socket.used if entry.kind == "epoll" and entry.exclusive]
        if len(sets) > 1 and len(sets) == len(socket.used):
            yield Finding(
                id="exclusive-order",
                address=group.name,
                level="info",
                sure="certain",
                evidence=f"{len(sets)} epoll sets share one socket, all with EPOLLEXCLUSIVE",
                meaning="one wakeup per connection; among idle workers it is always the first that"
                " registered, so that few do most of the work (their entries keep their places,"
                " ep_ptable_queue_proc(), fs/eventpoll.c)",
                advice=advised(
                    group, _ADVICE, "fine, unless long-lived connections must be spread evenly"
                ),
            )
