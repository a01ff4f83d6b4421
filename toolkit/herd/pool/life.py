"""The life of a worker, process or thread, from its start to its first wait; and how one is signalled."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

from herd.area import Area
from herd.pool.log import READY, SERVING
from herd.pool.usage import note_own
from herd.pool.worker import Worker
from herd.process import die_with_parent
from herd.strategies import Strategy

#: What lets a worker go; blocked since before the fork, so that one that comes early waits and doesn't kill.
GO: Final = signal.SIGUSR1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Plan:
    """What every worker of a run is made from.

    :param worker: makes the worker with this number
    :param cpus: where workers may run; empty: anywhere
    :param ready: pipe that is told an empty line when a worker is ready, or what went wrong
    """

    strategy: Strategy
    worker: Callable[[int], Worker]
    areas: list[Area]
    cpus: list[int]
    ready: int

    def begin(self, strategy: Strategy, index: int, who: int) -> Worker:
        """In a new worker: get ready, and wait to be let go; what follows is ``strategy.serve``.

        :param who: whose usage is its own: RUSAGE_SELF or RUSAGE_THREAD
        """
        area = self.areas[index]
        if self.cpus:
            os.sched_setaffinity(0, self.cpus)
        worker = self.worker(index)
        strategy.prepare(worker)
        area["pid"] = threading.get_native_id()
        area["cookie"] = worker.cookie
        area["state"] = READY
        os.write(self.ready, b"\n")
        signal.sigwait({GO})
        note_own(area, "before", who)
        area["state"] = SERVING
        return worker

    def fork(self, live: Callable[[], None]) -> int:
        """Do something in a new process, which ends with it, and with its parent; returns its pid."""
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self.do_or_die(lambda: _be_child(parent, live))
        return pid

    def do_or_die(self, live: Callable[[], None]) -> NoReturn:
        """Do something, then end the process: its exit code is 1 where that raised."""
        status = 1
        try:
            live()
            status = 0
        except BaseException as error:
            text = _in_a_line(error)
            os.write(2, text.encode() + b"\n")
            os.write(self.ready, text.encode()[:500] + b"\n")
        finally:
            os._exit(status)


class Home(Protocol):
    """Where workers live: what differs between processes and threads."""

    def __init__(self, plan: Plan) -> None: ...

    def spawn(self, index: int) -> int:
        """Start the next worker; returns the process that it lives in."""


def _in_a_line(error: BaseException) -> str:
    """What was raised, and where."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error}".replace("\n", " ")
    return f"{text} (in {last.name}, {last.filename} line {last.lineno})"


def _be_child(parent: int, live: Callable[[], None]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent(parent)
    live()


def signal_thread(pid: int, tid: int, number: signal.Signals) -> None:
    """Signal one thread of a process; nothing, if it is gone."""
    _libc.tgkill(pid, tid, int(number))
