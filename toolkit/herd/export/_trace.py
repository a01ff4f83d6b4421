"""A Perfetto trace as it is written: packets, one after the other (Perfetto's ``trace_packet.proto``).

Each is written as a trace of its own: traces that follow one another are one trace.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, Final

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    BUILTIN_CLOCK_BOOTTIME,
    BUILTIN_CLOCK_MONOTONIC,
    BUILTIN_CLOCK_REALTIME,
    TracePacket,
    TrackDescriptor,
    TrackEvent,
)
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace as PerfettoTrace

_NONE: Final[Mapping[str, Any]] = {}
#: One writer, one sequence.
_SEQUENCE: Final = 1
_CLOCKS: Final = {
    "monotonic_ns": BUILTIN_CLOCK_MONOTONIC,
    "boottime_ns": BUILTIN_CLOCK_BOOTTIME,
    "realtime_ns": BUILTIN_CLOCK_REALTIME,
}


class Trace:
    """Writes tracks and what happens on them.

    :param clocks: what the host's clocks said at one moment; other traces are aligned by it
    """

    def __init__(self, out: BinaryIO, clocks: Mapping[str, Any]) -> None:
        self._out = out
        self._uuids = itertools.count(1)
        self._clocks(clocks)

    def _clocks(self, clocks: Mapping[str, Any]) -> None:
        """Without a snapshot the importer drops what isn't on its own clock, BOOTTIME."""
        trace = PerfettoTrace()
        packet = trace.packet.add(
            trusted_packet_sequence_id=_SEQUENCE,
            sequence_flags=TracePacket.SEQ_INCREMENTAL_STATE_CLEARED,
        )
        snapshot = packet.clock_snapshot
        snapshot.primary_trace_clock = BUILTIN_CLOCK_MONOTONIC
        for name, clock in _CLOCKS.items():
            if clocks.get(name) is not None:
                snapshot.clocks.add(clock_id=clock, timestamp=clocks[name])
        self._out.write(trace.SerializeToString())

    def group(self, name: str) -> int:
        """A track that holds others, in the order in which they are made; returns its uuid."""
        return self._describe(name=name, child_ordering=TrackDescriptor.EXPLICIT)

    def track(self, name: str, group: int) -> int:
        """A track of a group; returns its uuid."""
        return self._describe(name=name, parent_uuid=group)

    def _describe(self, **fields: Any) -> int:
        uuid = next(self._uuids)
        track = TrackDescriptor(uuid=uuid, sibling_order_rank=uuid, **fields)
        trace = PerfettoTrace()
        trace.packet.add(trusted_packet_sequence_id=_SEQUENCE, track_descriptor=track)
        self._out.write(trace.SerializeToString())
        return uuid

    def instant(
        self,
        track: int,
        time_ns: int,
        name: str,
        details: Mapping[str, Any] = _NONE,
        flows: Iterable[int] = (),
        ends: Iterable[int] = (),
    ) -> None:
        """Something without a duration.

        :param details: what the UI lists of it; ``None`` among them is left out
        :param flows: numbers of the arrows that begin here, or lead through it
        :param ends: of those that end here
        """
        self._event(TrackEvent.TYPE_INSTANT, track, time_ns, name, details, flows, ends)

    def begin(
        self,
        track: int,
        time_ns: int,
        name: str,
        details: Mapping[str, Any] = _NONE,
        flows: Iterable[int] = (),
        ends: Iterable[int] = (),
    ) -> None:
        """A slice begins, within those of its track that are open; parameters as of :meth:`instant`."""
        self._event(TrackEvent.TYPE_SLICE_BEGIN, track, time_ns, name, details, flows, ends)

    def end(self, track: int, time_ns: int) -> None:
        """The slice of a track that began last ends."""
        self._event(TrackEvent.TYPE_SLICE_END, track, time_ns)

    def _event(
        self,
        kind: int,
        track: int,
        time_ns: int,
        name: str | None = None,
        details: Mapping[str, Any] = _NONE,
        flows: Iterable[int] = (),
        ends: Iterable[int] = (),
    ) -> None:
        # Fields are set in place: a message that is made apart and copied takes three times as long.
        trace = PerfettoTrace()
        packet = trace.packet.add()
        packet.timestamp = time_ns
        packet.timestamp_clock_id = BUILTIN_CLOCK_MONOTONIC
        packet.trusted_packet_sequence_id = _SEQUENCE
        event = packet.track_event
        event.type = kind
        event.track_uuid = track
        if name is not None:
            event.name = name
        event.flow_ids.extend(flows)
        event.terminating_flow_ids.extend(ends)
        for key, value in details.items():
            if value is not None:
                field = "string_value" if isinstance(value, str) else "int_value"
                event.debug_annotations.add(name=key, **{field: value})
        self._out.write(trace.SerializeToString())
