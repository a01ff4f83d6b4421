"""What claims are about. ADD A MEASURE: one file here.

A file defines ``measure(recording) -> float | None``, of one run, or ``measure_several(recordings)``, of the
runs of several points that belong together, one of each; ``None``: it can't be told. Its docstring says what
it is, ``UNIT`` its unit. Its name is the measure's, with ``-`` for ``_``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from herd.discover import modules, unknown

if TYPE_CHECKING:
    from herd.recording.read import Recording


@dataclass(frozen=True)
class Measure:
    """One of them.

    :param several: it takes the runs of all points that a claim is about, instead of one run
    """

    name: str
    means: str
    unit: str
    several: bool
    function: Callable[[Any], float | None]

    def of(self, recordings: Sequence[Recording]) -> float | None:
        """Its value; ``None``: these recordings don't tell."""
        found = self.function(list(recordings) if self.several else recordings[0])
        return None if found is None or found != found else float(found)


def names() -> list[str]:
    """Every measure there is."""
    return [module.replace("_", "-") for module in modules(__name__)]


def find(name: str) -> Measure:
    """The measure called ``name``.

    :raises UsageError: there is none
    """
    if name not in names():
        raise unknown("measure", name, names())
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    several = getattr(module, "measure_several", None)
    means = (module.__doc__ or name).strip().partition("\n")[0]
    return Measure(
        name, means, getattr(module, "UNIT", ""), bool(several), several or module.measure
    )
