"""Whether every worker sleeps, as ``/proc`` tells it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Final

_PAUSE: Final = 0.0002


class Sleepers:
    """Watches the state of processes.

    A worker that is woken becomes runnable inside the connection's own notification, so it shows as ``R``
    before ``connect`` returns: "all asleep" can't be seen too early. A dead one counts as asleep.

    :param pids: the processes; a descriptor is held for each
    """

    def __init__(self, pids: Iterable[int]) -> None:
        self._stats: dict[int, int] = {}
        for pid in pids:
            with contextlib.suppress(OSError):
                self._stats[pid] = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)

    def _asleep(self, fd: int) -> bool:
        try:
            text = os.pread(fd, 512, 0)
        except ProcessLookupError:
            return True
        # The name can hold anything, a ')' too; the state follows the last one.
        return text[text.rindex(b")") + 2 : text.rindex(b")") + 3] in b"SDZX"

    def all_asleep(self) -> bool:
        """Look once; stops at the first that is awake."""
        return all(self._asleep(fd) for fd in self._stats.values())

    def wait(self, seconds: float) -> bool:
        """Wait until all sleep; ``False`` if some still ran after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not self.all_asleep():
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
        return True

    def close(self) -> None:
        """Let the descriptors go."""
        for fd in self._stats.values():
            os.close(fd)
        self._stats.clear()
