"""What an arrival pattern is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

from herd.area import Area
from herd.options import Option

#: There is no next connection: a time that never comes.
NEVER: Final = 2**63 - 1


@dataclass(frozen=True)
class Situation:
    """What a pattern may look at.

    :param begin: when the load starts, ns of CLOCK_MONOTONIC; the same for all load processes
    :param rate: connections per second of the whole run
    :param index: which load process this is, of ``processes``
    :param pids: the workers; none where herd didn't start them
    :param areas: the workers' logs; none where they keep none
    :param chosen: by the name of the option; what isn't in it has its default
    :param seed: the same seed, the same times
    """

    begin: int
    rate: float
    index: int = 0
    processes: int = 1
    pids: Sequence[int] = ()
    areas: Sequence[Area] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)
    seed: int = 1


class Progress(Protocol):
    """How far this load process is."""

    started: int
    established: int

    @property
    def open_now(self) -> int:
        """Connections that aren't finished, and clients that think before they open the next."""


class Pattern:
    """Says when the next connection is intended to start."""

    name: ClassVar[str]
    summary: ClassVar[str]  #: one line
    options: ClassVar[tuple[Option, ...]] = ()
    #: Its connections come at ``--rate``.
    takes_rate: ClassVar[bool] = True
    #: It watches the workers that herd has started.
    needs_workers: ClassVar[bool] = False
    #: A time that isn't known is asked for again after this many seconds, if nothing has happened before.
    ask_again_s: ClassVar[float] = 0.0002

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.chosen = {option.name: option.default for option in self.options} | dict(
            situation.chosen
        )

    @classmethod
    def check(cls, chosen: Mapping[str, str]) -> None:
        """Look at what was chosen, before anything is started.

        :param chosen: a value for each option
        :raises UsageError: it can't be used
        """

    @classmethod
    def clients(cls, chosen: Mapping[str, str]) -> int | None:
        """How many connections it keeps open at the most; ``None``: whatever the rate asks for."""
        return None

    @classmethod
    def length(cls, chosen: Mapping[str, str]) -> int | None:
        """How many connections there are in it; ``None``: as many as one likes."""
        return None

    def due(self, progress: Progress) -> int | None:
        """When the next connection should start, ns; ``None``: not known yet, ask again soon."""
        raise NotImplementedError

    def missed(self, progress: Progress, limit: int, end: int) -> int:
        """How many connections, of ``limit``, were due before ``end`` and have not been started."""
        return 0


class Paced(Pattern):
    """An open loop: times that don't depend on what the server does.

    A connection that starts late keeps its intended time, so that the delay is charged to the system and not
    forgotten. The processes take turns.
    """

    def at(self, turn: int) -> int | None:
        """When a connection of the run is due, ns after the start; ``None``: there is none any more.

        :param turn: the number of the connection; a process asks for ever later ones
        """
        raise NotImplementedError

    def due(self, progress: Progress) -> int:
        """The next of this process's turns."""
        return self._time(progress.started)

    def missed(self, progress: Progress, limit: int, end: int) -> int:
        """Counted by their times."""
        turn = progress.started
        while turn < limit and self._time(turn) < end:
            turn += 1
        return turn - progress.started

    def _time(self, mine: int) -> int:
        at = self.situation
        after = self.at(mine * at.processes + at.index)
        return NEVER if after is None else at.begin + after
