"""How a client treats its connections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Manners:
    """The same for all of them.

    :param requests: on each connection, one after the other
    :param hold_ns: how long a connection stays open after its last answer, where the client closes
    :param think_ns: from an answer to the next request, and after a connection, before the client is free
    :param reset: close with a RST
    :param patience_ns: a connection whose answer takes longer has failed; 0: it may take for ever
    """

    requests: int = 1
    hold_ns: int = 0
    think_ns: int = 0
    reset: bool = False
    patience_ns: int = 0
