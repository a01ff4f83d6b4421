"""herd run's probes, attached and detached under one load, in short slices: for benchmarks/overhead.py.

This machine's dips last a tenth of a second or longer. Slices of 50 ms that are neighbours mostly lie in
the same one, or in none: their ratios spread by 8 %, those of slices of a quarter of a second by 16.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from _bench import wrk

from herd.observe import servers
from herd.observe.listeners import listening
from herd.probes.btf import Btf
from herd.probes.main import Recorder
from herd.probes.modes import EXITS
from herd.probes.modes.light import Light
from herd.probes.session import Session

SLICE_S: Final = 0.05
#: After the probes were attached or detached, which takes 1 to 20 ms.
_SETTLE_S: Final = 0.01
_WARM_S: Final = 1.0
_FOREVER_S: Final = 3600


def pairs(server: servers.Running, folder: Path, count: int) -> list[tuple[float, float]]:
    """Connections per second while the probes watch, and while nobody does: slices next to each other."""
    with subprocess.Popen(wrk(server.port, _FOREVER_S), stdout=subprocess.DEVNULL) as load:
        try:
            with _watched(server, folder) as watched:
                return [_pair(watched, random.Random(turn).randrange(2)) for turn in range(count)]
        finally:
            load.kill()


def _pair(watched: _Watched, first: int) -> tuple[float, float]:
    slices = [watched.attached, watched.detached]
    rates = {at: slices[at]() for at in (first, 1 - first)}
    return rates[0], rates[1]


@contextlib.contextmanager
def _watched(server: servers.Running, folder: Path) -> Iterator[_Watched]:
    cookies = [found.cookie for found in listening() if found.port == server.port]
    with contextlib.closing(Session(Light, Btf.vmlinux(), len(server.workers))) as session:
        recorder = Recorder(session, str(folder / "events"))
        session.watch(server.workers, cookies)
        yield _Watched(session, recorder)
        tally = recorder.stop()
    if tally["lost"] or tally["produced"] != tally["kept"]:
        sys.exit(f"herd's probes lost records: {tally}")


class _Watched:
    """What the probe process does, here, where it can be switched."""

    def __init__(self, session: Session, recorder: Recorder) -> None:
        self._loaded, self._recorder = session.loaded, recorder
        self._due_s = 0.0
        self._look(_WARM_S)
        if EXITS in self._loaded.links:
            sys.exit("herd's probes didn't see that the server's accepts ask for addresses")
        self._programs = list(self._loaded.links)

    def attached(self) -> float:
        """Connections per second; the reader looks as often as if they had always been attached."""
        began = time.monotonic()
        for name in self._programs:
            self._loaded.attach(name)
        self._due_s -= time.monotonic() - began
        return _rate(self._look)

    def detached(self) -> float:
        """Connections per second."""
        for name in self._programs:
            self._loaded.detach(name)
        return _rate(time.sleep)

    def _look(self, seconds: float) -> None:
        """Let time pass, with a look when one is due."""
        end = time.monotonic() + seconds
        due = time.monotonic() + self._due_s
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            due = time.monotonic() + self._recorder.drain()
        time.sleep(max(0.0, end - time.monotonic()))
        self._due_s = due - end


def _rate(wait: Callable[[float], None]) -> float:
    wait(_SETTLE_S)
    before, began = _connections(), time.monotonic()
    wait(SLICE_S)
    return (_connections() - before) / (time.monotonic() - began)


def _connections() -> int:
    """That this network namespace's servers were given since it was made."""
    names, values = (
        line.split()
        for line in Path("/proc/net/snmp").read_text().splitlines()
        if line.startswith("Tcp:")
    )
    return int(values[names.index("PassiveOpens")])
