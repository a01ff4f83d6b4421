"""As fcgistarter: every worker executes a program that accepts on descriptor 0."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from herd import fcgi, fcgistarter
from herd.options import Option
from herd.strategies._base import Listen, Prediction, Server, Strategy


class Fcgi(Strategy):
    """Any program can be a worker: it doesn't know that it has siblings, and writes nothing down for us.

    Its main thread is measured; connections that threads or children of it accept break a conservation law.
    """

    name = "fcgi"
    summary = "fcgistarter: each worker executes a program that accepts on descriptor 0"
    blocks_in_accept = True
    logs = False
    request = fcgi.get({b"REQUEST_METHOD": b"GET", b"SCRIPT_NAME": b"/", b"REQUEST_URI": b"/"})
    options = (
        Option(
            "program",
            means="Strategy fcgi: an executable that accepts on descriptor 0, without --work and --hold."
            "  [default: a small FastCGI responder of ours]",
        ),
    )

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One wakeup: a program that blocks in accept is an exclusive waiter like any other."""
        return Prediction.exactly(
            1.0,
            who="in turn (FIFO), for a program that blocks in accept as ours does",
            why="exec changes the program, not the open file: all wait as in strategy accept, exclusive, on"
            " the one socket's queue (prepare_to_wait_exclusive(), kernel/sched/wait.c)",
        )

    @classmethod
    def unavailable(cls) -> str | None:
        """Whether a program waits is read there."""
        try:
            Path("/proc/self/syscall").read_text()
        except OSError as error:
            return f"/proc/PID/syscall: {error.strerror}"
        return None

    def why_not_threads(self) -> str | None:
        """It executes."""
        return "each worker executes a program, which would take the place of all threads"

    @classmethod
    def check(cls, chosen: Mapping[str, str]) -> None:
        """The program must be there."""
        if chosen["program"]:
            fcgistarter.executable(chosen["program"])

    def open(self, listen: Listen) -> socket.socket:
        """Listen, and find the program."""
        self.program = (
            [fcgistarter.executable(self.chosen["program"])] if self.chosen["program"] else []
        )
        return super().open(listen)

    def serve(self, server: Server) -> NoReturn:
        """Become the program; SIGTERM ends it as it ends any."""
        os.setpgid(0, 0)  # so that what the program starts can be ended with it
        command = self._command(server)
        try:
            fcgistarter.become(server.listener.fileno(), command)
        except OSError as error:
            os.write(2, f"cannot execute {command[0]}: {error.strerror}\n".encode())
            os._exit(fcgistarter.CANNOT_EXECUTE)

    def _command(self, server: Server) -> list[str]:
        if self.program:
            return self.program
        # -I -S: without site-packages it starts in half the time, and stands on its own.
        script = str(Path(fcgi.__file__))
        return [sys.executable, "-I", "-S", script, str(server.work_us), str(server.hold_s)]
