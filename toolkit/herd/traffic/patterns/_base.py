"""What an arrival pattern is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from herd.area import Area


@dataclass(frozen=True)
class Situation:
    """What a pattern may look at.

    :param begin: when the load starts, ns of CLOCK_MONOTONIC; the same for all load processes
    :param rate: connections per second of the whole run
    :param index: which load process this is, of ``processes``
    :param pids: the workers
    :param areas: the workers' logs; none where they keep none
    """

    begin: int
    rate: float
    index: int
    processes: int
    pids: Sequence[int]
    areas: Sequence[Area]


class Progress(Protocol):
    """How far this load process is."""

    started: int
    established: int

    @property
    def open_now(self) -> int:
        """Connections that aren't finished."""


class Pattern:
    """Says when the next connection is intended to start."""

    name: ClassVar[str]

    def __init__(self, situation: Situation) -> None:
        self.situation = situation

    def due(self, progress: Progress) -> int | None:
        """When the next connection should start, ns; ``None``: not known yet, ask again soon."""
        raise NotImplementedError
