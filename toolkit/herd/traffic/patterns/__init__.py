"""When connections are intended to start. ADD AN ARRIVAL PATTERN: one file here.

A file defines one subclass of :class:`~herd.traffic.patterns._base.Pattern`; its ``name`` is the file's.
"""

from __future__ import annotations

from herd.traffic._shelf import Shelf
from herd.traffic.patterns._base import NEVER, Pattern, Situation

__all__ = ["NEVER", "Pattern", "Situation", "choose", "find", "names", "options"]

_shelf = Shelf(__name__, Pattern, "arrival pattern", "--pattern")
names, find, options, choose = _shelf.names, _shelf.find, _shelf.options, _shelf.choose
