"""What another program is given: whole, as its format demands, and the recording's own counts.

No registry has Perfetto's importer (PyPI's perfetto downloads it when it is called), so that traces are
read back with its schema, and held to what the importer asks for: of arrows, that is in
src/trace_processor/importers/common/flow_tracker.cc.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter, defaultdict

import pytest
from click.testing import CliRunner
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from herd import export
from herd.cli import herd
from herd.errors import UsageError
from herd.export._source import Source
from herd.recording.read import load
from herd.recording.schema import TABLES
from tests.larger import larger
from tests.recordings import edit_run, edit_table, reference

STRATEGIES = ("accept", "epoll", "reuseport")


class Parsed:
    """A trace as Perfetto's importer takes it: by time, of packets at the same time by place."""

    def __init__(self, data: bytes) -> None:
        self.packets = Trace.FromString(data).packet
        described = [p.track_descriptor for p in self.packets if p.HasField("track_descriptor")]
        self.tracks = {track.uuid: track for track in described}
        assert len(self.tracks) == len(described)
        events = [p for p in self.packets if p.HasField("track_event")]
        self.events = sorted(events, key=lambda packet: packet.timestamp)

    def named(self, name: str) -> list[TrackEvent]:
        return [p.track_event for p in self.events if p.track_event.name == name]

    def of_group(self, group: str) -> set[int]:
        """Tracks that lie in one."""
        (parent,) = (uuid for uuid, track in self.tracks.items() if track.name == group)
        return {uuid for uuid, track in self.tracks.items() if track.parent_uuid == parent}


def details(event: TrackEvent) -> dict[str, object]:
    return {a.name: a.string_value or a.int_value for a in event.debug_annotations}


@pytest.fixture(scope="module", params=STRATEGIES)
def exported(request, tmp_path_factory):
    """A recording and its trace."""
    recording = load(reference(request.param))
    output = tmp_path_factory.mktemp("trace") / "trace.pftrace"
    return recording, Parsed(recording.export("perfetto", output).read_bytes())


def test_each_packet_of_a_trace_has_what_the_importer_needs(exported):
    recording, trace = exported
    (snapshot,) = (p.clock_snapshot for p in trace.packets if p.HasField("clock_snapshot"))
    clock = recording.run["host"]["clock"]
    assert trace.packets[0].clock_snapshot == snapshot
    assert snapshot.primary_trace_clock == 3  # CLOCK_MONOTONIC
    assert {c.clock_id: c.timestamp for c in snapshot.clocks} == {
        1: clock["realtime_ns"],
        3: clock["monotonic_ns"],
        6: clock["boottime_ns"],
    }
    for packet in trace.packets:
        assert packet.trusted_packet_sequence_id == 1
    for packet in trace.events:
        assert packet.timestamp_clock_id == 3
        assert packet.timestamp > 0
        assert trace.tracks[packet.track_event.track_uuid].parent_uuid in trace.tracks
        assert packet.track_event.name or packet.track_event.type == TrackEvent.TYPE_SLICE_END


def test_each_slice_ends_within_the_one_around_it(exported):
    _, trace = exported
    open_slices: dict[int, int] = Counter()
    for packet in trace.events:
        event = packet.track_event
        open_slices[event.track_uuid] += {
            TrackEvent.TYPE_SLICE_BEGIN: 1,
            TrackEvent.TYPE_SLICE_END: -1,
            TrackEvent.TYPE_INSTANT: 0,
        }[event.type]
        assert open_slices[event.track_uuid] >= 0
    assert set(open_slices.values()) == {0}


def test_a_slice_of_a_trace_lasts_as_long_as_the_recording_says(exported):
    recording, trace = exported
    stacks, lasted = defaultdict(list), defaultdict(list)
    for packet in trace.events:
        event = packet.track_event
        if event.type == TrackEvent.TYPE_SLICE_BEGIN:
            stacks[event.track_uuid].append(packet)
        elif event.type == TrackEvent.TYPE_SLICE_END:
            begin = stacks[event.track_uuid].pop()
            lasted[begin.track_event.name].append(packet.timestamp - begin.timestamp)
    wakeups, connections = recording.wakeups, recording.connections
    productive = wakeups[wakeups["outcome"] == "productive"]
    for name, expected in {
        "productive": productive["slept_ns"] - productive["time_ns"],
        "runnable": wakeups["running_ns"] - wakeups["time_ns"],
        "connection": connections["closed_ns"] - connections["started_ns"],
        "connect": connections["established_ns"] - connections["started_ns"],
    }.items():
        assert sorted(lasted[name]) == sorted(expected)


