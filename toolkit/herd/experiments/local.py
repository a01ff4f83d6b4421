"""Runs of an experiment on this machine, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from herd.crew import Crew
from herd.errors import HerdError, HostError, Interrupted, Unfit, UsageError
from herd.experiments.sweep import Run, configured, kind

#: Told of each run that ended: the error, or ``None`` where its recording is in its place.
Note = Callable[[Run, HerdError | None], None]


def perform(runs: Sequence[Run], folder: Path, note: Note) -> None:
    """Do them; what takes long to start, they share.

    :param folder: a recording is put into it under the run's name
    :raises Interrupted: what was recorded until then is kept
    :raises UsageError: nothing can be written there
    """
    for (kernel, _), group in itertools.groupby(runs, kind):
        if fit := _fit(group, note):
            (_here if kernel == "host" else _there)(fit, folder, note)


def _fit(runs: Iterable[Run], note: Note) -> list[Run]:
    """Those whose strategy can do what is asked of it."""
    found = []
    for run in runs:
        try:
            run.point.config.resolved()
        except Unfit as error:
            note(run, error)
        else:
            found.append(run)
    return found


def _here(runs: list[Run], folder: Path, note: Note) -> None:
    from herd import runner

    configs = [configured(run, str(folder / run.name)) for run in runs]
    with Crew(configs[0].probes, max(config.workers for config in configs)) as crew:
        for run, config in zip(runs, configs, strict=True):
            try:
                runner.run(config, picture=False, crew=crew)
            except (Interrupted, UsageError):
                raise
            except HerdError as error:
                note(run, error)
            else:
                note(run, None)


def _there(runs: list[Run], folder: Path, note: Note) -> None:
    """In one boot of a virtual machine."""
    from herd.kernels.run import run_all

    configs = [configured(run, str(folder / run.name)) for run in runs]
    try:
        results = run_all(configs, picture=False)
    except HostError as error:  # no such kernel, nothing to boot it with
        results = [error] * len(runs)
    for run, result in zip(runs, results, strict=True):
        note(run, result if isinstance(result, HerdError) else None)
