"""Writes a recording: aside first, and under its name only when it is whole."""

from __future__ import annotations

import errno
import json
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herd.errors import HerdError, UsageError

if TYPE_CHECKING:
    from herd.recording.read import Recording

PARTIAL = ".partial"


def aside_of(directory: Path) -> Path:
    """Where a recording lies until it is whole."""
    return directory.with_name(directory.name + PARTIAL)


def free_aside(path: Path, why: str = "herd never overwrites") -> Path:
    """Where something is written until it gets its name.

    :raises UsageError: it, or that place, is taken
    """
    aside = aside_of(path)
    for taken in (path, aside):
        if taken.exists():
            raise UsageError(f"{taken} exists, and {why}", "name another --output, or move it away")
    return aside


def reserve(directory: Path) -> Path:
    """Make the folder in which a run is written aside; refuses one that exists, before anything runs.

    :returns: ``directory`` with ``.partial`` at its end
    """
    aside = free_aside(directory, "herd never overwrites a recording")
    try:
        aside.mkdir(parents=True)
        (aside / "writable").touch()
        (aside / "writable").unlink()
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory}: {error.strerror}", "name another folder with --output"
        ) from error
    return aside


def place(output: str | None, label: str) -> tuple[Path, Path]:
    """Where a recording will be, and where it lies until it is whole; the latter is made.

    :param output: the folder that was asked for
    :param label: else: for a name under ``results/``
    """
    if output:
        directory = Path(output)
        return directory, reserve(directory)
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{label}"
    for suffix in ["", *(f"-{i}" for i in range(2, 100))]:
        directory = Path("results", name + suffix)
        if not directory.exists() and not aside_of(directory).exists():
            break
    return directory, reserve(directory)


def write_json(path: Path, content: dict[str, Any] | list[Any]) -> None:
    """Write a JSON file so that a reader sees all of it or the one before."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, likewise."""
    aside = path.with_name(path.name + PARTIAL)
    aside.write_text(text, encoding="utf-8")
    aside.rename(path)


def publish(aside: Path, directory: Path) -> None:
    """Give a whole recording its name."""
    descriptor = os.open(aside, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    aside.rename(directory)


def disk_full(error: OSError, directory: Path) -> HerdError:
    """What to say when a recording could not be written to ``directory``."""
    why = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
    return HerdError(
        f"the recording could not be written to {directory}: {why}",
        "free some space, or repeat the run with another --output",
    )


def kept(error: HerdError, recording: Recording) -> HerdError:
    """The same error, with where the data is."""
    found = type(error)(
        f"{error.message}\nwhat was recorded until then is kept, marked incomplete: {recording.path}",
        error.hint,
    )
    found.recording = recording
    return found
