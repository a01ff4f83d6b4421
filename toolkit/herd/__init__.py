"""herd: see, measure and teach how the kernel wakes processes that wait on one socket.

>>> import herd
>>> run = herd.run(strategy="accept", workers=32)
>>> run.summary["wakeups"]["per_connection"]
1.0
>>> run.wakeups.groupby("worker").size()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from herd.api import draw, experiment, inspect, run, waitqueue, watch
    from herd.errors import HerdError
    from herd.lessons import live_or_recorded, why_not_live
    from herd.recording.read import Recording, load

__all__ = [
    "HerdError",
    "Recording",
    "__version__",
    "draw",
    "experiment",
    "inspect",
    "live_or_recorded",
    "load",
    "run",
    "waitqueue",
    "watch",
    "why_not_live",
]
__version__ = "0.1.0"

_WHERE = {
    "run": "herd.api",
    "experiment": "herd.api",
    "watch": "herd.api",
    "waitqueue": "herd.api",
    "inspect": "herd.api",
    "draw": "herd.api",
    "live_or_recorded": "herd.lessons",
    "why_not_live": "herd.lessons",
    "load": "herd.recording.read",
    "Recording": "herd.recording.read",
    "HerdError": "herd.errors",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for: `herd --help` and the forking pool must stay light.
    if name not in _WHERE:
        raise AttributeError(f"module 'herd' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_WHERE[name]), name)
