"""What can be seen of a listening socket and its server from outside, without touching either."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from herd.errors import HerdError
from herd.observe import epolls, holders, listeners, netns, options, processes, waiting
from herd.observe.epolls import Descriptor
from herd.observe.holders import Seen
from herd.observe.inspect import steering
from herd.observe.inspect.steering import Program
from herd.observe.listeners import Listener
from herd.observe.options import Options
from herd.observe.processes import INIT, Process
from herd.observe.targets import Target
from herd.observe.waiting import Waiting

T = TypeVar("T")

_LONGEST = Path("/proc/sys/net/core/somaxconn")


@dataclass(frozen=True)
class Facts:
    """As they were seen, one after the other, while the server went on."""

    listeners: list[Listener]
    seen: Seen = field(default_factory=Seen)
    options: dict[int, Options] = field(default_factory=dict)  #: by inode; without those not seen
    processes: dict[int, Process] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    #: Which (process, epoll descriptor) are the same set; ``None``: unknown.
    sets: dict[Descriptor, int] | None = None
    #: The program that chooses in a reuseport group, by cookie; ``None``: could not be looked for.
    programs: dict[int, Program] | None = None
    somaxconn: int | None = None  #: the longest accept queue that may be asked for
    unread: list[int] = field(default_factory=list)  #: holders whose threads couldn't be read
    why_no_programs: str = ""

    @property
    def hidden_kin(self) -> list[int]:
        """The server's relatives whose descriptors couldn't be read: they may hold its sockets, too.

        Not init, which a daemon has for a parent: it may hold a socket, but then waits for no connection.
        """
        return [pid for pid in self.seen.hidden if pid in self.processes and pid != INIT]


def collect(target: Target) -> Facts:
    """Look.

    :raises UsageError: nothing listens there
    :raises HostError: this user may not look there
    :raises HerdError: it closed while it was looked at
    """
    found = _whole_groups(target, listeners.find(target))
    seen = holders.look({listener.inode for listener in found})
    if not seen.holders and not _still_there(target, found):
        raise HerdError(f"{target} was closed while it was looked at")
    pids = {holder.pid for holder in seen.holders}
    threads, unread = _threads(pids)
    programs, why = _there(target, steering.look)
    return Facts(
        listeners=found,
        seen=seen,
        options=_options(seen),
        processes=processes.related(pids),
        waiting=threads,
        unread=unread,
        sets=epolls.same((item.pid, item.epoll_fd) for item in seen.epoll_items),
        programs=programs,
        why_no_programs=why,
        somaxconn=_somaxconn(target),
    )


def not_seen(facts: Facts) -> Iterator[str]:
    """What is unknown, and why."""
    kin = facts.hidden_kin
    if others := len(facts.seen.hidden) - len(kin):
        yield f"the descriptors of processes that are unrelated: {others}"
    if kin:
        yield f"the descriptors of the server's relatives {kin}: root sees them"
    if not facts.seen.holders:
        yield "who holds the sockets: root sees it"
    if facts.unread:
        yield f"in what the threads of {facts.unread} sleep: root sees it"
    if any(wait.fds is None for wait in facts.waiting):
        yield "what some threads poll: they went on meanwhile"
    if any(wait.kind == "io_uring" for wait in facts.waiting):
        yield "what io_uring waits for: herd waitqueue sees it"
    if facts.programs is None:
        yield f"whether a BPF program chooses in a reuseport group: {facts.why_no_programs}"
    if any(listener.inode not in facts.options for listener in facts.listeners):
        yield "SO_REUSEPORT and other options of sockets whose holders may not be asked"


def _there(target: Target, look: Callable[[], T]) -> T:
    """Look in the network namespace that is meant."""
    return look() if target.pid is None else netns.inside(target.pid, look)


def _whole_groups(target: Target, found: list[Listener]) -> list[Listener]:
    """With those of other processes on the same address, among which the kernel chooses, too."""
    names = {listener.name for listener in found}
    return [each for each in _there(target, listeners.listening) if each.name in names]


def _still_there(target: Target, found: list[Listener]) -> bool:
    cookies = {listener.cookie for listener in found}
    return any(each.cookie in cookies for each in _there(target, listeners.listening))


def _options(seen: Seen) -> dict[int, Options]:
    by_inode = defaultdict(list)
    for holder in seen.holders:
        by_inode[holder.inode].append(holder)
    asked = {inode: options.read(of_one) for inode, of_one in by_inode.items()}
    return {inode: told for inode, told in asked.items() if told}


def _threads(pids: set[int]) -> tuple[list[Waiting], list[int]]:
    """What threads sleep in, and of which processes that couldn't be read."""
    found: list[Waiting] = []
    unread: list[int] = []
    for pid in sorted(pids):
        try:
            found += waiting.look(pid)
        except PermissionError:
            unread.append(pid)
    return found, unread


def _somaxconn(target: Target) -> int | None:
    try:
        return int(_there(target, _LONGEST.read_text))
    except OSError:
        return None
