"""How a server waits for connections, from facts: a pure function, which needs no server."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from herd.observe.holders import EPOLLEXCLUSIVE, EpollItem, modes
from herd.observe.inspect.facts import Facts
from herd.observe.inspect.programs import recognise
from herd.observe.inspect.steering import Program
from herd.observe.listeners import Listener
from herd.observe.options import Options
from herd.observe.processes import Process
from herd.observe.waiting import Waiting


@dataclass(frozen=True)
class Entry:
    """One entry of a socket's wait queue: a thread in accept, select or poll, or an epoll set."""

    kind: str  #: ``accept``, ``select``, ``poll`` or ``epoll``
    pids: tuple[int, ...]  #: of epoll: all that have the set
    sleepers: tuple[int, ...]  #: thread ids; of epoll: those that wait on the set now
    exclusive: bool
    modes: tuple[str, ...] = ()  #: of epoll; none is level-triggered
    #: Whether those processes wait by it, now or when they have done what they do; not if all sleep
    #: elsewhere: for a lock, or in accept on the same socket.
    used: bool = True

    @property
    def wakes(self) -> int:
        """How many threads one arrival wakes by it, at most.

        A level-triggered set's waiters wake each other by their own ``epoll_wait`` (ep_done_scan(),
        fs/eventpoll.c).
        """
        chained = self.kind == "epoll" and not {"edge", "oneshot"} & set(self.modes)
        return len(self.sleepers) if chained else min(1, len(self.sleepers))


@dataclass(frozen=True)
class Socket:
    """A listening socket, who holds it, who awaits it."""

    listener: Listener
    options: Options | None  #: ``None``: not seen
    holders: tuple[int, ...]  #: processes
    entries: tuple[Entry, ...]
    complete: bool  #: whether all that may wait could be seen

    @property
    def used(self) -> list[Entry]:
        """Entries by which somebody waits."""
        return [entry for entry in self.entries if entry.used]

    @property
    def awaiting(self) -> set[int]:
        """Processes that wait on it, now or when they have done what they do."""
        return {pid for entry in self.used for pid in entry.pids}

    @property
    def sleepers(self) -> set[int]:
        """Threads that sleep now and that an arrival could wake."""
        return {tid for entry in self.entries for tid in entry.sleepers}

    @property
    def wakes_at_most(self) -> int | None:
        """Threads that the next connection wakes: all that aren't exclusive, and one that is."""
        if not self.complete:
            return None
        exclusive = [entry.wakes for entry in self.entries if entry.exclusive]
        return sum(e.wakes for e in self.entries if not e.exclusive) + max(exclusive, default=0)


@dataclass(frozen=True)
class Group:
    """The sockets of one address, among which the kernel chooses; most often there is one."""

    sockets: tuple[Socket, ...]
    processes: dict[int, Process]  #: holders, their parents and descendants
    asleep: dict[int, set[str]]  #: in what kinds of calls threads of a process sleep
    program: Program | None
    programs_seen: bool
    somaxconn: int | None

    @property
    def name(self) -> str:
        """The address."""
        return self.sockets[0].listener.name

    @property
    def reuseport(self) -> bool | None:
        """Whether SO_REUSEPORT is set; ``None``: not seen."""
        told = [socket.options.reuseport for socket in self.sockets if socket.options]
        return any(told) if told else None

    @property
    def holders(self) -> set[int]:
        """Processes that hold one of them."""
        return {pid for socket in self.sockets for pid in socket.holders}

    @property
    def awaiting(self) -> set[int]:
        """Processes that wait on one of them."""
        return {pid for socket in self.sockets for pid in socket.awaiting}

    @property
    def workers(self) -> set[int]:
        """Processes that wait on one of them, and those that are their like."""
        alike = {other for pid in self.awaiting for other in self.siblings(pid)}
        return self.awaiting | alike

    def is_parent(self, pid: int) -> bool:
        """Whether a process has started one of those that wait."""
        return any(self._parent(awaiting) == pid for awaiting in self.awaiting)

    def siblings(self, pid: int) -> set[int]:
        """Other holders with the same parent."""
        parent = self._parent(pid)
        others = self.holders - {pid}
        return {other for other in others if parent and self._parent(other) == parent}

    def _parent(self, pid: int) -> int | None:
        return self.processes[pid].parent if pid in self.processes else None

    @cached_property
    def server(self) -> str | None:
        """Which server it is: what most of its processes are; ``None``: none that herd knows."""
        known = (recognise(self.processes[pid]) for pid in self.holders if pid in self.processes)
        counted = Counter(name for name in known if name)
        return counted.most_common(1)[0][0] if counted else None


