"""What a load has measured: counts, rates and latencies, from the rows that its processes wrote."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from herd.area import Area
from herd.errors import HerdError
from herd.traffic.log import name_of, paused_s
from herd.traffic.plan import Plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


@dataclass(frozen=True)
class Times:
    """How long something took, each time; both in ns.

    :param intended: when it was intended, of CLOCK_MONOTONIC
    :param took: from then on
    """

    intended: NDArray[np.int64]
    took: NDArray[np.int64]

    @classmethod
    def between(cls, rows: NDArray[np.void], until: str) -> Times:
        """From ``intended`` to another column, of the rows that got so far."""
        reached = rows[rows[until] > 0]
        intended = reached["intended"].astype("i8")
        return cls(intended, reached[until].astype("i8") - intended)

    def percentiles(self) -> dict[str, float] | None:
        """In µs; ``None`` without a value."""
        import numpy as np

        if not len(self.took):
            return None
        found = np.quantile(self.took / 1000, list(_QUANTILES.values()))
        return {name: round(float(value), 3) for name, value in zip(_QUANTILES, found, strict=True)}


@dataclass
class Result:
    """A load's outcome.

    :param attempted: connections that were started
    :param missed: those that were due before the end and have not been started
    :param failed: of those that were started
    :param begin: when it began, ns of CLOCK_MONOTONIC
    :param began_s: the same, in seconds since 1970
    :param rows: as in :data:`herd.traffic.log.LAYOUT`
    :param paused_s: how long a load process stood still, by no fault of the server's; the longest of them
    :param ended_by: what ended it before its time
    """

    plan: Plan
    attempted: int
    missed: int
    failed: int
    begin: int
    began_s: float
    rows: NDArray[np.void]
    paused_s: float = 0.0
    ended_by: HerdError | None = None

    @classmethod
    def of(cls, plan: Plan, areas: Sequence[Area], begin: int) -> Result:
        """What the load processes wrote down."""
        import numpy as np

        attempted, missed, failed, finished = (
            sum(area[name] for area in areas)
            for name in ("started", "missed", "failed", "finished")
        )
        began_s = time.time() - (time.monotonic_ns() - begin) / 1e9
        rows = np.concatenate([area.rows() for area in areas])
        # A load process that was killed has left connections of which nothing is known but that they failed.
        failed += attempted - finished
        return cls(plan, attempted, missed, failed, begin, began_s, rows, paused_s(areas))

    @property
    def completed(self) -> int:
        """Connections that got all they wanted."""
        return self.attempted - self.failed

    @property
    def errors(self) -> dict[str, int]:
        """How many connections failed of what; the most frequent first."""
        import numpy as np

        failed = self.rows["error"][self.rows["error"] > 0]
        kinds = zip(*np.unique(failed, return_counts=True), strict=True)
        named = {name_of(int(error)): int(count) for error, count in kinds}
        unknown = self.failed - len(failed)
        named |= {"lost": unknown} if unknown else {}
        return dict(sorted(named.items(), key=lambda entry: -entry[1]))

    @property
    def requests(self) -> int:
        """How many were answered."""
        return int((self.rows["done"] > 0).sum())

    @property
    def seconds(self) -> float:
        """From the start to the last thing that happened."""
        columns = ("started", "established", "done", "closed")
        last = max((int(self.rows[name].max(initial=0)) for name in columns), default=0)
        return max(0, last - self.begin) / 1e9

    @property
    def rate(self) -> float | None:
        """Completed connections per second."""
        return self.completed / self.seconds if self.seconds else None

    def phases(self) -> dict[str, Times]:
        """From when each connection, or request, was intended: what the server and the kernel took.

        :returns: ``connect`` to established; and if there are answers ``first_byte`` and ``done``
        """
        fine = self.rows[self.rows["error"] == 0]
        found = {"connect": Times.between(fine[fine["turn"] == 0], "established")}
        if (fine["first_byte"] > 0).any():
            found |= {name: Times.between(fine, name) for name in ("first_byte", "done")}
        return found

    def schedule_error(self) -> Times:
        """How late connections were started: the load generator's own fault, or this machine's."""
        return Times.between(self.rows[self.rows["turn"] == 0], "started")

    def parts(self) -> dict[str, Result]:
        """Itself, and the folder that it is written to: the output folder."""
        return {"": self}

    def as_json(self) -> dict[str, Any]:
        """Plain values; times in µs where the name says so."""
        return {
            "target": self.plan.target,
            "pattern": self.plan.pattern,
            "request": self.plan.request,
            "intended": self.attempted + self.missed,
            "attempted": self.attempted,
            "completed": self.completed,
            "failed": self.failed,
            "errors": self.errors,
            "requests": self.requests,
            "seconds": round(self.seconds, 6),
            "paused_s": round(self.paused_s, 3),
            "rate": None if self.rate is None else round(self.rate, 3),
            "latency_us": {name: times.percentiles() for name, times in self.phases().items()},
            "schedule_error_us": self.schedule_error().percentiles(),
            "ended_early": self.ended_by.message if self.ended_by else None,
        }
