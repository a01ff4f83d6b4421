"""A socket that nobody waits on: its connections are never accepted."""

from __future__ import annotations

from collections.abc import Iterator

from herd.observe.inspect.findings._base import Finding, named
from herd.observe.inspect.model import Group, Socket


def look(group: Group) -> Iterator[Finding]:
    """In each socket without an entry, if all its holders are asleep elsewhere or it is one of several."""
    for socket in group.sockets:
        if socket.used or not socket.complete or not socket.holders:
            continue
        yield _of_several(group, socket) if len(group.sockets) > 1 else _alone(group, socket)


def _of_several(group: Group, socket: Socket) -> Finding:
    idle = all(pid in group.asleep for pid in socket.holders)
    return Finding(
        id="reuseport-socket-abandoned",
        address=group.name,
        level="problem",
        sure="likely" if idle else "possible",
        evidence=f"of {len(group.sockets)} sockets of this group, the one with cookie"
        f" {socket.listener.cookie:x} is awaited by none of its holders ({named(socket.holders)})",
        meaning="the kernel goes on giving it its share of the connections, which nobody accepts; or the"
        " worker was busy just now",
        advice="look again; if it stays so, its worker has died while others hold its socket: restart the"
        " server",
    )


def _alone(group: Group, socket: Socket) -> Finding:
    return Finding(
        id="nobody-waits",
        address=group.name,
        level="warning",
        sure="possible",
        evidence=f"none of the processes that hold the socket ({named(socket.holders)}) waits on it,"
        f" and {socket.listener.queue} connections are queued",
        meaning="all workers were busy just now, or they hang; connections queue meanwhile",
        advice="look again, and see where they are: cat /proc/PID/stack, or `herd waitqueue`",
    )
