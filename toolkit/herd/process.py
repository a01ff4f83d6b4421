"""The controller's children (probe, pool, load): started fresh, spoken to in JSON lines, never orphaned.

Nothing heavy is imported here: the pool's parent runs this module, and it forks up to 1024 times.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from herd.errors import HerdError, from_message

Message = dict[str, Any]

_PR_SET_PDEATHSIG = 1
_PR_SET_TIMERSLACK = 29
#: Opened once: in each of 1024 forked workers it would be memory of their own.
_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however it ends.

    :param parent: the parent's pid, as the parent itself knew it: it may be gone by now
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def precise_timers() -> None:
    """Let sleeps end on time: the default timer slack of 50 µs is a tenth of a fast arrival period."""
    _prctl(_PR_SET_TIMERSLACK, 1)


class Channel:
    """One end of a stream of JSON lines."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.setblocking(False)
        self._pending = b""
        self.closed = False

    def fileno(self) -> int:
        """For ``select``."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Send a message; one that the other side can no longer take is dropped, as it has ended."""
        self._socket.setblocking(True)
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        self._socket.setblocking(False)

    def receive(self, timeout: float | None = 0.0) -> Message | None:
        """The next message, or ``None`` if none came within ``timeout`` seconds or the peer closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._pending and not self.closed:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._socket], [], [], left)[0]:
                return None
            self._read()
        if b"\n" not in self._pending:
            return None
        line, self._pending = self._pending.split(b"\n", 1)
        message: Message = json.loads(line)
        return message

    def _read(self) -> None:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._pending += data
        self.closed = not data

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def environment() -> dict[str, str]:
    """For another Python: it finds the modules that this one finds, herd first."""
    package_root = str(Path(__file__).resolve().parent.parent)
    search = [package_root, *(p for p in sys.path if p and p != package_root)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(search)}


class ChildFailed(HerdError):
    """A process of the run ended, or said that it cannot go on."""


class Child:
    """A child process that runs ``python -m MODULE`` and speaks over a :class:`Channel`.

    Its stderr goes to memory, to be shown if it fails.

    :param name: what to call it in messages
    :param module: has a ``main`` guarded by ``__name__ == "__main__"`` that calls :func:`serve`
    :param pass_fds: descriptors that it inherits, under the same numbers
    """

    def __init__(self, name: str, module: str, pass_fds: Sequence[int] = ()) -> None:
        self.name = name
        ours, theirs = socket.socketpair()
        self.channel = Channel(ours)
        self._stderr = os.memfd_create(f"herd-{name}-stderr")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, str(theirs.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=self._stderr,
            stderr=self._stderr,
            pass_fds=[theirs.fileno(), *pass_fds],
            env=environment(),
            start_new_session=True,  # a terminal's Ctrl-C is the controller's to handle
        )
        theirs.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def tail(self, lines: int = 8) -> str:
        """The last lines that it printed."""
        size = os.fstat(self._stderr).st_size
        text = os.pread(self._stderr, size, 0).decode(errors="replace").strip()
        return "\n".join(text.splitlines()[-lines:])

    def failure(self, why: str | None = None) -> ChildFailed:
        """The error that says how this process ended, with the last lines of what it printed."""
        if why is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)
            why = f"the {self.name} process {describe_exit(self.process.poll())}"
        return ChildFailed("\n".join(filter(None, [why, self.tail()])))

    def reported(self, message: Message) -> HerdError:
        """What it says of itself in a ``failed`` message, with what it (or a library in it) printed."""
        said = "\n".join(filter(None, [message["message"], self.tail()]))
        return from_message(message | {"message": said})

    def stop(self, grace: float = 2.0) -> None:
        """Close the channel, which ends a child of ours; kill it if it hasn't ended in ``grace`` s."""
        self.channel.close()
        try:
            self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1


def describe_exit(status: int | None) -> str:
    """``-9`` → "was killed by SIGKILL"."""
    if status is None:
        return "closed its channel but still runs"
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit code {status}"


def serve() -> Channel:
    """In a child: tie its life to the parent's and take up the channel named on its command line."""
    die_with_parent(int(sys.argv[2]))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return Channel(socket.socket(fileno=int(sys.argv[1])))
