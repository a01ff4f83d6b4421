"""Pictures of recordings. ADD A PICTURE: one file here.

A file defines ``draw(recording) -> Figure``, or ``draw(*recordings)``; its name is the picture's, its
docstring says what it shows. ``suits(recording) -> bool`` says whether one recording has the data for it:
it is then on the recording's page, too.
Nothing here needs a display, and pyplot with its global state is not used.
"""

from __future__ import annotations

import importlib
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from herd.discover import modules, unknown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

__all__ = ["draw", "means", "names", "save", "save_into", "suited", "svg"]

# That it can't cache its fonts where the home folder isn't writable is no news to our users.
logging.getLogger("matplotlib").setLevel(logging.ERROR)


def names() -> list[str]:
    """Every picture there is."""
    return modules(__name__)


def draw(name: str, *recordings: Recording) -> Figure:
    """Draw a picture of one recording, or of several where it can compare them.

    :raises UsageError: there is no picture of that name
    """
    if name not in names():
        raise unknown("picture", name, names())
    figure: Figure = importlib.import_module(f"{__name__}.{name}").draw(*recordings)
    return figure


def suited(recording: Recording) -> list[str]:
    """The pictures that one recording has the data for."""
    found = {name: importlib.import_module(f"{__name__}.{name}") for name in names()}
    return [
        n for n, module in found.items() if hasattr(module, "suits") and module.suits(recording)
    ]


def means(name: str) -> str:
    """What a picture shows, in a sentence."""
    said = importlib.import_module(f"{__name__}.{name}").__doc__ or name
    return said.strip().partition("\n")[0]


def save(figure: Figure, path: Path) -> None:
    """Write a picture in the format that the path's suffix names: png, svg or pdf."""
    _write(figure, path, path.suffix.removeprefix("."))


def svg(figure: Figure) -> str:
    """A picture as the text of an SVG file."""
    file = io.BytesIO()
    _write(figure, file, "svg")
    return file.getvalue().decode()


def _write(figure: Figure, file: Path | io.BytesIO, form: str) -> None:
    from matplotlib import rc_context

    # Text stays text in an SVG (searched, read aloud); the same recording gives the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "herd"}):
        metadata = {"Date": None} if form == "svg" else None
        figure.savefig(file, format=form, dpi=150, metadata=metadata)


def save_into(directory: Path, name: str, *recordings: Recording) -> None:
    """Draw a picture and write it as ``<name>.png`` and ``<name>.svg``."""
    figure = draw(name, *recordings)
    for suffix in ("png", "svg"):
        save(figure, directory / f"{name}.{suffix}")
