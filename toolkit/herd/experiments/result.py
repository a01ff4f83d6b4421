"""What an experiment left in its folder: its runs' recordings, and the table of its claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from herd.errors import UsageError
from herd.experiments import measures
from herd.experiments.claims import Judge, Outcome, Verdict
from herd.experiments.definition import Definition
from herd.recording.read import Recording
from herd.report.words import broken

if TYPE_CHECKING:
    import pandas as pd

    from herd.experiments.measures import Measure
    from herd.experiments.sweep import Design, Run

FILE: Final = "experiment.json"
NOT_YET: Final = "it was not run yet"


class State(msgspec.Struct, kw_only=True):
    """``experiment.json``."""

    experiment: str
    quick: bool
    digest: str  #: of the definition
    definition: Definition
    herd: str  #: its version
    started_at: str
    environment: dict[str, Any]
    failed: dict[str, str] = {}  #: runs that could not be made, and why
    runs: int = 0
    claims: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Result:
    """An experiment's folder, read."""

    path: Path
    state: State

    @cached_property
    def design(self) -> Design:
        """What was to be run."""
        return self.state.definition.design(quick=self.state.quick)

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """A row a run, points in the order of the file."""
        runs = sorted(
            self.design.runs(), key=lambda r: (self.design.points.index(r.point), r.repeat)
        )
        return [outcome(self.path, run, self.state.failed) for run in runs]

    @property
    def recordings(self) -> list[Recording]:
        """Those that can be trusted."""
        return [o.recording for o in self.outcomes if o.recording]

    @cached_property
    def _judge(self) -> Judge:
        return Judge(self.design.points, self.outcomes)

    @cached_property
    def claims(self) -> list[Verdict]:
        """Each claim, judged by what is recorded."""
        return [self._judge.judge(claim) for claim in self.state.definition.claims]

    @property
    def measured(self) -> list[Measure]:
        """What its claims are about, each once."""
        wanted = dict.fromkeys(claim.measure for claim in self.state.definition.claims)
        return [measures.find(name) for name in wanted]

    @cached_property
    def measures(self) -> pd.DataFrame:
        """A row a run: the swept keys, ``repeat``, and each measure that a claim is about; NaN is unknown."""
        import pandas as pd

        return pd.DataFrame(
            {**o.run.point.settings, "repeat": o.run.repeat}
            | {m.name: self._judge.measured(m, o) for m in self.measured if not m.several}
            for o in self.outcomes
        )

    def as_json(self) -> dict[str, Any]:
        """What ``herd experiment run --json`` prints."""
        return {
            "experiment": self.state.experiment,
            "runs": len(self.recordings),
            "claims": [claim.as_json() for claim in self.claims],
        }

    @property
    def missing(self) -> list[Outcome]:
        """Runs of which there is no recording that can be trusted."""
        return [o for o in self.outcomes if o.recording is None]

    @property
    def failed(self) -> bool:
        """Whether a claim failed."""
        return any(claim.held is False for claim in self.claims)

    @property
    def answer(self) -> str:
        """In a sentence."""
        return answer(self.claims)


def answer(claims: list[Verdict]) -> str:
    """How the claims fared, in a sentence."""
    counts = {held: [c.name for c in claims if c.held is held] for held in (True, False, None)}
    parts = [f"{len(counts[True])} of {len(claims)} claims held"]
    if counts[False]:
        parts.append(f"{len(counts[False])} failed ({', '.join(counts[False])})")
    if counts[None]:
        parts.append(f"{len(counts[None])} can't be told here ({', '.join(counts[None])})")
    return "; ".join(parts) + "."


def outcome(folder: Path, run: Run, failed: Mapping[str, str]) -> Outcome:
    """What came of a run: only a whole recording in which every law held is trusted."""
    try:
        recording = Recording(folder / run.name)
    except UsageError:
        return Outcome(run, None, failed.get(run.name, NOT_YET))
    if not recording.run["complete"]:
        return Outcome(run, None, failed.get(run.name) or "it ended early")
    integrity = recording.run["integrity"]
    if not integrity["ok"]:
        return Outcome(run, None, f"a law was broken: {'; '.join(broken(integrity))}")
    return Outcome(run, recording)


def load(folder: str | Path) -> Result:
    """Read what ``herd experiment run`` wrote; it may have been moved since.

    :raises UsageError: it isn't there, or it is damaged
    """
    file = Path(folder) / FILE
    try:
        state = msgspec.json.decode(file.read_bytes(), type=State)
    except OSError as error:
        raise UsageError(
            f"{folder} holds no experiment: {error.strerror} ({FILE})",
            "herd experiment run makes one",
        ) from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{file} is not an experiment's: {error}") from error
    return Result(Path(folder), state)
