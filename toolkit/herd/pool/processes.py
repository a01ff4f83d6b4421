"""Workers that are processes."""

from __future__ import annotations

import resource
import signal
from typing import NoReturn

from herd.area import Area
from herd.pool.life import Plan
from herd.pool.log import STOPPED
from herd.pool.usage import note_own
from herd.pool.worker import Worker
from herd.strategies import Strategy


class Stop(BaseException):
    """SIGTERM came; not an ``Exception``, so that no strategy catches it by accident."""


def _stop(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stop


class Processes:
    """Each worker is a process of its own."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def spawn(self, index: int) -> int:
        """Start the next worker; returns the process that it lives in."""
        return self._plan.fork(lambda: self._live(index))

    def _live(self, index: int) -> None:
        plan = self._plan
        worker = plan.begin(plan.strategy, index, resource.RUSAGE_SELF)
        _serve_until_stopped(plan.strategy, worker, plan.areas[index])


def _serve_until_stopped(strategy: Strategy, worker: Worker, area: Area) -> None:
    try:
        signal.signal(signal.SIGTERM, _stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        strategy.serve(worker)
    except Stop:
        note_own(area, "after", resource.RUSAGE_SELF)
        area["state"] = STOPPED
