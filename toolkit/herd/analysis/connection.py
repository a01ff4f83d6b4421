"""One connection through all tables: its client, its arrival, whom that woke, who accepted it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from herd.analysis.path import of_arrival
from herd.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from herd.recording.read import Recording

_CLIENTS: Final = ("intended", "started", "established", "first_byte", "closed")


@dataclass(frozen=True)
class Life:
    """What became of one connection.

    :param number: its place by when it should have started, from 1
    :param moments: ns of ``intended``, ``started``, ``established``, ``arrival``, ``accepted``,
        ``first_byte`` and ``closed``, as far as each is known
    :param worker: who accepted it; ``None`` if nobody was seen to
    :param wakeups: rows of the wakeups that its arrival caused
    """

    number: int
    moments: dict[str, int]
    worker: int | None
    wakeups: pd.DataFrame


def followable(recording: Recording) -> bool:
    """Whether clients' rows and accepts can be joined: by address and port, which unix clients lack."""
    return bool(
        recording.connections["port"].notna().any() and recording.accepts["peer_port"].notna().any()
    )


def life(recording: Recording, number: int | None = None) -> Life:
    """Follow a connection.

    :param number: its place by when it should have started, from 1; by default that with the median time
        from there to its first byte
    :raises UsageError: there is no such connection
    """
    rows = recording.connections.sort_values("intended_ns", ignore_index=True)
    number = _median(rows) if number is None else number
    if not 1 <= number <= len(rows):
        raise UsageError(f"{recording.path} has no connection {number}: they are 1 to {len(rows)}")
    client = rows.iloc[number - 1]
    moments = {name: client[f"{name}_ns"] for name in _CLIENTS}
    accept = _accept(recording, client)
    arrival = None if accept is None or _missing(accept["arrival"]) else int(accept["arrival"])
    if accept is not None:
        moments["accepted"] = accept["time_ns"]
    if arrival is not None:
        moments["arrival"] = of_arrival(recording.arrivals, arrival)["time_ns"].min()
    return Life(
        number,
        {name: int(time) for name, time in moments.items() if not _missing(time)},
        None if accept is None else int(accept["worker"]),
        # Of no arrival, there are none: arrivals are numbered from 1.
        of_arrival(recording.wakeups, arrival or 0),
    )


def _median(rows: pd.DataFrame) -> int:
    taken = (rows["first_byte_ns"] - rows["intended_ns"]).dropna().sort_values()
    return int(taken.index[(len(taken) - 1) // 2]) + 1 if len(taken) else 1


def _accept(recording: Recording, client: pd.Series[Any]) -> pd.Series[Any] | None:
    """The first accept of this client's port once it had started: a port is used again later."""
    accepts = recording.accepts
    same = (accepts["peer_port"] == client["port"]) & (accepts["peer"] == client["source"])
    later = accepts[(same & (accepts["time_ns"] >= client["started_ns"])).fillna(False)]
    return None if later.empty else later.sort_values("time_ns").iloc[0]


def _missing(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))