def groups(facts: Facts) -> list[Group]:
    """The model: sockets by their address."""
    waiters = _Waiters(facts)
    by_name: defaultdict[str, list[Socket]] = defaultdict(list)
    for listener in facts.listeners:
        by_name[listener.name].append(_socket(facts, waiters, listener))
    return [_group(facts, sockets) for sockets in by_name.values()]


def _group(facts: Facts, sockets: list[Socket]) -> Group:
    programs = facts.programs or {}
    chosen = (programs.get(socket.listener.cookie) for socket in sockets)
    asleep: defaultdict[int, set[str]] = defaultdict(set)
    for wait in facts.waiting:
        asleep[wait.pid].add(wait.kind)
    return Group(
        sockets=tuple(sockets),
        processes=facts.processes,
        asleep=dict(asleep),
        program=next((program for program in chosen if program), None),
        programs_seen=facts.programs is not None,
        somaxconn=facts.somaxconn,
    )


def _socket(facts: Facts, waiters: _Waiters, listener: Listener) -> Socket:
    holders = {holder.pid for holder in facts.seen.holders if holder.inode == listener.inode}
    unclear = {wait.pid for wait in facts.waiting if wait.fds is None or wait.kind == "io_uring"}
    unclear |= set(facts.unread)
    return Socket(
        listener=listener,
        options=facts.options.get(listener.inode),
        holders=tuple(sorted(holders)),
        entries=waiters.entries(listener.inode),
        complete=bool(holders) and not facts.hidden_kin and not unclear & holders,
    )


class _Waiters:
    """Who waits on which socket: descriptors in calls and in epoll sets, brought together with those held."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._inodes = {(held.pid, held.fd): held.inode for held in facts.seen.holders}
        self._asleep: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for wait in facts.waiting:
            if wait.kind == "epoll" and wait.fds:
                self._asleep[wait.pid, wait.fds[0]].append(wait.tid)

        self._locked = {
            wait.pid for wait in facts.waiting if wait.kind == "lock" and wait.tid == wait.pid
        }

    def entries(self, inode: int) -> tuple[Entry, ...]:
        """A socket's wait queue, in no particular order."""
        calls = list(self._in_calls(inode))
        elsewhere = self._locked | {pid for entry in calls for pid in entry.pids}
        return (*calls, *self._in_epoll(inode, elsewhere))

    def _in_calls(self, inode: int) -> Iterator[Entry]:
        """Threads in accept, select or poll."""
        for wait in self._facts.waiting:
            if wait.kind in ("accept", "select", "poll") and self._awaits(wait, inode):
                yield Entry(wait.kind, (wait.pid,), (wait.tid,), exclusive=wait.kind == "accept")

    def _awaits(self, wait: Waiting, inode: int) -> bool:
        return any(self._inodes.get((wait.pid, fd)) == inode for fd in wait.fds or ())

    def _in_epoll(self, inode: int, elsewhere: set[int]) -> Iterator[Entry]:
        """Epoll sets; one that several processes hold is one entry."""
        sets: defaultdict[object, list[EpollItem]] = defaultdict(list)
        for item in self._facts.seen.epoll_items:
            if item.inode == inode:
                sets[self._key(item)].append(item)
        for items in sets.values():
            pids = {item.pid for item in items}
            sleepers = {tid for item in items for tid in self._asleep[item.pid, item.epoll_fd]}
            yield Entry(
                "epoll",
                tuple(sorted(pids)),
                tuple(sorted(sleepers)),
                bool(items[0].events & EPOLLEXCLUSIVE),
                tuple(mode for mode in modes(items[0].events) if mode != "exclusive"),
                used=bool(sleepers) or not pids <= elsewhere,
            )

    def _key(self, item: EpollItem) -> object:
        """Not by the set alone: a socket may be in it twice, under two descriptors."""
        held = (item.pid, item.epoll_fd)
        return (self._facts.sets[held] if self._facts.sets else held), item.fd
