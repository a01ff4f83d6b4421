"""EPOLLEXCLUSIVE wakes one, but always the same one first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from herd.observe.inspect.findings._base import Finding, advised
from herd.observe.inspect.model import Group

_MEANING: Final = {
    # ngx_reorder_accept_events(), src/event/ngx_event_accept.c
    "nginx": "nginx from 1.21.6 on registers anew every 16 accepts: runs of up to 16 for each worker, even"
    " in the end; before, the first that registered does most of the work",
}
_OTHERWISE: Final = (
    "among idle workers it is always the first that registered, so that few do most of the work (entries keep"
    " their places, ep_ptable_queue_proc(), fs/eventpoll.c)"
)
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
                meaning=f"one wakeup per connection; {advised(group, _MEANING, _OTHERWISE)}",
                advice=advised(
                    group, _ADVICE, "fine, unless long-lived connections must be spread evenly"
                ),
            )
