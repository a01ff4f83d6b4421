"""Experiments: a question, a sweep of runs, and claims that were written before it is run.

ADD AN EXPERIMENT: one file in ``experiments/`` (see docs/experiments.md). ADD A MEASURE: one file in
``measures/``.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from herd.discover import unknown

#: Those of the folder where the command is given come before those that came with herd.
_HERE: Final = Path("experiments")


def _folders() -> list[Path]:
    return [_HERE, Path(str(files(__name__) / "files"))]


def names() -> list[str]:
    """Every experiment that can be named without its path."""
    return sorted({file.stem for folder in _folders() for file in folder.glob("*.toml")})


def locate(name: str) -> Path:
    """The file of an experiment.

    :param name: as :func:`names` has it, or a path that ends in ``.toml``
    :raises UsageError: there is none of that name
    """
    if name.endswith(".toml"):
        return Path(name)
    for folder in _folders():
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    raise unknown("experiment", name, names())
