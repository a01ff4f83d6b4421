"""The same load under several strategies, on several kernels: one recording set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from herd.config import RunConfig
from herd.crew import Crew
from herd.errors import HerdError, HostError, Interrupted, Unfit, UsageError
from herd.recording import write
from herd.recording.read import Recording
from herd.strangers import guarded
from herd.strategies import builtin, find, names, reference, unavailable

if TYPE_CHECKING:
    from herd.runner import Progress

ALL: Final = "all"
FILE: Final = "compare.json"


@dataclass
class Comparison:
    """What came of it.

    :param runs: recordings, in the order in which they were made
    :param unavailable: ``strategy``, ``kernel`` and ``why`` of each that can't run there
    :param failed: the same of each run that failed; its recording, if there is one, is among ``runs``
    """

    path: Path
    runs: list[Recording] = field(default_factory=list)
    unavailable: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every run that could be done was done and is sound."""
        return not self.failed and all(run.run["integrity"]["ok"] for run in self.runs)

    def as_json(self) -> dict[str, Any]:
        """What ``herd compare --json`` prints."""
        return {
            "path": str(self.path),
            "runs": [run.summary for run in self.runs],
            "unavailable": self.unavailable,
            "failed": self.failed,
        }


def load(directory: Path) -> Comparison:
    """Read what :func:`compare` wrote; the folder may have been moved since.

    :raises UsageError: it isn't one, or one of its recordings is gone
    """
    file = directory / FILE
    try:
        said = msgspec.json.decode(file.read_bytes(), type=_File)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{file} is not a comparison: {error}") from error
    runs = [Recording(directory / Path(run.run).name) for run in said.runs]
    if not runs:
        raise UsageError(f"{directory} holds no run: none could be made")
    return Comparison(directory, runs, said.unavailable, said.failed)


class _Run(msgspec.Struct):
    run: str  #: where its recording was then


class _File(msgspec.Struct):
    runs: list[_Run]
    unavailable: list[dict[str, str]]
    failed: list[dict[str, str]]


def strategies_of(text: str) -> list[str]:
    """``accept,epoll`` or ``all`` → names.

    :raises UsageError: one of them is unknown
    """
    if text == ALL:
        return names()
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        reference(name)  # that it's there; whether it works shows when its turn comes
    return list(dict.fromkeys(wanted))


def compare(
    config: RunConfig,
    strategies: Sequence[str],
    kernels: Sequence[str],
    progress: Progress = lambda what, done, total: None,
    *,
    picture: bool = True,
) -> Comparison:
    """Run ``config`` under each strategy on each kernel, one after the other.

    :param config: strategy, kernel and output in it are replaced
    :param picture: draw one of each run, and ``comparison.png`` and ``.svg`` of all
    :raises HerdError: nothing could be started, or it was interrupted
    """
    directory = Path(config.output) if config.output else _default()
    if directory.exists():
        raise UsageError(f"{directory} exists, and herd never overwrites", "name another --output")
    directory.mkdir(parents=True)
    comparison = Comparison(directory)
    for kernel in kernels:
        configs = _same_rate(_usable(config, strategies, kernel, comparison))
        if not configs:
            continue
        if kernel == "host":
            _run_here(configs, comparison, progress, picture)
        else:
            _run_there(configs, comparison, progress, picture)
    write.write_json(directory / FILE, comparison.as_json())
    if picture and comparison.runs:
        from herd import plots

        plots.save_into(directory, "comparison", *comparison.runs)
    return comparison


def _default() -> Path:
    return Path("results", f"{datetime.now():%Y%m%d-%H%M%S}-compare")


def _one(config: RunConfig, directory: Path, strategy: str, kernel: str) -> RunConfig:
    takes = {option.name for option in find(strategy).options}
    options = {name: value for name, value in config.options.items() if name in takes}
    one = msgspec.structs.replace(config, strategy=strategy, kernel=kernel, options=options)
    return msgspec.structs.replace(one, output=str(directory / one.label))


def _usable(
    config: RunConfig, strategies: Sequence[str], kernel: str, comparison: Comparison
) -> list[RunConfig]:
    """A config for each that can run so; another package's strategy that fails is not available."""
    found = []
    for name in strategies:
        try:
            with guarded(f"strategy {name} cannot be used"):
                one = _one(config, comparison.path, name, kernel)
            one.resolved()
            if kernel == "host":
                unavailable(name)
        except UsageError as error:
            if name in builtin() and not isinstance(error, Unfit):
                raise
            entry = {"strategy": name, "kernel": kernel, "why": error.message}
            comparison.unavailable.append(entry)
            continue
        found.append(one)
    return found


def _same_rate(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """The same load for all: the pace at which the slowest leaves its workers idle in between."""
    rates = [config.resolved().rate for config in configs]
    paces = [rate for rate in rates if isinstance(rate, float)]
    return [msgspec.structs.replace(c, rate=min(paces)) if paces else c for c in configs]


def _run_here(
    configs: Sequence[RunConfig], comparison: Comparison, progress: Progress, picture: bool
) -> None:
    from herd import runner

    with Crew(configs[0].probes, configs[0].workers) as crew:
        for number, config in enumerate(configs, 1):
            tell = _prefixed(progress, f"{config.strategy} ({number} of {len(configs)})")
            try:
                _add(comparison, config, runner.run(config, tell, picture=picture, crew=crew))
            except Interrupted:
                raise
            except HerdError as error:
                _add(comparison, config, error)


def _prefixed(progress: Progress, where: str) -> Progress:
    return lambda what, done, total: progress(f"{where}: {what}", done, total)


def _run_there(
    configs: Sequence[RunConfig], comparison: Comparison, progress: Progress, picture: bool
) -> None:
    from herd.kernels.run import run_all

    try:
        results = run_all(configs, progress, picture=picture)
    except HostError as error:  # no such kernel, nothing to boot it with
        results = [error] * len(configs)
    for config, result in zip(configs, results, strict=True):
        _add(comparison, config, result)


def _add(comparison: Comparison, config: RunConfig, result: Recording | HerdError) -> None:
    if isinstance(result, Recording):
        comparison.runs.append(result)
        return
    entry = {"strategy": config.strategy, "kernel": config.kernel, "why": result.message}
    if isinstance(result, HostError | Unfit):
        comparison.unavailable.append(entry)
        return
    comparison.failed.append(entry)
    if result.recording is not None:
        comparison.runs.append(result.recording)
