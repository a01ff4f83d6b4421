"""One reading: raw addresses from the kernel, joined to queues of named processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from herd.errors import HerdError
from herd.observe import holders
from herd.observe.waitqueue.programs import Changed, Programs, Rows
from herd.observe.waitqueue.queue import (
    EPOLL_WAIT,
    KINDS,
    UNKNOWN,
    EpollSet,
    Holding,
    Queue,
    Task,
    Waiter,
)
from herd.observe.waitqueue.symbols import Symbols
from herd.probes.btf import Btf

_EXCLUSIVE: Final = 1  # WQ_FLAG_EXCLUSIVE, include/linux/wait.h
_SLEEPING: Final = 3  # TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE, include/linux/sched.h
_GROUP: Final = 2  # PIDTYPE_PGID, include/linux/pid_types.h
_ATTEMPTS: Final = 20

#: Where an entry keeps its thread, by kind.
_TASK_IN: Final = {
    "accept": "private",
    EPOLL_WAIT: "private",
    "poll": "poll_task",
    "io_uring": "uring_task",
}


class Reader:
    """Reads queues through loaded programs."""

    def __init__(self, programs: Programs, symbols: Symbols, btf: Btf) -> None:
        self._programs = programs
        self._symbols = symbols
        self._queue_of_set = btf.offset("eventpoll", "wq") or 0
        self._polled_queue_of_set = btf.offset("eventpoll", "poll_wait") or 0

    def read(self, cookies: Iterable[int]) -> list[Queue]:
        """The queues of these listeners, of those that some process holds.

        :raises HerdError: they change faster than they can be read
        """
        wanted = list(cookies)
        for _ in range(_ATTEMPTS):
            try:
                return self._read(wanted)
            except Changed:
                continue
        raise HerdError(
            f"the wait queue changed during each of {_ATTEMPTS} attempts to read it",
            "the server is busy: try again",
        )

    def _read(self, cookies: list[int]) -> list[Queue]:
        files = {int(row["key"]): row for row in self._programs.files(cookies)}
        found = {cookie: files[cookie] for cookie in cookies if cookie in files}
        entries = {cookie: self._entries(row["queue"]) for cookie, row in found.items()}
        sets = self._sets(entries.values())
        joined = _Join(self._programs, list(entries.values()), sets)
        return [
            Queue(
                cookie=cookie,
                waiters=joined.waiters(entries[cookie]),
                sigio=_signalled(self._programs.signals(int(row["signals"]))),
                group=max(1, int(row["group"])),
            )
            for cookie, row in found.items()
        ]

    def _sets(self, queues: Iterable[list[_Entry]]) -> dict[int, tuple[list[_Entry], list[_Entry]]]:
        """Of each epoll set, and of those that watch it: who waits in it, and what polls it."""
        sets: dict[int, tuple[list[_Entry], list[_Entry]]] = {}
        new = _addresses(queues)
        while new:
            for address in new:
                own = self._entries(address + self._queue_of_set, EPOLL_WAIT)
                sets[address] = own, self._entries(address + self._polled_queue_of_set)
            new = _addresses(polled for _, polled in sets.values()) - sets.keys()
        return sets

    def _entries(self, head: int, kind: str | None = None) -> list[_Entry]:
        rows = self._programs.queue(int(head))
        return [_Entry(row, self._symbols.name(int(row["function"])), kind) for row in rows]


class _Entry:
    """A raw entry, of which is known what it is."""

    def __init__(self, row: Any, function: str, kind: str | None) -> None:
        self.function = function
        self.kind = kind or KINDS.get(function, UNKNOWN)
        self.exclusive = bool(row["flags"] & _EXCLUSIVE)
        self.epoll = int(row["epoll"]) if self.kind == "epoll" else 0
        self.events = int(row["events"]) if self.kind == "epoll" else 0
        self.task = int(row[_TASK_IN[self.kind]]) if self.kind in _TASK_IN else 0


def _addresses(queues: Iterable[list[_Entry]]) -> set[int]:
    return {entry.epoll for queue in queues for entry in queue if entry.epoll}


def _signalled(owners: Rows) -> list[int]:
    pids = [
        pid
        for owner in owners
        for pid in (
            holders.process_group(int(owner["number"]))
            if owner["type"] == _GROUP
            else [int(owner["number"])]
        )
    ]
    return [pid for pid in dict.fromkeys(pids) if pid]  # 0: nobody has said who (F_SETOWN)


class _Join:
    """Names for the addresses of one reading."""

    def __init__(
        self,
        programs: Programs,
        queues: list[list[_Entry]],
        sets: dict[int, tuple[list[_Entry], list[_Entry]]],
    ) -> None:
        everywhere = [*queues, *(queue for pair in sets.values() for queue in pair)]
        addresses = {entry.task for queue in everywhere for entry in queue if entry.task}
        self._tasks = {int(row["key"]): _task(row) for row in programs.tasks(addresses)}
        self._holders: dict[int, list[Holding]] = {address: [] for address in sets}
        for row in programs.files(sets):
            self._holders[int(row["key"])].append(
                Holding(int(row["pid"]), _text(row["comm"]), int(row["fd"]))
            )
        self._raw_sets = sets
        self._sets: dict[int, EpollSet] = {}

    def waiters(self, entries: list[_Entry]) -> list[Waiter]:
        """A queue's entries."""
        return [
            Waiter(
                kind=entry.kind,
                function=entry.function,
                exclusive=entry.exclusive,
                task=self._tasks.get(entry.task),
                events=entry.events,
                epoll=self._set(entry.epoll) if entry.epoll else None,
            )
            for entry in entries
        ]

    def _set(self, address: int) -> EpollSet:
        if address not in self._sets:
            waiting, polled_by = map(self.waiters, self._raw_sets[address])
            self._sets[address] = EpollSet(
                number=len(self._sets) + 1,
                holders=self._holders[address],
                waiting=waiting,
                polled_by=polled_by,
            )
        return self._sets[address]


def _task(row: Any) -> Task:
    return Task(
        pid=int(row["pid"]),
        tid=int(row["tid"]),
        comm=_text(row["comm"]),
        sleeping=bool(row["state"] & _SLEEPING),
    )


def _text(comm: bytes) -> str:
    return comm.decode(errors="replace")
