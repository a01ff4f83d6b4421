"""herd run's probes, switched on and off under one load, in short slices: for benchmarks/overhead.py."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from _bench import wrk

from herd.observe import servers
from herd.observe.listeners import listening
from herd.probes.btf import Btf
from herd.probes.main import Recorder
from herd.probes.modes.light import Light
from herd.probes.session import Session

_SETTLE_S = 0.1
_FOREVER_S = 3600


def pairs(
    server: servers.Running, folder: Path, count: int, seconds: float
) -> list[tuple[float, float]]:
    """Connections per second while the probes watch, and while nobody does: slices next to each other.

    What it takes to load the probes, and until they have seen that the server's accepts ask for addresses, is
    between the slices.
    """
    found = []
    watched = _Watched(server, folder)
    with subprocess.Popen(wrk(server.port, _FOREVER_S), stdout=subprocess.DEVNULL) as load:
        try:
            time.sleep(1)
            for turn in range(count):
                slices = [watched.slice, _unwatched]
                first = random.Random(turn).randrange(2)
                rates = {at: slices[at](seconds) for at in (first, 1 - first)}
                found.append((rates[0], rates[1]))
        finally:
            load.kill()
    return found


class _Watched:
    """What the probe process does, here, where it can be switched."""

    def __init__(self, server: servers.Running, folder: Path) -> None:
        self._workers, self._events = server.workers, folder / "events"
        self._cookies = [found.cookie for found in listening() if found.port == server.port]
        self._btf = Btf.vmlinux()

    def slice(self, seconds: float) -> float:
        """Connections per second."""
        self._events.unlink(missing_ok=True)
        with contextlib.closing(Session(Light, self._btf, len(self._workers))) as session:
            recorder = Recorder(session, str(self._events))
            session.watch(self._workers, self._cookies)
            _pass(_SETTLE_S, recorder.drain)
            rate = _rate(seconds, recorder.drain)
            tally = recorder.stop()
        if tally["lost"] or tally["produced"] != tally["kept"]:
            sys.exit(f"herd's probes lost records: {tally}")
        return rate


def _unwatched(seconds: float) -> float:
    pause = lambda: seconds  # noqa: E731
    _pass(_SETTLE_S, pause)
    return _rate(seconds, pause)


def _pass(seconds: float, look: Callable[[], float]) -> None:
    """Let time pass, with a look now and then; each says when the next is due."""
    end = time.monotonic() + seconds
    pause = 0.0
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = look()


def _rate(seconds: float, look: Callable[[], float]) -> float:
    before, began = _connections(), time.monotonic()
    _pass(seconds, look)
    return (_connections() - before) / (time.monotonic() - began)


def _connections() -> int:
    """That this network namespace's servers were given since it was made."""
    names, values = (
        line.split()
        for line in Path("/proc/net/snmp").read_text().splitlines()
        if line.startswith("Tcp:")
    )
    return int(values[names.index("PassiveOpens")])
