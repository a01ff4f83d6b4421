"""Pictures of recordings. ADD A PICTURE: one file here.

A file defines ``draw(recording) -> Figure``, or ``draw(*recordings)`` if it takes several; its name is the
picture's, its docstring says what it shows. ``suits(recording) -> bool`` says whether a recording has the
data for it, and ``NEEDS``, in words, what that is; without them it suits all. With ``PLACE``, a number,
it is there on the page of each recording that suits it. What else ``draw`` takes by name can be chosen.
Nothing here needs a display, and pyplot with its global state is not used.
"""

from __future__ import annotations

import importlib
import inspect
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herd.discover import modules, unknown
from herd.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from herd.recording.read import Recording

__all__ = [
    "draw",
    "means",
    "names",
    "needs",
    "save",
    "save_into",
    "several",
    "suited",
    "suits",
    "svg",
    "takes",
    "usable",
]

# That it can't cache its fonts where the home folder isn't writable is no news to our users.
logging.getLogger("matplotlib").setLevel(logging.ERROR)


def names() -> list[str]:
    """Every picture there is."""
    return modules(__name__)


def draw(name: str, *recordings: Recording, **chosen: Any) -> Figure:
    """Draw a picture of one recording, or of several where it can compare them.

    :param chosen: what that picture alone takes, such as ``connection``
    :raises UsageError: there is no picture of that name
    """
    figure: Figure = _module(name).draw(*recordings, **chosen)
    return figure


def _module(name: str) -> Any:
    if name not in names():
        raise unknown("picture", name, names())
    return importlib.import_module(f"{__name__}.{name}")


def several(name: str) -> bool:
    """Whether a picture can show several recordings."""
    taken = inspect.signature(_module(name).draw).parameters.values()
    return any(parameter.kind is parameter.VAR_POSITIONAL for parameter in taken)


def takes(name: str, option: str) -> bool:
    """Whether something can be chosen about a picture."""
    return option in inspect.signature(_module(name).draw).parameters


def needs(name: str) -> str:
    """What a recording must have for a picture, in words; empty: nothing."""
    return str(getattr(_module(name), "NEEDS", ""))


def suits(name: str, recording: Recording) -> bool:
    """Whether a recording has the data for a picture."""
    module = _module(name)
    return bool(module.suits(recording)) if hasattr(module, "suits") else True


def usable(name: str, recordings: list[Recording]) -> list[Recording]:
    """Those of the recordings that have the data for a picture.

    :raises UsageError: none has, or they are more than it can show
    """
    if len(recordings) > 1 and not several(name):
        hint = f"name one of them: herd plot {name} {recordings[0].path}"
        raise UsageError(
            f"picture {name} shows one recording, and these are {len(recordings)}", hint
        )
    found = [recording for recording in recordings if suits(name, recording)]
    if not found:
        where = ", ".join(str(recording.path) for recording in recordings[:3])
        raise UsageError(f"{where} can't be drawn as {name}", f"it needs {needs(name)}")
    return found


def suited(recording: Recording) -> list[str]:
    """The pictures for the page of one recording, in their order: those that it has the data for."""
    on_page = [(_module(name).PLACE, name) for name in names() if hasattr(_module(name), "PLACE")]
    return [name for _, name in sorted(on_page) if suits(name, recording)]


def means(name: str) -> str:
    """What a picture shows, in a sentence."""
    said = _module(name).__doc__ or name
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
