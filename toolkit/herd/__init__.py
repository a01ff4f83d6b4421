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
    from herd.api import experiment, run
    from herd.errors import HerdError
    from herd.recording.read import Recording, load

__all__ = ["HerdError", "Recording", "__version__", "experiment", "load", "run"]
__version__ = "0.1.0"

_WHERE = {
    "run": "herd.api",
    "experiment": "herd.api",
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
