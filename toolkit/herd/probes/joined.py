"""Which arrival an accept took: its connection's, which both records name by listener and peer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np

from herd.probes.events import EVENT, KIND_ACCEPT, KIND_ARRIVAL, kinds

#: Arrivals that are kept in mind until somebody accepts them; where accepts can't be seen, nobody does.
_MOST: Final = 1 << 17

_Array = np.ndarray[Any, Any]


def joined(parts: Iterable[_Array]) -> Iterator[_Array]:
    """Records in the order of time → the same, where accepts have number and time of their arrivals.

    An accept follows its arrival, since it waits until the listener has been told: meanwhile,
    ``tcp_child_process()`` holds the new socket's lock. No arrival has an accept of a connection that came
    before anybody looked, or to another listener, and was moved when that was closed. Unix clients,
    who have no name, were joined in the kernel.
    """
    waiting = np.empty(0, EVENT)
    for records in parts:
        waiting = _join(waiting, records)
        yield records


def _join(waiting: _Array, records: _Array) -> _Array:
    """Fill the accepts in; returns the arrivals that still wait.

    :param waiting: the arrivals of earlier records that nobody had accepted
    """
    kind = kinds(records)
    which = np.flatnonzero(
        ((kind == KIND_ARRIVAL) | (kind == KIND_ACCEPT)) & (records["peer_port"] != 0)
    )
    both = np.concatenate([waiting, records.take(which)])
    name = _name(both)
    order = np.argsort(name, kind="stable")
    name, accepts = name.take(order), (kinds(both) == KIND_ACCEPT).take(order)
    # The same peer can come again, but only after its connection was accepted, or has died in the queue.
    followed = np.zeros(len(name), bool)
    followed[:-1] = name[1:] == name[:-1]
    taken = np.flatnonzero(followed[:-1] & ~accepts[:-1] & accepts[1:])
    rows, arrivals = which.take(order.take(taken + 1) - len(waiting)), order.take(taken)
    records["arrival"][rows] = both["arrival"].take(arrivals)
    records["end"][rows] = both["time"].take(arrivals)
    left = both.take(order.compress(~followed & ~accepts))
    return left.take(np.argsort(left["arrival"])[-_MOST:])


def _name(records: _Array) -> _Array:
    """Listener and peer in one number."""
    listener, peer, port = (
        records[field].astype("u8") for field in ("listener", "peer", "peer_port")
    )
    found: _Array = listener << 48 | peer << 16 | port
    return found
