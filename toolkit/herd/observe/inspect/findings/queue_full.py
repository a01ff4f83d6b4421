"""Connections wait to be accepted, so many that more are dropped."""

from __future__ import annotations

from collections.abc import Iterator

from herd.observe.inspect.findings._base import Finding
from herd.observe.inspect.model import Group


def look(group: Group) -> Iterator[Finding]:
    """In each socket whose accept queue is full, or half so."""
    for socket in group.sockets:
        queued, backlog = socket.listener.queue, socket.listener.backlog
        if not queued or queued < backlog / 2:
            continue
        full = queued > backlog  # sk_acceptq_is_full(), include/net/sock.h
        yield Finding(
            id="accept-queue-full" if full else "accept-queue-long",
            address=group.name,
            level="problem" if full else "warning",
            sure="certain",
            evidence=f"{queued} connections are in the accept queue, whose backlog is {backlog}",
            meaning="new connections are dropped, and clients try again after a second or more"
            if full
            else "workers accept more slowly than connections come; when it is full, they are dropped",
            advice="see whether workers are stuck (`herd waitqueue`), then add workers; a longer backlog"
            " helps with bursts only",
        )
