"""Workers share a socket, and only one waits on it: the others wait for their turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from herd.observe.inspect.findings._base import Finding, advised, named
from herd.observe.inspect.model import Group

_ADVICE: Final = {
    "nginx": "nginx has polled with EPOLLEXCLUSIVE since 1.11.3: `accept_mutex off`, its default, makes one"
    " wakeup as well, without waiting up to accept_mutex_delay; `listen … reuseport` spreads best",
    "uwsgi": "fine: --thunder-lock keeps the others asleep in a lock, which wakes one",
}
_OTHERWISE: Final = (
    "fine, if the lock wakes one waiter at a time (`herd run -s accept-lock` compares them)"
)


_SETTINGS: Final = {("nginx", "epoll"): "accept_mutex", ("uwsgi", "lock"): "--thunder-lock"}
_WHERE: Final = {"lock": "for a lock", "epoll": "in epoll_wait, on sets without this socket"}
_MEANING: Final = {
    "lock": "one wakeup per connection, and one more as the lock goes to the next",
    "epoll": "one wakeup per connection, and runs of connections go to one worker",
}


def look(group: Group) -> Iterator[Finding]:
    """In a group that one of several siblings awaits, while the others sleep elsewhere."""
    if len(group.awaiting) != 1:
        return
    [pid] = group.awaiting
    siblings = group.siblings(pid)
    for kind in _WHERE:
        if siblings and all(kind in group.asleep.get(other, ()) for other in siblings):
            yield _finding(group, pid, siblings, kind)
            return


def _finding(group: Group, pid: int, siblings: set[int], kind: str) -> Finding:
    setting = _SETTINGS.get((group.server or "", kind))
    return Finding(
        id="one-waits-at-a-time",
        address=group.name,
        level="info",
        sure="certain" if setting else "likely",
        evidence=f"of {len(siblings) + 1} workers that hold the socket, process {pid} alone waits on it;"
        f" {named(siblings)} sleep {_WHERE[kind]}",
        meaning=f"they take turns{f' by {setting}' if setting else ''}: {_MEANING[kind]}",
        advice=advised(group, _ADVICE, _OTHERWISE),
    )
