"""Workers that are threads of one process, and share its descriptors.

No signal's handler ends a thread that sleeps in a system call: Python runs it in the main thread, and makes
the call again. So the main thread waits for what the parent says, and ends the process with all in it.
"""

from __future__ import annotations

import copy
import os
import resource
import signal
import threading
from functools import partial
from typing import Final, NoReturn

from herd.pool.life import Plan, signal_thread
from herd.pool.log import SERVING
from herd.pool.usage import Usage, note_end

#: To the main thread: start one more worker.
_MORE: Final = signal.SIGUSR1


class Threads:
    """All workers live in one process, which the first one brings with it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._server = 0

    def spawn(self, index: int) -> int:
        """Start the next worker; returns the process that it lives in."""
        self._server = self._server or self._plan.fork(self._obey)
        signal_thread(self._server, self._server, _MORE)
        return self._server

    def _obey(self) -> None:
        started = 0
        while signal.sigwait({_MORE, signal.SIGTERM}) == _MORE:
            threading.Thread(target=self._live, args=(started,), daemon=True).start()
            started += 1
        self._end()

    def _live(self, index: int) -> NoReturn:
        # prepare() leaves what is this worker's in the strategy; what open() left there is all workers'.
        strategy = copy.copy(self._plan.strategy)
        begin = partial(self._plan.begin, strategy, index, resource.RUSAGE_THREAD)
        self._plan.do_or_die(lambda: strategy.serve(begin()))

    def _end(self) -> NoReturn:
        rusage = resource.getrusage(resource.RUSAGE_SELF)
        for area in self._plan.areas:
            if area["state"] == SERVING:
                note_end(area, Usage.of_thread(area["pid"]), rusage)
        os._exit(0)
