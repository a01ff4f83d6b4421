"""Runs an experiment: each run once, kept, and found again when it is resumed."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from herd import __version__
from herd.errors import HerdError, Interrupted, UsageError
from herd.experiments import local
from herd.experiments.definition import Definition
from herd.experiments.local import Note
from herd.experiments.result import FILE, Result, State, load
from herd.experiments.sweep import Run
from herd.recording import write
from herd.recording.read import Recording

if TYPE_CHECKING:
    from herd.runner import Progress

#: Does runs, and notes what came of each.
Performer = Callable[[Sequence[Run], Path, Note], None]


def default_folder(name: str, *, quick: bool) -> Path:
    """Where an experiment's recordings go, unless told otherwise."""
    return Path("results", "experiments", f"{name}-quick" if quick else name)


def run(
    name: str,
    definition: Definition,
    folder: Path,
    progress: Progress = lambda what, done, total: None,
    *,
    quick: bool = False,
    perform: Performer = local.perform,
) -> Result:
    """Do the runs that are not there yet, and judge the claims.

    :param folder: where an earlier call was ended, its runs are kept
    :raises UsageError: the folder holds another experiment, or the file was changed since
    :raises Interrupted: what was recorded is kept; the same call goes on from there
    """
    with _only_one(folder):
        bench = _Bench(folder, _state(folder, name, definition, quick=quick), progress)
        bench.perform(perform)
        return bench.judged()


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Another process that runs the same would take this one's runs for broken ones."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(
            f"cannot write to {folder}: {error.strerror}", "name another --output"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError(
            f"another herd experiment is at work in {folder}", "wait for it, or name an --output"
        ) from None
    finally:
        os.close(descriptor)


def _state(folder: Path, name: str, definition: Definition, *, quick: bool) -> State:
    from herd.host.metadata import metadata

    if not (folder / FILE).exists():
        if any(folder.iterdir()):
            raise UsageError(f"{folder} holds something else", "name another --output")
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        return State(
            experiment=name,
            quick=quick,
            digest=definition.digest,
            definition=definition,
            herd=__version__,
            started_at=now,
            environment=metadata(),
        )
    state = load(folder).state
    if (state.experiment, state.quick) != (name, quick):
        there = f"{state.experiment}{' --quick' if state.quick else ''}"
        raise UsageError(f"{folder} holds another experiment: {there}", "name another --output")
    if state.digest != definition.digest:
        raise UsageError(
            f"experiment {name} was changed since its runs in {folder} began, and claims are written before",
            "move that folder away, or name another --output, to begin anew; or undo the change to go on",
        )
    state.definition = definition  # its discussion may be newer
    return state


class _Bench:
    """The folder of an experiment, while it is run."""

    def __init__(self, folder: Path, state: State, progress: Progress) -> None:
        self._folder = folder
        self._state = state
        self._progress = progress
        self._ended = 0

    def perform(self, perform: Performer) -> None:
        design = self._state.definition.design(quick=self._state.quick)
        missing = [run for run in design.runs() if not self._is_there(run)]
        self._state.failed.clear()  # they are tried again
        self._write()

        def note(run: Run, error: HerdError | None) -> None:
            if error:
                self._state.failed[run.name] = error.message.partition("\n")[0]
            self._ended += 1
            self._write()
            self._progress(self._state.experiment, self._ended, len(missing))

        self._progress(self._state.experiment, 0, len(missing))
        try:
            perform(missing, self._folder, note)
        except (Interrupted, KeyboardInterrupt) as error:
            raise Interrupted(
                f"interrupted; {self._ended} of {len(missing)} runs were done, and all are kept in"
                f" {self._folder}",
                "the same command goes on from there",
            ) from error

    def judged(self) -> Result:
        result = load(self._folder)
        self._state.runs = len(result.recordings)
        self._state.claims = [claim.as_json() for claim in result.claims]
        self._write()
        return result

    def _is_there(self, run: Run) -> bool:
        """Whether a run has its recording; one that ended early is set aside."""
        directory = self._folder / run.name
        self._set_aside(write.aside_of(directory))
        try:
            complete = bool(Recording(directory).run["complete"])
        except UsageError:
            complete = False
        if not complete:
            self._set_aside(directory)
        return complete

    def _set_aside(self, directory: Path) -> None:
        """Give it a name that says that it is partial, for whoever looks for recordings here."""
        if directory.exists():
            name = directory.name.removesuffix(write.PARTIAL)
            places = (
                directory.with_name(f"{name}.aside{number}{write.PARTIAL}")
                for number in itertools.count(1)
            )
            directory.rename(next(place for place in places if not place.exists()))

    def _write(self) -> None:
        write.write_json(self._folder / FILE, msgspec.to_builtins(self._state))
