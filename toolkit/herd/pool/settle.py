"""Whether every worker sleeps, as ``/proc`` tells it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Final

_PAUSE: Final = 0.0002
_STATE: Final = b"\nState:\t"
_SWITCHES: Final = b"\nvoluntary_ctxt_switches:"


class Sleepers:
    """Watches the state of processes or threads.

    A worker that is woken becomes runnable inside the connection's own notification, so it shows as ``R``
    before ``connect`` returns: "all asleep" can't be seen too early. A dead one counts as asleep.

    They are looked at one after the other, and one that is found asleep may be waiting for what another that
    still runs is about to give it: a lock, the GIL. So they are looked at twice: one that has left its CPU no
    more often than the first time has slept in between, and all of them slept at one moment.

    :param tids: the processes or threads; a descriptor is held for each
    """

    def __init__(self, tids: Iterable[int]) -> None:
        self._files: dict[int, int] = {}
        for tid in tids:
            with contextlib.suppress(OSError):
                self._files[tid] = os.open(f"/proc/{tid}/status", os.O_RDONLY | os.O_CLOEXEC)

    def _sleep_of(self, fd: int) -> bytes | None:
        """What tells a sleep from the same worker's next one; ``None`` if it is awake."""
        try:
            text = os.pread(fd, 8192, 0)
        except ProcessLookupError:
            return b""
        # The name comes before, and the kernel escapes a line's end in it.
        state = text.index(_STATE) + len(_STATE)
        return text[text.rindex(_SWITCHES) :] if text[state : state + 1] in b"SDZX" else None

    def _sleeps(self) -> list[bytes] | None:
        sleeps = []
        for fd in self._files.values():
            sleep = self._sleep_of(fd)
            if sleep is None:
                return None
            sleeps.append(sleep)
        return sleeps

    def all_asleep(self) -> bool:
        """Look once, and if nobody was awake once more; stops at the first that is awake."""
        first = self._sleeps()
        return first is not None and first == self._sleeps()

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
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()
