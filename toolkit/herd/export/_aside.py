"""A file or folder that is seen when it is whole, and never takes another's place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from herd.errors import UsageError
from herd.recording.write import free_aside, publish


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Where to write what will be ``path``; removed if that fails or is interrupted.

    :raises UsageError: there is something already, or it can't be written
    """
    aside = free_aside(path)
    try:
        yield aside
        publish(aside, path)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}", "name another place with --output"
        ) from error
    finally:
        _remove(aside)


def _remove(path: Path) -> None:
    """What is left of it, if it wasn't published."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
