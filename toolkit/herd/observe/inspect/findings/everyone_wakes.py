"""Several wait on one socket, and none of them exclusively: the thundering herd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from herd.observe.inspect.findings._base import Finding, advised, named
from herd.observe.inspect.model import Entry, Group, Socket

_ADVICE: Final = {
    "nginx": "nginx 1.11.3 and newer polls with EPOLLEXCLUSIVE by itself; older: `listen … reuseport`",
    "gunicorn": "gunicorn 24 or newer with --reuse-port: each worker then has a socket of its own",
    "uwsgi": "uwsgi --thunder-lock: one process polls at a time",
    "apache": "ListenCoresBucketsRatio, where there are CPUs enough: fewer processes poll each socket",
    "haproxy": "`shards by-thread` on the `bind` line (haproxy 2.5): each thread then has its own socket",
    "node": "leave cluster.schedulingPolicy at SCHED_RR, or listen with reusePort (node 23.1)",
}
_OTHERWISE: Final = (
    "poll with EPOLLEXCLUSIVE, block in accept, or give each worker a SO_REUSEPORT socket"
)


def look(group: Group) -> Iterator[Finding]:
    """In each socket that two or more entries of its wait queue share, non-exclusively."""
    for socket in group.sockets:
        plain = [entry for entry in socket.used if not entry.exclusive]
        if len(plain) > 1:
            yield _finding(group, socket, plain)


def _finding(group: Group, socket: Socket, plain: list[Entry]) -> Finding:
    kinds = ", ".join(sorted({entry.kind for entry in plain}))
    pids = {pid for entry in plain for pid in entry.pids}
    who = f"{len(plain)} threads of" if len(pids) < len(plain) else f"{len(plain)} workers:"
    return Finding(
        id="everyone-wakes",
        address=group.name,
        level="warning",
        sure="certain" if socket.complete else "likely",
        evidence=f"{who} {_noun(pids)} {named(pids)} wait on one socket by {kinds},"
        " none with EPOLLEXCLUSIVE",
        meaning=f"when they are idle, a connection makes up to {len(plain)} wakeups, of which one is of"
        " use (__wake_up_common() goes on until an exclusive waiter, kernel/sched/wait.c);"
        " `herd observe` says what that costs",
        advice=advised(group, _ADVICE, _OTHERWISE),
    )


def _noun(pids: set[int]) -> str:
    return "pid" if len(pids) == 1 else "pids"
