"""Formats that other programs read. ADD A FORMAT: one file here.

A file defines ``NAME``, what its output is called by default; ``READS``, the tables that it wants rows of;
and ``write(source, out)``, where ``out`` is a binary file. One that writes several files defines
``write_into(source, folder)`` instead. Its name is the format's, its docstring's first line says what it is.
Rows come from :class:`herd.export._source.Source`, batch by batch, so that memory is not the recording's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

from herd.discover import modules, unknown
from herd.errors import UsageError
from herd.export._aside import written_aside
from herd.export._source import Source

if TYPE_CHECKING:
    from herd.recording.read import Recording

__all__ = ["export", "is_folder", "means", "names", "silent", "stream", "without_rows"]


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def names() -> list[str]:
    """Every format there is."""
    return modules(__name__)


def means(name: str) -> str:
    """What a format is, in a sentence."""
    return (_format(name).__doc__ or name).strip().partition("\n")[0]


def is_folder(name: str) -> bool:
    """Whether a format writes several files."""
    return hasattr(_format(name), "write_into")


def without_rows(recording: Recording, name: str) -> list[str]:
    """Tables that a format wants and this recording has no row of."""
    source = Source(recording, silent)
    return [table for table in _format(name).READS if not source.size(table)]


def export(
    recording: Recording,
    name: str,
    output: Path | None = None,
    progress: Callable[[str, int, int], None] = silent,
) -> Path:
    """Write a recording in another format; whole, or not at all.

    :param name: one of :func:`names`
    :param output: the file, or the folder; by default beside the recording's tables
    :returns: where it is
    :raises UsageError: no such format; something is there already; it can't be written
    """
    form = _format(name)
    path = output or recording.path / form.NAME
    source = Source(recording, progress)
    with written_aside(path) as aside:
        if is_folder(name):
            aside.mkdir()
            form.write_into(source, aside)
        else:
            with aside.open("xb") as out:
                form.write(source, out)
    return path


def stream(
    recording: Recording, name: str, out: BinaryIO, progress: Callable[[str, int, int], None]
) -> None:
    """Write it to an open file, such as a pipe.

    :raises UsageError: no such format, or one of several files
    """
    if is_folder(name):
        raise UsageError(
            f"{name} is several files, which stdout can't hold", "name a folder with --output"
        )
    _format(name).write(Source(recording, progress), out)


def _format(name: str) -> ModuleType:
    if name not in names():
        raise unknown("format", name, names())
    return importlib.import_module(f"{__name__}.{name}")
