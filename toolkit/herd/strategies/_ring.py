"""A ring with one accept in it, through PyPI's ``liburing``; and whether this host lets us have one."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from herd.process import environment

#: Room for twice as many completions. Those of a multishot accept may come faster than they are taken: one
#: that finds no room ends the request.
_ENTRIES: Final = 256
#: A wait that ended without a completion: its time was over, or a signal came.
_NOTHING: Final = frozenset({errno.ETIME, errno.EINTR})
_DISABLED: Final = Path("/proc/sys/kernel/io_uring_disabled")


class Ring:
    """A ring as io_uring_setup(2) makes it: it accepts in task work of the worker, wherever that runs.

    :param uring: the module ``liburing``
    :param request: the name of its function that fills in the accept
    :raises OSError: the kernel refuses a ring
    """

    def __init__(self, uring: Any, request: str) -> None:
        self._uring = uring
        self._request = getattr(uring, request)
        self._ring = uring.Ring()
        self._completed = uring.Cqe()
        self._asked = False
        uring.io_uring_queue_init(_ENTRIES, self._ring)

    def _ask(self, listener: int) -> None:
        """Put an accept into the submission queue, unless there is one in the kernel."""
        if not self._asked:
            entry = self._uring.io_uring_get_sqe(self._ring)
            self._request(entry, listener, None, socket.SOCK_CLOEXEC)
            self._asked = True

    def submit(self, listener: int) -> None:
        """Let the kernel accept, unless it does already."""
        if not self._asked:
            self._ask(listener)
            self._uring.io_uring_submit(self._ring)

    def wait(self, listener: int, timeout: float | None) -> None:
        """Let the kernel accept, until there is a completion, or the time is over."""
        self._ask(listener)
        try:
            if timeout is None:
                self._uring.io_uring_submit_and_wait(self._ring, 1)
            else:  # the one for both would, without a limit, wait on when a signal came
                limit = self._uring.timespec(timeout)
                self._uring.io_uring_submit_and_wait_timeout(self._ring, self._completed, 1, limit)
        except OSError as error:
            if error.errno not in _NOTHING:
                raise

    def accepted(self) -> int | None:
        """The descriptor of a connection that the kernel accepted; ``None`` if there is none.

        :raises OSError: the accept failed
        """
        try:
            self._uring.io_uring_peek_cqe(self._ring, self._completed)
        except BlockingIOError:
            return None
        entry = self._completed[0]
        self._asked = bool(entry.flags & self._uring.IORING_CQE_F_MORE)
        try:
            return int(entry.res)
        finally:
            self._uring.io_uring_cqe_seen(self._ring, entry)


def refusal(request: str) -> str | None:
    """Why an accept can't be left to a ring on this host, or ``None`` if it can.

    Tried in a process of its own: liburing's wheels have instructions that not every CPU has.
    """
    trial = [sys.executable, "-m", __name__, request]
    done = subprocess.run(trial, capture_output=True, text=True, check=False, env=environment())
    if done.returncode == -signal.SIGILL:
        return "Python's liburing was built for another CPU: illegal instruction"
    if done.returncode:
        return f"trying it failed: {(done.stderr.strip() or str(done.returncode)).splitlines()[-1]}"
    return done.stdout.strip() or None


def _try(request: str) -> str | None:
    try:
        import liburing

        ring = Ring(liburing, request)
    except ImportError as error:
        return f"Python's liburing cannot be imported ({error}): pip install 'herd[io-uring]'"
    except OSError as error:
        return f"this kernel refuses a ring: {_reason(error)}"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        try:
            ring.submit(listener.fileno())
            ring.accepted()
        except OSError as error:
            return f"this kernel's io_uring refuses the accept: {_reason(error)}"
    return None


def _reason(error: OSError) -> str:
    """In the kernel's words; since 6.6 there is a switch (io_uring_allowed(), io_uring/io_uring.c)."""
    said = os.strerror(error.errno or 0)
    try:
        disabled = _DISABLED.read_text().strip()
    except OSError:
        return said
    return said if disabled == "0" else f"{said}: sysctl kernel.io_uring_disabled = {disabled}"


if __name__ == "__main__":
    sys.stdout.write(_try(sys.argv[1]) or "")
