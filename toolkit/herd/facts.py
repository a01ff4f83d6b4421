"""What is known of a run beside its tables; becomes ``run.json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from herd import __version__
from herd.errors import HerdError
from herd.recording.schema import VERSION


@dataclass
class ProbeFacts:
    """What a probe process said of itself."""

    mode: str = "none"
    raw: str = ""  #: its file, beside the tables until they are written
    functions: list[str] = field(default_factory=list)  #: whose calls it recorded, by number from 1
    produced: int | None = (
        None  #: records that the kernel made; None: it was killed before it could say
    )
    kept: int | None = None
    lost: int | None = None
    calls: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass
class Facts:
    """Collected while the run goes on.

    :param config: everything that decided it, by name
    :param prediction: ``low``, ``expected`` and ``high`` wakeups per connection, ``who`` and ``why``
    """

    config: dict[str, Any]
    prediction: dict[str, Any]
    host: dict[str, Any]
    started_at: str
    logs: bool = True  #: whether the workers wrote down what they accepted
    begin_ns: int = 0
    end_ns: int = 0
    port: int = 0
    pids: list[int] = field(default_factory=list)  #: the workers: processes, or threads
    cookies: list[int] = field(default_factory=list)
    exit_status: dict[int, int] = field(default_factory=dict)
    #: Of workers that died in mid-run: worker, pid, status, time_ns.
    deaths: list[dict[str, int]] = field(default_factory=list)
    counters_before: dict[str, int] = field(default_factory=dict)
    counters_after: dict[str, int] = field(default_factory=dict)
    #: The first is the one whose rows are the recording's; the others are there to judge it.
    probes: list[ProbeFacts] = field(default_factory=list)
    attempted: int | None = None  #: connections that our own load began; ``None``: it wasn't ours
    missed: int | None = (
        None  #: connections that were due before the end, and that it did not begin
    )
    observed: dict[str, Any] | None = None  #: what is known of a server that we did not start
    notes: list[str] = field(default_factory=list)
    ended_by: HerdError | None = None

    @property
    def probe(self) -> ProbeFacts:
        """The one whose rows are the recording's."""
        return self.probes[0] if self.probes else ProbeFacts()

    def as_json(self) -> dict[str, Any]:
        """``run.json``, without ``integrity``."""
        return {
            "schema": VERSION,
            "herd": __version__,
            "config": self.config,
            "prediction": self.prediction,
            "host": self.host | {"probe": self.probe.mode},
            "clock": "CLOCK_MONOTONIC, ns",
            "started_at": self.started_at,
            "begin_ns": self.begin_ns,
            "end_ns": self.end_ns,
            "complete": self.ended_by is None,
            "ended_by": self.ended_by.message if self.ended_by else None,
            "notes": self.notes,
            "counters": {"before": self.counters_before, "after": self.counters_after},
            "probe": asdict(self.probe),
            "checks": [asdict(probe) for probe in self.probes[1:]],
            "load": {"attempted": self.attempted, "missed": self.missed},
            "pool": {
                "port": self.port or None,
                "pids": self.pids,
                "cookies": self.cookies,
                "logs": self.logs,
                "deaths": self.deaths,
                "exit_status": [self.exit_status.get(i) for i in range(len(self.pids))],
            },
            "observed": self.observed,
        }
