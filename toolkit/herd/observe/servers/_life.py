"""A real server's life: started, ready, counted, stopped, nothing left."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from herd.errors import HerdError
from herd.observe import holders, listeners, waiting
from herd.observe.servers._base import Place, Server

_PATIENCE_S: Final = 20.0
_ASK_AGAIN_S: Final = 0.02


@dataclass(frozen=True)
class Running:
    """A server that runs."""

    server: Server
    place: Place
    pid: int  #: of the process that was started; of a daemon's starter, which has ended
    workers: list[int]

    @property
    def port(self) -> int:
        """On 127.0.0.1."""
        return self.place.port

    def served(self) -> Counter[int]:
        """Connections by worker, as the server itself tells."""
        text = self.place.log.read_text(errors="replace")
        logged = map(int, re.findall(r"^served <?(\d+)>?$", text, re.MULTILINE))
        return Counter(self.server.worker(number, self.workers) for number in logged)


@contextlib.contextmanager
def running(server: Server, folder: Path, workers: int = 4) -> Iterator[Running]:
    """Start a server on a free port, wait until its idle workers wait, and stop it at the end.

    :param folder: for its files; it must be there
    :raises HostError: it isn't installed
    :raises HerdError: it didn't start, with the end of its log
    """
    place = Place(folder, _free_port(), workers)
    command = server.command(place)
    with place.log.open("ab") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],  # it ends with us, whatever ends us
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Running(server, place, process.pid, _ready(server, place, process))
    finally:
        _stop(server, place, process)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something to become true.

    :raises HerdError: it doesn't
    """
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise HerdError(f"within {_PATIENCE_S:g} s it never came about that {what}")
        time.sleep(_ASK_AGAIN_S)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def _ready(server: Server, place: Place, process: subprocess.Popen[bytes]) -> list[int]:
    found: list[int] = []

    def all_wait() -> bool:
        if process.poll():
            raise HerdError(f"it ended with exit code {process.returncode}")
        found[:] = server.workers(process.pid, place.port) if _listens(place.port) else []
        return bool(found) and server.complete(place, found) and all(map(waiting.look, found))

    try:
        until(all_wait, f"{place.workers} workers wait for connections")
    except HerdError as error:
        tail = place.log.read_text(errors="replace").strip().splitlines()[-8:]
        text = "\n".join([f"cannot start {server.name}: {error.message}", *tail])
        raise HerdError(text, error.hint) from error
    return found


def _listens(port: int) -> bool:
    return any(listener.port == port for listener in listeners.listening())


def _stop(server: Server, place: Place, process: subprocess.Popen[bytes]) -> None:
    """By its own signal; what doesn't heed it is killed."""
    ours = {*holders.family(process.pid), *server.workers(process.pid, place.port)}
    first = [process.pid] if process.poll() is None else ours
    for pid in first:
        _signal(pid, server.stop_signal)
    try:
        until(lambda: process.poll() is not None and not any(map(_lives, ours)), "it ended")
    except HerdError:
        for pid in ours:
            _signal(pid, signal.SIGKILL)
        process.wait()


def _lives(pid: int) -> bool:
    """A first thread may be a zombie while others still hold the process's sockets."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return words[0] not in "ZX" or int(words[17]) > 1  # proc_pid_stat(5): state, num_threads
    return False


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
