"""What the next connection will do, from the queue that it will find: for people, and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from herd.observe.listeners import Listener
from herd.observe.waitqueue.queue import Queue, Task, Waiter
from herd.observe.waitqueue.wake import who_wakes, who_wakes_next
from herd.observe.waitqueue.xray import Reading

_NAMED: Final = 4
#: Keys that are null of a listener whose queue could not be read.
_OF_A_QUEUE: Final = (
    *("waiters", "sigio", "next_wakes", "next_wakes_tids", "then_wakes", "then_wakes_tids"),
    *("one_of", "says"),
)


@dataclass(frozen=True)
class Prediction:
    """Whom the next connection wakes, if it comes to this listener."""

    wakes: list[Task]  #: in order
    then: list[Task]  #: by the epoll_wait of those
    sigio: list[int]  #: processes that get a signal
    waiting: int  #: threads that wait on the listener, in whatever way
    group: int  #: of how many listeners the kernel chooses one
    how: str  #: why just this one, where it is one

    @property
    def pids(self) -> list[int]:
        """Of the processes that wake, each once, in order."""
        return list(dict.fromkeys([*(task.pid for task in self.wakes), *self.sigio]))

    def sentence(self) -> str:
        """In words."""
        parts = [self._wakes(), self._then(), self._sigio()]
        text = "; ".join(part for part in parts if part)
        if self.group > 1:
            return f"goes to one of {self.group} listeners; if to this one, it {text}"
        return text

    def _wakes(self) -> str:
        if not self.wakes:
            return "" if self.sigio else "wakes nobody: nobody waits here now"
        if len(self.wakes) == self.waiting > 1:
            return f"wakes all {self.waiting}"
        how = f" ({self.how})" if self.how and len(self.wakes) == 1 < self.waiting else ""
        return f"wakes {len(self.wakes)} of {self.waiting}: {_named(self.wakes)}{how}"

    def _then(self) -> str:
        if not self.then:
            return ""
        return f"then {len(self.then)} more, by the first's own epoll_wait: {_named(self.then)}"

    def _sigio(self) -> str:
        if not self.sigio:
            return ""
        more = ", …" if len(self.sigio) > _NAMED else ""
        return f"sends SIGIO to pid {', '.join(map(str, self.sigio[:_NAMED]))}{more}"


def predict(queue: Queue) -> Prediction:
    """What a queue's next connection does."""
    wakes = who_wakes(queue.waiters)
    sleepers = {task.tid for waiter in queue.waiters for task in waiter.sleepers}
    return Prediction(
        wakes=wakes,
        then=who_wakes_next(queue.waiters),
        sigio=queue.sigio,
        waiting=len(sleepers),
        group=queue.group,
        how=_how(queue.waiters, wakes),
    )


def _how(waiters: list[Waiter], wakes: list[Task]) -> str:
    for waiter in waiters:
        if wakes and wakes[0] in waiter.sleepers:
            if waiter.epoll and len(waiter.sleepers) > 1:
                return "the last to wait"
            if waiter.exclusive:
                return "the first registered" if waiter.epoll else "FIFO"
    return ""


def _named(tasks: list[Task]) -> str:
    named = ", ".join(f"pid {task.pid} {task.comm}" for task in tasks[:_NAMED])
    return f"{named}, …" if len(tasks) > _NAMED else named


def as_json(reading: Reading, listeners: Iterable[Listener]) -> dict[str, Any]:
    """A reading as ``--json`` prints it; what couldn't be read is ``None``."""
    queues = {queue.cookie: queue for queue in reading.queues}
    return {
        "time_ns": reading.time_ns,
        "read_ms": reading.read_ns / 1e6,
        "listeners": [_listener(each, queues.get(each.cookie)) for each in listeners],
    }


def _listener(listener: Listener, queue: Queue | None) -> dict[str, Any]:
    known = {
        "cookie": listener.cookie,
        "address": listener.name,
        "backlog": listener.backlog,
        "queued": listener.queue,
    }
    if queue is None:
        return known | dict.fromkeys(_OF_A_QUEUE)
    prediction = predict(queue)
    return known | {
        "waiters": [_waiter(place, waiter) for place, waiter in enumerate(queue.waiters)],
        "sigio": queue.sigio,
        "next_wakes": prediction.pids,
        "next_wakes_tids": [task.tid for task in prediction.wakes],
        "then_wakes": list(dict.fromkeys(task.pid for task in prediction.then)),
        "then_wakes_tids": [task.tid for task in prediction.then],
        "one_of": queue.group,
        "says": prediction.sentence(),
    }


def _waiter(position: int, waiter: Waiter) -> dict[str, Any]:
    task = waiter.task or _only(waiter)
    return {
        "position": position,
        "pid": _pid(waiter),
        "tid": task.tid if task else None,
        "comm": _comm(waiter),
        "kind": waiter.kind,
        "function": waiter.function,
        "exclusive": waiter.exclusive,
        "modes": waiter.modes,
        "holders": sorted(_holders(waiter)),
        "epoll": waiter.epoll.number if waiter.epoll else None,
        "waiting": [task.tid for task in waiter.sleepers] if waiter.epoll else [],
    }


def _only(waiter: Waiter) -> Task | None:
    return waiter.sleepers[0] if len(waiter.sleepers) == 1 else None


def _holders(waiter: Waiter) -> set[int]:
    """The processes that hold an item's epoll set."""
    return {holding.pid for holding in waiter.epoll.holders} if waiter.epoll else set()


def _pid(waiter: Waiter) -> int | None:
    """Whose entry it is; an epoll set that several processes hold is nobody's."""
    if waiter.task:
        return waiter.task.pid
    pids = _holders(waiter)
    return pids.pop() if len(pids) == 1 else None


def _comm(waiter: Waiter) -> str | None:
    if waiter.task:
        return waiter.task.comm
    names = {holding.comm for holding in waiter.epoll.holders} if waiter.epoll else set()
    return names.pop() if len(names) == 1 else None
