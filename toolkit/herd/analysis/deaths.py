"""What became of the connections of a worker that died in mid-run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from herd.process import describe_exit

if TYPE_CHECKING:
    import pandas as pd

    from herd.recording.read import Recording

#: A connection is joined by its client's address and port, the latest before or the first after.
_PEER = ["peer", "peer_port"]


def deaths(recording: Recording) -> list[dict[str, Any]] | None:
    """Each worker that died, in the order of time; ``None`` if none did.

    :returns: ``worker``, ``pid``, ``how``, ``at_s`` (after the run's begin); ``in_hand``: connections that it
        had accepted and that failed, by error; ``handed_on``: likewise, but accepted by one that lived, where
        workers hand connections on (it isn't known to whom);
        ``shares_queue``: whether others accept from the same socket; ``queue``, if they don't: what was in
        its accept queue: ``migrated`` by the worker that accepted it then, ``lost`` by error;
        ``accepted_after``: what the others accepted after its death. What couldn't be seen is ``None``.
    """
    died = recording.run["pool"].get("deaths")
    if not died:
        return None
    accepted = _with_error(recording, recording.accepts)
    gone = {death["worker"] for death in died}
    return [_death(recording, accepted, gone, death) for death in died]


def _death(
    recording: Recording, accepted: pd.DataFrame, gone: set[int], died: dict[str, Any]
) -> dict[str, Any]:
    workers = recording.workers
    worker, listeners = died["worker"], workers["listener"]
    known = bool(workers["accepts"].notna().all())
    hands_on = bool((workers["served"] > workers["accepts"]).any())
    later = (accepted["time_ns"] > died["time_ns"]) & (accepted["worker"] != worker)
    shares = bool((listeners == listeners[worker]).sum() > 1)
    return {
        "worker": worker,
        "pid": died["pid"],
        "how": describe_exit(died["status"]),
        "at_s": (died["time_ns"] - recording.run["begin_ns"]) / 1e9,
        "in_hand": _count(accepted[accepted["worker"] == worker]["error"]) if known else None,
        "handed_on": _count(accepted[~accepted["worker"].isin(gone)]["error"])
        if hands_on
        else None,
        "shares_queue": shares,
        "queue": None if shares else _queue(recording, listeners[worker]),
        "accepted_after": int(later.sum()) if known else None,
    }


def _queue(recording: Recording, listener: int) -> dict[str, dict[str, int]] | None:
    """What became of the connections that arrived at a listener and weren't accepted there."""
    if recording.run["host"]["probe"] == "none":
        return None
    arrivals, accepts = recording.arrivals, recording.accepts
    left = arrivals[(arrivals["listener"] == listener) & ~_taken(arrivals, accepts)]
    elsewhere = accepts[accepts["arrival"].isna()]
    found = _nearest(left, elsewhere[[*_PEER, "time_ns", "worker"]], "forward")
    moved = found["worker"].notna()
    migrated = found[moved]["worker"].astype("int64").value_counts().sort_index()
    return {
        "migrated": {str(worker): int(count) for worker, count in migrated.items()},
        "lost": _count(_with_error(recording, left[~moved.to_numpy()])["error"]),
    }


def _taken(arrivals: pd.DataFrame, accepts: pd.DataFrame) -> pd.Series[bool]:
    return arrivals["arrival"].isin(accepts["arrival"].dropna())


def _with_error(recording: Recording, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of arrivals or accepts, by time, with the error that their clients met."""
    names = {"source": "peer", "port": "peer_port", "started_ns": "time_ns"}
    clients = recording.connections.rename(columns=names)[[*_PEER, "time_ns", "error"]]
    return _nearest(rows, clients, "backward")


def _nearest(left: pd.DataFrame, right: pd.DataFrame, direction: Any) -> pd.DataFrame:
    import pandas as pd

    def plain(rows: pd.DataFrame) -> pd.DataFrame:
        types = {"peer": "str", "peer_port": "int64", "time_ns": "int64"}
        return rows.dropna(subset=list(types)).astype(types).sort_values("time_ns")

    return pd.merge_asof(plain(left), plain(right), on="time_ns", by=_PEER, direction=direction)


def _count(values: pd.Series[Any]) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().items() if count}


def _unlogged(recording: Recording, worker: int) -> int:
    logged = recording.workers["accepts"][worker]
    return int((recording.accepts["worker"] == worker).sum() - logged)


def _uncounted(recording: Recording, death: dict[str, Any]) -> int:
    """1 if it died between its last answer and the counting of it, else 0."""
    import pandas as pd

    served = recording.workers["served"][death["worker"]]
    if pd.isna(served) or death["in_hand"] is None or death["handed_on"] is not None:
        return 0
    accepted = int((recording.accepts["worker"] == death["worker"]).sum())
    return int(accepted - sum(death["in_hand"].values()) - served == 1)


def _uncounted_anywhere(recording: Recording, died: list[dict[str, Any]]) -> int:
    """The same where workers hand connections on: of whom isn't known, so as many as died, at the most."""
    if not died or died[0]["handed_on"] is None:
        return 0
    answered = _with_error(recording, recording.accepts)["error"].isna().sum()
    short = int(answered - recording.workers["served"].sum())
    return short if 0 < short <= len(died) else 0


def explained(recording: Recording) -> dict[str, int]:
    """What deaths take off the accounts.

    :returns: ``unlogged``: the kernel returned them, and the worker died before it wrote that down;
        ``unserved``: accepted, and failed, or answered and not counted any more;
        ``lost`` in the accept queue of a dead worker's own listener;
        ``migrated`` from there to another's; ``announced``: arrivals that told of migrated ones. They have no
        peer: the handshake, whose end names it, was another arrival's. Kernels without commit 3864c6ba1e04
        ("tcp: call sk_data_ready() after listener migration", 2026; inet_csk_listen_stop() in
        net/ipv4/inet_connection_sock.c) or its backport move them without a word.
    """
    died = deaths(recording) or []
    queues = [death["queue"] for death in died if death["queue"]]
    unserved = [death["in_hand"] for death in died] + [death["handed_on"] for death in died[:1]]
    return {
        "unlogged": sum(_unlogged(recording, death["worker"]) for death in died),
        "unserved": sum(sum(errors.values()) for errors in unserved if errors)
        + sum(_uncounted(recording, death) for death in died)
        + _uncounted_anywhere(recording, died),
        "lost": sum(sum(queue["lost"].values()) for queue in queues),
        "migrated": sum(sum(queue["migrated"].values()) for queue in queues),
        "announced": int(recording.arrivals["peer_port"].isna().sum()) if queues else 0,
    }
