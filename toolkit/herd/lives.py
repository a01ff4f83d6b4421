"""The workers while the load runs: who died, whether the others go on without it, whether anybody answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from herd import strategies
from herd.area import Area
from herd.config import RunConfig
from herd.errors import HerdError
from herd.facts import Facts
from herd.process import Child, Message, describe_exit
from herd.stall import Stall

_UNANSWERED_S: Final = 10.0
_STALLED_S: Final = 2.0


class Lives:
    """Watches the workers of one run.

    :param facts: where it writes down what it sees
    :param pool: the workers' parent; what they wrote to stderr comes with its errors
    :param workers: their areas
    :param loads: the areas of the load's processes
    """

    def __init__(
        self,
        config: RunConfig,
        facts: Facts,
        pool: Child,
        workers: Sequence[Area],
        loads: Sequence[Area],
    ) -> None:
        self._config = config
        self._facts = facts
        self._pool = pool
        self._workers = workers
        self._loads = loads
        patience_s = _STALLED_S if facts.logs else _UNANSWERED_S
        self._stall = Stall(patience_s + config.hold_s + config.block_s + config.work_us / 1e6)

    def note_exit(self, message: Message) -> None:
        """Some have ended, by order or not."""
        self._facts.exit_status |= dict.fromkeys(message["workers"], message["status"])

    def note_death(self, message: Message) -> None:
        """Some have ended, and nobody had told them to.

        :raises HerdError: they were the last
        """
        self.note_exit(message)
        died = {key: message[key] for key in ("pid", "status", "time_ns")}
        self._facts.deaths += [{"worker": worker, **died} for worker in message["workers"]]
        alive = self._config.workers - len(self._facts.exit_status)
        note = f"{message['who']} {describe_exit(message['status'])} in mid-run"
        left = f"{alive} went on" if alive else "every worker has ended before the load did"
        self._facts.notes.append(f"{note}; {left}")
        # The load goes on: what becomes of a dead worker's connections is worth seeing.
        self._facts.ended_by = self._facts.ended_by or self._pool.failure(note)
        if not alive:
            raise self._pool.failure(f"strategy {self._config.strategy}: {note}; {left}")

    def check(self) -> None:
        """From time to time, while the load runs.

        :raises HerdError: no more connections will be served
        """
        if self._facts.deaths:
            self._check_bereaved()
        passed_s = (time.monotonic_ns() - self._facts.begin_ns) / 1e9
        if passed_s > _UNANSWERED_S + self._config.work_us / 1e6:
            self.check_answers()

    def _check_bereaved(self) -> None:
        """Some strategies need every worker: say so, instead of waiting until time is up."""
        finished = self._of_load("finished")
        waiting = self._of_load("established") - finished
        accepts = sum(area["accepts"] for area in self._workers)
        if self._stall.lasts(accepts + finished if waiting > 0 else None):
            dead = ", ".join(str(death["worker"]) for death in self._facts.deaths)
            raise HerdError(
                f"the others cannot go on without worker {dead}: {waiting} connections wait, and nothing has"
                f" happened for {self._stall.patience_s:g} s",
                strategies.bereaved(self._config.strategy, self._config.options),
            )

    def check_answers(self) -> None:
        """A program that waits can still be one that never accepts; its stderr may say why."""
        answered = self._of_load("finished") - self._of_load("failed")
        if not self._facts.logs and self._of_load("established") and not answered:
            raise self._pool.failure(
                "no connection was answered: the workers' program waits, and takes none"
            )

    def _of_load(self, count: str) -> int:
        return sum(area[count] for area in self._loads)
