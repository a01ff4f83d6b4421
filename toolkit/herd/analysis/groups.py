"""Several recordings: found in folders, and those that repeat one another taken together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from herd.analysis import statistics
from herd.analysis.words import subject
from herd.nested import flat
from herd.recording.read import Recording
from herd.recording.write import PARTIAL

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: What may differ between runs that repeat one another.
_OF_A_RUN: Final = ("output", "seed", "timeout_s", "port")
#: What runs are told apart by, before anything else that differs.
_TELLING: Final = ("workers", "rate", "work_us", "hold_s")


def find(paths: Iterable[Path]) -> list[Recording]:
    """The recordings at these paths: each a recording, or a folder that holds some, however deep.

    :raises UsageError: there is none at one of them
    """
    return [recording for path in paths for recording in _within(path)]


def _within(path: Path) -> list[Recording]:
    if (path / "run.json").is_file():
        return [Recording(path)]
    folders = sorted(file.parent for file in path.rglob("run.json"))
    whole = [folder for folder in folders if PARTIAL not in folder.as_posix()]
    return [Recording(folder) for folder in whole] or [Recording(path)]


@dataclass(frozen=True)
class Group:
    """Runs of one configuration on one kernel.

    :param label: what tells it from the other groups
    """

    label: str
    recordings: tuple[Recording, ...]

    @property
    def run(self) -> dict[str, Any]:
        """``run.json`` of the first."""
        return self.recordings[0].run

    def mean(self, figure: str) -> statistics.Interval | None:
        """A figure's mean over the runs that know it.

        :param figure: its path in the summary, such as ``wakeups.per_connection``
        """
        values = [_at(recording.summary, figure) for recording in self.recordings]
        known = [value for value in values if value is not None]
        return statistics.mean(known) if known else None

    def band(self, curve: Callable[[Recording], ArrayLike]) -> Band:
        """The mean of a curve over the runs, point by point, and where it lies.

        :param curve: a recording's, at the same points for all
        """
        points = np.array([curve(recording) for recording in self.recordings]).T
        means = [statistics.mean(column.tolist()) for column in points]
        ends = [(m.estimate, m.estimate) if m.low is None else (m.low, m.high) for m in means]
        low, high = np.array(ends, "float64").T
        return Band(np.array([m.estimate for m in means]), low, high)


@dataclass(frozen=True)
class Band:
    """A curve with its confidence band; of one run all three are the same."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def group(recordings: Iterable[Recording], apart: Sequence[str] = ()) -> list[Group]:
    """Repeats together, in the order in which their first comes.

    :param apart: keys of the config that may differ within a group, too
    """
    found: dict[str, list[Recording]] = {}
    for recording in recordings:
        found.setdefault(repr(_settings(recording, apart)), []).append(recording)
    labels = _labels([_settings(some[0], apart) for some in found.values()])
    return [Group(label, tuple(some)) for label, some in zip(labels, found.values(), strict=True)]


def _at(summary: dict[str, Any], figure: str) -> Any:
    found: Any = summary
    for key in figure.split("."):
        found = found and found.get(key)
    return found


def _settings(recording: Recording, apart: Sequence[str]) -> dict[str, Any]:
    config = recording.run["config"]
    first = {"strategy": subject(recording.run)} | {key: config.get(key) for key in _TELLING}
    rest = {k: value for k, value in flat(config).items() if k not in (*first, *_OF_A_RUN)}
    every = first | rest | {"kernel": recording.run["host"]["kernel"]}
    return {key: value for key, value in every.items() if key not in apart}


def _labels(settings: Sequence[dict[str, Any]]) -> list[str]:
    """The strategy, and of the rest only what tells groups apart."""
    labels = [str(one["strategy"]) for one in settings]
    for key in dict.fromkeys(key for one in settings for key in one if key != "strategy"):
        values: dict[str, set[str]] = {}
        for label, one in zip(labels, settings, strict=True):
            values.setdefault(label, set()).add(_said(key, one.get(key)))
        labels = [
            f"{label}, {_said(key, one.get(key))}" if len(values[label]) > 1 else label
            for label, one in zip(labels, settings, strict=True)
        ]
    return labels


def _said(key: str, value: Any) -> str:
    if key == "kernel":
        return str(value).partition("-")[0]
    plain = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{plain} workers" if key == "workers" else f"{_name(key)} {plain}"


def _name(key: str) -> str:
    return key.removesuffix("_s").removeprefix("options.").removeprefix("pattern_options.")
