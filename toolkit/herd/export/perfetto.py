"""A trace for ui.perfetto.dev: a track a worker, a listener, a client; arrows arrival → wakeup → accept.

Perfetto's protobuf format, written packet by packet. Its importer orders packets by time, so that each
table is written as it lies in the file (https://perfetto.dev/docs/reference/synthetic-track-event).
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from herd.export._arrows import Arrows
from herd.export._trace import Trace
from herd.plots._style import OUTCOME_WORDS

if TYPE_CHECKING:
    from herd.export._source import Source

NAME: Final = "trace.pftrace"
READS: Final = ("connections", "arrivals", "wakeups", "accepts")
_WAKEUP: Final = (
    *("time_ns", "running_ns", "slept_ns", "worker", "arrival", "cause", "outcome"),
    *("blocked_in", "cpu", "running_cpu", "accepts", "eagain"),
)


def write(source: Source, out: BinaryIO) -> None:
    """Write the trace; times are the recording's own, nanoseconds of CLOCK_MONOTONIC."""
    trace = Trace(out, source.recording.run["host"]["clock"])
    arrows = Arrows(source)
    # Arrows are numbered in this order.
    _arrivals(source, trace, arrows)
    workers = _workers(source, trace)
    _wakeups(source, trace, arrows, workers)
    _accepts(source, trace, arrows, workers)
    _connections(source, trace)


def _arrivals(source: Source, trace: Trace, arrows: Arrows) -> None:
    group = trace.group("listeners")
    tracks: dict[int | None, int] = {}
    columns = ("time_ns", "listener", "arrival", "queue_length", "cpu", "peer", "peer_port")
    for time_ns, listener, number, *others in source.rows("arrivals", *columns):
        if listener not in tracks:
            tracks[listener] = trace.track(_name(listener), group)
        details = dict(zip(columns[2:], (number, *others), strict=True))
        begins = arrows.from_arrival(number)
        trace.instant(tracks[listener], time_ns, "arrival", details, begins)


def _name(listener: int | None) -> str:
    return "listener unknown" if listener is None else f"listener {listener:x}"


def _workers(source: Source, trace: Trace) -> dict[int, int]:
    """The tracks of workers, by their number."""
    group = trace.group("workers")
    rows = sorted(source.rows("workers", "worker", "pid"))
    return {worker: trace.track(f"worker {worker} (pid {pid})", group) for worker, pid in rows}


def _wakeups(source: Source, trace: Trace, arrows: Arrows, workers: dict[int, int]) -> None:
    for row in source.rows("wakeups", *_WAKEUP):
        time_ns, running_ns, slept_ns, worker, arrival, *_ = row
        details = dict(zip(_WAKEUP[4:], row[4:], strict=True))
        through, ends = arrows.to_wakeup(arrival, worker, time_ns)
        name = _kind(details)
        if slept_ns is None:  # until when is unknown
            trace.instant(workers[worker], time_ns, name, details, through, ends)
            continue
        trace.begin(workers[worker], time_ns, name, details, through, ends)
        if running_ns is not None:
            trace.begin(workers[worker], time_ns, "runnable")
            trace.end(workers[worker], running_ns)
        trace.end(workers[worker], slept_ns)


def _kind(details: dict[str, Any]) -> str:
    """What the UI colours a wakeup by."""
    if details["arrival"] is None:
        return f"wakeup of another cause: {details['cause']}"
    return OUTCOME_WORDS.get(details["outcome"], "undecided when the recording ended")


def _accepts(source: Source, trace: Trace, arrows: Arrows, workers: dict[int, int]) -> None:
    columns = ("time_ns", "worker", "arrival", "entered_ns", "queue_delay_ns", "peer", "peer_port")
    for time_ns, worker, *others in source.rows("accepts", *columns):
        details = dict(zip(columns[2:], others, strict=True))
        ends = arrows.to_accept(details["arrival"])
        trace.instant(workers[worker], time_ns, "accept", details, ends=ends)


def _connections(source: Source, trace: Trace) -> None:
    """Slices of one track must not overlap: connections that do lie on several, which the UI draws as one."""
    group = trace.group("clients")
    columns = ("started_ns", "established_ns", "first_byte_ns", "closed_ns")
    details = ("source", "port", "error")
    lanes: list[tuple[int, int]] = []  # until when a track is taken, and the track
    for row in source.rows("connections", *columns, *details):
        known = [time for time in row[:4] if time is not None]
        if not known:
            continue
        free = lanes and lanes[0][0] <= known[0]
        track = heapq.heappop(lanes)[1] if free else trace.track("connections", group)
        heapq.heappush(lanes, (known[-1], track))
        _connection(trace, track, row[:4], dict(zip(details, row[4:], strict=True)))


def _connection(trace: Trace, track: int, times: Any, details: dict[str, Any]) -> None:
    started, established, first_byte, _ = times
    known = [time for time in times if time is not None]
    trace.begin(track, known[0], details["error"] or "connection", details)
    for name, begin, end in (
        ("connect", started, established),
        ("answer", established, first_byte),
    ):
        if begin is not None and end is not None:
            trace.begin(track, begin, name)
            trace.end(track, end)
    trace.end(track, known[-1])