def test_a_trace_has_a_track_for_each_worker_and_listener(exported):
    recording, trace = exported
    workers = trace.of_group("workers")
    assert [trace.tracks[uuid].name for uuid in sorted(workers)] == [
        f"worker {row.worker} (pid {row.pid})" for row in recording.workers.itertuples()
    ]
    assert {trace.tracks[uuid].name for uuid in trace.of_group("listeners")} == {
        f"listener {cookie:x}" for cookie in recording.arrivals["listener"].unique()
    }


def test_a_trace_counts_what_the_tables_count(exported):
    recording, trace = exported
    assert len(trace.named("arrival")) == len(recording.arrivals)
    assert len(trace.named("accept")) == len(recording.accepts)
    assert len(trace.named("connection")) == len(recording.connections)
    outcomes = recording.wakeups["outcome"].value_counts()
    for outcome in ("productive", "wasted_in_kernel", "wasted_in_user"):
        name = {"productive": "productive"}.get(
            outcome, outcome.replace("_", " ").replace("user", "user space")
        )
        assert len(trace.named(name)) == outcomes.get(outcome, 0), name
    assert len(trace.named("runnable")) == len(recording.wakeups)


def test_arrows_lead_from_an_arrival_to_its_wakeups_and_on_to_its_accept(exported):
    recording, trace = exported
    paths = defaultdict(list)
    for packet in trace.events:
        event = packet.track_event
        ends = set(event.terminating_flow_ids)
        for number in (*event.flow_ids, *ends):
            paths[number].append((event, number in ends))
    leads: dict[str, int] = Counter()
    for path in paths.values():
        events = [event for event, _ in path]
        assert [ends for _, ends in path] == [False] * (len(path) - 1) + [True]
        assert events[0].name == "arrival"
        assert len({details(event)["arrival"] for event in events}) == 1
        leads[
            " ".join(
                ("arrival", *("accept" if e.name == "accept" else "wakeup" for e in events[1:]))
            )
        ] += 1
    wakeups, taken = recording.wakeups, len(recording.accepts)
    assert leads["arrival wakeup accept"] == taken
    assert leads["arrival wakeup"] == wakeups["arrival"].notna().sum() - taken
    assert leads["arrival accept"] == 0


