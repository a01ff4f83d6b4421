"""Runs workers that pass tokens, and writes the recording."""

from __future__ import annotations

import os
import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from herd import area
from herd.config import SETTLED, RunConfig, as_dict, cpus
from herd.errors import HerdError
from herd.facts import Facts
from herd.lives import Lives
from herd.pool.log import LAYOUT
from herd.pool.settle import Sleepers
from herd.process import Child, Message
from herd.recording import collect, write
from herd.strategies import reference
from herd.supervisor import Supervisor

if TYPE_CHECKING:
    from herd.recording.read import Recording
    from herd.runner import Progress

_PAUSE_S: Final = 0.0002
_COLLECT_S: Final = 30.0


def run(config: RunConfig, progress: Progress) -> Recording:
    """Let the tokens be passed, and return the recording.

    :param config: resolved, with ``tokens``
    :raises HerdError: nothing was started, or (with the recording kept) the run ended early
    """
    directory, aside = write.place(config.output, config.label)
    return _Run(config, directory, aside, progress).run()


class _Run:
    """The state of one run."""

    def __init__(self, config: RunConfig, directory: Path, aside: Path, progress: Progress) -> None:
        from herd.host.metadata import metadata

        assert config.tokens is not None
        assert config.timeout_s is not None
        self._tokens = config.tokens
        self._config = config
        self._directory = directory
        self._aside = aside
        self._progress = progress
        prediction = dict.fromkeys(("low", "expected", "high", "who", "why"))
        now = datetime.now().astimezone().isoformat()
        self._facts = Facts(as_dict(config), prediction, metadata(), now)
        self._facts.notes.append("wakeups are unknown: no probe looks at pipes")
        self._pool_fd = area.create("herd-pool", LAYOUT, 0, config.workers)
        self._areas = area.share(self._pool_fd, LAYOUT, 0, config.workers)
        self._supervisor = Supervisor(config.timeout_s)

    def run(self) -> Recording:
        with self._supervisor:
            self._pool = Child("pool", "herd.tokens.main", [self._pool_fd])
            self._lives = Lives(self._config, self._facts, self._pool, self._areas, [])
            self._supervisor.on_death = self._note_death
            try:
                self._measure()
            finally:
                self._pool.stop()
                os.close(self._pool_fd)
            return self._write()

    def _note_death(self, message: Message) -> None:
        """The token may have gone with it."""
        self._lives.note_death(message)
        assert self._facts.ended_by is not None
        raise self._facts.ended_by

    def _measure(self) -> None:
        try:
            self._start()
        except BaseException:
            shutil.rmtree(self._aside, ignore_errors=True)  # nothing was recorded
            raise
        try:
            self._pass()
        except HerdError as error:
            self._facts.ended_by = error
        self._supervisor.forgive(_COLLECT_S)
        [stopped] = self._tell({"do": "stop"}, "stopped")
        for ended in stopped["ended"]:
            self._lives.note_exit(ended)

    def _tell(self, order: Message, answer: str, tick: Any = lambda: None) -> list[Message]:
        self._pool.channel.send(order)
        return self._supervisor.expect(answer, [self._pool], [], tick)

    def _start(self) -> None:
        self._progress("starting", 0, 0)
        config = self._config
        spec = as_dict(config) | {
            "strategy": reference(config.strategy),
            "cpus": cpus(config.pin.workers),
            "area_fd": self._pool_fd,
            "capacity": 0,
        }
        [ready] = self._tell(spec, "ready")
        self._facts.pids, self._facts.cookies = ready["tids"], ready["cookies"]
        self._tell({"do": "go"}, "waiting")
        self._sleepers = Sleepers(self._facts.pids)

    def _pass(self) -> None:
        self._facts.begin_ns = time.monotonic_ns()
        try:
            settled = self._config.rate == SETTLED
            for token in range(self._tokens if settled else 1):
                self._tell({"do": "put", "token": token}, "put")
                if settled:
                    self._settle(token + 1)
            self._supervisor.expect("finished", [self._pool], [], self._tick)
            self._settle(self._tokens)
        finally:
            self._facts.end_ns = time.monotonic_ns()
            self._sleepers.close()

    def _settle(self, taken: int) -> None:
        """Wait until so many tokens were taken, and everyone sleeps again."""
        while self._taken() < taken or not self._sleepers.all_asleep():
            self._supervisor.check()
            time.sleep(_PAUSE_S)

    def _taken(self) -> int:
        return sum(worker["accepts"] for worker in self._areas)

    def _tick(self) -> None:
        self._progress("tokens", self._taken(), self._tokens)

    def _write(self) -> Recording:
        self._progress("writing", 0, 0)
        collect.write_tables(self._aside, self._aside, self._facts, self._areas, [])
        recording = collect.finish(self._aside, self._directory, self._facts.as_json())
        if self._facts.ended_by:
            raise write.kept(self._facts.ended_by, recording)
        return recording
