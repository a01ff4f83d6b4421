"""The probe process: a compiler lives and may die here, not in the controller.

It is told ``{...spec}``, then for each run ``{"do": "record"}``, ``{"do": "watch"}`` (once more if others are
to be watched, too) and ``{"do": "stop"}``. It says ``attached``, then ``recording``, ``watching`` and
``stopped``, or ``failed``. In a run it drains what the kernel's programs record to a file.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Final

from herd.errors import HerdError, HostError
from herd.probes.btf import Btf
from herd.probes.modes import find, lightest, names
from herd.probes.session import Session
from herd.process import Channel, Message, serve

#: From one look at the lanes to the next, at the least: each takes the CPU from those who are watched, for
#: few records almost as long as for many.
SHORTEST_S: Final = 0.01
#: Records that one CPU makes in a second at the most: before each, the kernel wakes somebody.
_FASTEST: Final = 1_600_000
#: How long the last records may take to be finished.
_SETTLE_S: Final = 1.0


def _attach(spec: Message) -> tuple[str, Session]:
    """The wanted mode, or under ``auto`` the first that this kernel takes.

    For a run that is the one that tells most; for somebody else's server, which is followed, the lightest.
    """
    btf = Btf.vmlinux()
    wanted = spec["probe"]
    refusals = []
    every = lightest() if spec["follow"] else names()
    for name in every if wanted == "auto" else [wanted]:
        try:
            return name, Session(find(name), btf, spec["capacity"], follow=spec["follow"])
        except HostError as error:
            refusals.append(error)
    if len(refusals) == 1:
        raise refusals[0]
    raise HostError("; ".join(str(error) for error in refusals), refusals[-1].hint)


class Recorder:
    """Drains a session's records into a file: one run."""

    def __init__(self, session: Session, path: str) -> None:
        self._session = session
        self._began_ns = time.process_time_ns()
        self._pause = SHORTEST_S
        self._longest = max(SHORTEST_S, session.lanes.places / _FASTEST)
        self._enough = session.lanes.places / 8  #: records that a look should find at the most
        self._out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        session.begin()

    def drain(self) -> float:
        """Take what is there; returns when to look again, in seconds."""
        found = max(1, self._session.drain(self._out))
        self._pause = max(SHORTEST_S, min(self._longest, self._pause * self._enough / found))
        return self._pause

    def stop(self) -> Message:
        """Track nobody any more, take the rest, and account for everything."""
        tally = self._session.end()
        self._drain_all()
        still_open = self._session.open_wakeups()
        os.write(self._out, still_open.tobytes())
        os.close(self._out)
        tally |= self._session.lanes.account()
        tally |= {"kept": self._session.lanes.kept, "unfinished": len(still_open)}
        tally["reader_ns"] = time.process_time_ns() - self._began_ns
        return {"event": "stopped", **tally}

    def _drain_all(self) -> None:
        """A program that was interrupted while it wrote its record may still be about to finish that."""
        deadline = time.monotonic() + _SETTLE_S
        self.drain()
        while not self._session.lanes.empty and time.monotonic() < deadline:
            time.sleep(SHORTEST_S)
            self.drain()


def _serve_runs(session: Session, channel: Channel) -> None:
    recorder = None
    pause = None
    while not channel.closed:
        order = channel.receive(pause)
        pause = recorder.drain() if recorder else None
        if order is None:
            continue
        if order["do"] == "record":
            recorder = Recorder(session, order["events"])
            pause = SHORTEST_S
            channel.send({"event": "recording"})
        elif order["do"] == "watch":
            if order["unix"]:
                session.look_at_entries()
            session.watch(order["tids"], order["cookies"])
            channel.send({"event": "watching"})
        elif order["do"] == "stop" and recorder:
            channel.send(recorder.stop())
            recorder = pause = None


def main() -> None:
    """Serve one run, or several that follow each other."""
    channel = serve()
    spec = channel.receive(timeout=None)
    if spec is None:
        return
    try:
        mode, session = _attach(spec)
        with contextlib.closing(session):
            probe = session.probe
            functions, notes = list(probe.functions), probe.notes()
            channel.send(
                {"event": "attached", "mode": mode, "functions": functions, "notes": notes}
            )
            _serve_runs(session, channel)
    except HerdError as error:
        channel.send({"event": "failed", **error.as_message()})
    except OSError as error:
        full = HerdError(f"the probe process cannot write what it records: {error.strerror}")
        channel.send({"event": "failed", **full.as_message()})
    channel.receive(timeout=None)


if __name__ == "__main__":
    main()