def test_an_accept_by_who_was_not_woken_has_an_arrow_from_its_arrival(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(reference("accept"), folder)
    edit_table(folder, "wakeups", lambda rows: rows.__delitem__(slice(None)))
    trace = Parsed(load(folder).export("perfetto").read_bytes())
    starts = [list(event.flow_ids) for event in trace.named("arrival")]
    ends = [list(event.terminating_flow_ids) for event in trace.named("accept")]
    assert sorted(starts) == sorted(ends) == [[number] for number in range(1, 201)]


def test_a_row_whose_arrival_is_lost_has_no_arrow(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(reference("accept"), folder)
    edit_table(folder, "arrivals", lambda rows: rows.__delitem__(slice(100, None)))
    trace = Parsed(load(folder).export("perfetto").read_bytes())
    started = {number for event in trace.named("arrival") for number in event.flow_ids}
    ended = {n for event in trace.named("accept") for n in event.terminating_flow_ids}
    assert len(started) == 100
    assert ended == started


def test_connections_that_overlap_lie_on_tracks_of_their_own(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(reference("accept"), folder)

    def last_longer(rows):
        for row in rows:
            row["closed_ns"] = rows[-1]["closed_ns"] if row is rows[0] else row["closed_ns"]

    edit_table(folder, "connections", last_longer)
    trace = Parsed(load(folder).export("perfetto").read_bytes())
    assert len(trace.of_group("clients")) == 2


def test_a_wakeup_whose_end_is_unknown_is_an_instant(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(reference("accept"), folder)
    edit_table(folder, "wakeups", lambda rows: rows[-1].update(slept_ns=None, outcome=None))
    trace = Parsed(load(folder).export("perfetto").read_bytes())
    (event,) = trace.named("undecided when the recording ended")
    assert event.type == TrackEvent.TYPE_INSTANT


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A recording and the folder of its CSV files."""
    recording = load(reference("epoll"))
    return recording, recording.export("csv", tmp_path_factory.mktemp("csv") / "tables")


@pytest.mark.parametrize("name", TABLES)
def test_a_csv_file_holds_each_row_of_its_table(tables, name):
    recording, folder = tables
    with (folder / f"{name}.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    table = recording.table(name).astype(object)
    expected = table.where(table.notna(), None).to_dict("records")
    assert reader.fieldnames == [column.name for column in TABLES[name].columns]
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        for column, value in wanted.items():
            read = row[column]
            assert read == "" if value is None else type(value)(read) == value, column


def test_a_csv_folder_says_what_its_columns_are(tables):
    recording, folder = tables
    with (folder / "columns.csv").open(newline="") as file:
        said = {(row["table"], row["column"]): row for row in csv.DictReader(file)}
    assert said.keys() == {(name, c.name) for name, table in TABLES.items() for c in table.columns}
    assert said["wakeups", "running_ns"]["unit"] == "ns"
    assert said["workers", "cpu_user_s"]["unit"] == "s"
    assert said["wakeups", "worker"]["unit"] == ""
    assert json.loads((folder / "run.json").read_text()) == recording.run


@pytest.fixture(scope="module", params=STRATEGIES)
def profiled(request, tmp_path_factory):
    """A recording and its profiles."""
    recording = load(reference(request.param))
    output = tmp_path_factory.mktemp("profile") / "profile.json"
    return recording, json.loads(recording.export("speedscope", output).read_text())


def test_a_profile_is_as_speedscope_demands(profiled):
    recording, profile = profiled
    assert profile["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames = profile["shared"]["frames"]
    assert all(set(frame) == {"name"} for frame in frames)
    assert len(profile["profiles"]) == len(recording.workers)
    for one in profile["profiles"]:
        assert {**one, "events": []} == {
            "type": "evented",
            "name": one["name"],
            "unit": "nanoseconds",
            "startValue": one["startValue"],
            "endValue": one["endValue"],
            "events": [],
        }
        stack, last = [], one["startValue"]
        for event in one["events"]:
            assert set(event) == {"type", "frame", "at"}
            assert 0 <= event["frame"] < len(frames)
            assert last <= event["at"] <= one["endValue"]
            last = event["at"]
            if event["type"] == "O":
                stack.append(event["frame"])
            else:
                assert event["type"] == "C"
                assert stack.pop() == event["frame"]
        assert not stack


def test_a_profile_counts_what_the_tables_count(profiled):
    recording, profile = profiled
    names = [frame["name"] for frame in profile["shared"]["frames"]]
    opened = Counter(
        names[event["frame"]]
        for one in profile["profiles"]
        for event in one["events"]
        if event["type"] == "O"
    )
    outcomes = recording.wakeups["outcome"].value_counts()
    assert opened["accept"] == len(recording.accepts)
    assert opened["productive"] == outcomes["productive"]
    assert opened["wasted in kernel"] == outcomes.get("wasted_in_kernel", 0)
    assert opened["runnable"] == len(recording.wakeups)


@pytest.mark.parametrize("name", export.names())
def test_nothing_is_overwritten(name, tmp_path):
    (tmp_path / "there").write_text("mine")
    with pytest.raises(UsageError, match="never overwrites"):
        load(reference("accept")).export(name, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"


@pytest.mark.parametrize("name", export.names())
def test_an_export_that_is_interrupted_leaves_nothing(name, tmp_path):
    def interrupt(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export.export(load(reference("accept")), name, tmp_path / "out", interrupt)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", export.names())
def test_a_recording_without_a_probe_is_exported_as_far_as_it_goes(name, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(reference("accept"), folder)
    for table in ("arrivals", "wakeups"):
        edit_table(folder, table, lambda rows: rows.__delitem__(slice(None)))
    unseen = dict.fromkeys(("entered_ns", "cpu", "arrival", "queue_delay_ns"))
    edit_table(folder, "accepts", lambda rows: [row.update(unseen) for row in rows])
    edit_run(folder, "host", "probe", value="none")
    done = CliRunner().invoke(herd, ["export", str(folder), "--format", name])
    assert done.exit_code == 0, done.output
    assert "wakeups" in done.stderr
    assert "probe none" in done.stderr


def test_stdout_gets_what_the_file_would(tmp_path):
    run = str(reference("accept"))
    done = CliRunner().invoke(herd, ["export", run, "-f", "perfetto", "-o", "-"])
    path = load(run).export("perfetto", tmp_path / "trace")
    assert done.stdout_bytes == path.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "needs RUN"),
        ([str(reference("accept"))], "needs --format"),
        ([str(reference("accept")), "-f", "perfeto"], "did you mean 'perfetto'"),
        ([str(reference("accept")), "-f", "csv", "-o", "-"], "stdout can't hold"),
        (["nowhere", "-f", "csv"], "not a recording"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, words):
    done = CliRunner().invoke(herd, ["export", *arguments])
    assert isinstance(done.exception, UsageError)
    assert words in done.exception.message


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file: file.write_bytes(b"junk"), "cannot read"),
        (lambda file: file.unlink(), "has no wakeups.parquet"),
    ],
)
def test_a_damaged_recording_is_one_clear_error(damage, words, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(reference("accept"), folder)
    damage(folder / "wakeups.parquet")
    with pytest.raises(UsageError, match=words):
        load(folder).export("perfetto", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_rows_are_read_a_bounded_part_at_a_time(tmp_path):
    recording = larger(reference("epoll"), 100, tmp_path / "run")
    source = Source(recording, lambda table, done, total: None)
    sizes = [len(batch) for batch in source.batches("wakeups", "time_ns")]
    assert sum(sizes) == recording.size("wakeups") == 321_600
    assert max(sizes) <= 1 << 14
