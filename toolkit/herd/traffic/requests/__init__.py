"""What a client says on its connection, and when it has its answer. ADD A REQUEST: one file here.

A file defines one subclass of :class:`~herd.traffic.requests._base.Request`; its ``name`` is the file's, with
hyphens.
"""

from __future__ import annotations

from herd.traffic._shelf import Shelf
from herd.traffic.requests._base import BadAnswer, Request, Unfinished

__all__ = ["BadAnswer", "Request", "Unfinished", "choose", "find", "names", "options"]

_shelf = Shelf(__name__, Request, "request", "--request")
names, find, options, choose = _shelf.names, _shelf.find, _shelf.options, _shelf.choose
