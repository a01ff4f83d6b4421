"""Writing a recording aside, publishing it whole, and refusing to read what is none."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import herd
from herd.discover import modules
from herd.errors import UsageError
from herd.recording import collect, write
from herd.recording.read import load
from herd.recording.schema import TABLES, VERSION
from herd.recording.tables import Tables

REFERENCE = Path(__file__).parents[2] / "results/reference"


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(REFERENCE / "epoll-n16", tmp_path / "copy"))


@contextlib.contextmanager
def small_files():
    """The kernel refuses to write more than 4 KiB to a file."""
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, room[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, room)


# --- write


def test_rows_that_find_no_room_are_told(tmp_path):
    """A thread writes them; the error must come to who has them written, and end what comes after."""
    schema = TABLES["arrivals"].arrow()
    times = np.random.default_rng(1).integers(0, 1 << 60, 10_000)
    rows = pa.table(
        {name: times if name == "time_ns" else pa.nulls(len(times)) for name in schema.names}
    ).cast(schema)
    written = []
    with small_files(), pytest.raises(OSError, match="File too large"), Tables(tmp_path) as tables:
        written.extend(tables.write("arrivals", rows) for _ in range(100))
    assert len(written) < 100


def test_a_picture_that_finds_no_room_leaves_the_recording_whole(copy):
    with small_files():
        failed = collect.draw(load(copy))
    assert failed is not None
    assert "File too large" in failed.message
    assert failed.hint is not None
    assert f"herd report {copy}" in failed.hint
    assert failed.recording is not None
    assert failed.recording.path == copy
    assert not list(copy.glob("overview.*"))
    assert collect.draw(load(copy)) is None
    assert len(list(copy.glob("overview.*"))) == 2


def test_a_run_is_written_aside_until_it_is_published(tmp_path):
    directory = tmp_path / "results/deep/run"
    aside = write.reserve(directory)
    assert aside == tmp_path / "results/deep/run.partial"
    assert list(aside.iterdir()) == []
    assert not directory.exists()
    (aside / "run.json").write_text("{}")
    write.publish(aside, directory)
    assert not aside.exists()
    assert (directory / "run.json").read_text() == "{}"


@pytest.mark.parametrize("taken", ["run", "run.partial"])
def test_an_existing_recording_is_never_overwritten(taken, tmp_path):
    (tmp_path / taken).mkdir()
    (tmp_path / taken / "data").write_text("precious")
    with pytest.raises(UsageError, match=f"{taken} exists") as refused:
        write.reserve(tmp_path / "run")
    assert "--output" in (refused.value.hint or "")
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken / "data").read_text() == "precious"


def test_only_what_repeats_gets_a_dictionary(tmp_path):
    """In one of times, no two of which are the same, each takes eight bytes, and it takes far longer."""
    count = 10_000
    times = pa.array(range(10**12, 10**12 + count * 1000, 1000))
    schema = TABLES["arrivals"].arrow()
    columns = [
        times if field.name == "time_ns" else pa.nulls(count, field.type) for field in schema
    ]
    with Tables(tmp_path) as tables:
        tables.write("arrivals", pa.table(columns, schema=schema))
    file = pq.ParquetFile(tmp_path / "arrivals.parquet")
    group = file.metadata.row_group(0)
    stored = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert stored["time_ns"].total_compressed_size < count
    assert "DELTA_BINARY_PACKED" in stored["time_ns"].encodings
    assert stored["peer"].has_dictionary_page
    assert file.read()["time_ns"].to_pylist() == times.to_pylist()


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write to .*Not a directory"):
        write.reserve(tmp_path / "file/run")


def test_every_table_has_a_file_even_without_a_row(tmp_path):
    with Tables(tmp_path):
        pass
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(TABLES)
    for name, table in TABLES.items():
        found = pq.read_table(tmp_path / f"{name}.parquet")
        assert found.num_rows == 0
        assert found.schema.names == [column.name for column in table.columns]
        assert found.schema.types == table.arrow().types


def test_parts_of_a_table_become_row_groups_in_order(tmp_path):
    schema = TABLES["workers"].arrow()
    with Tables(tmp_path) as tables:
        for worker in range(3):
            row = dict.fromkeys(schema.names) | {"worker": worker}
            tables.write("workers", pa.Table.from_pylist([row], schema=schema))
        tables.write("workers", schema.empty_table())
    file = pq.ParquetFile(tmp_path / "workers.parquet")
    assert file.num_row_groups == 3
    assert file.read()["worker"].to_pylist() == [0, 1, 2]


def test_tables_are_readable_after_an_error_in_the_middle(tmp_path):
    schema = TABLES["workers"].arrow()
    rows = pa.Table.from_pylist([dict.fromkeys(schema.names) | {"worker": 5}], schema=schema)
    tables = Tables(tmp_path).__enter__()
    tables.write("workers", rows)
    tables.__exit__(OSError, OSError(errno.ENOSPC, "full"), None)
    assert pq.read_table(tmp_path / "workers.parquet")["worker"].to_pylist() == [5]


def test_json_is_replaced_in_one_piece(tmp_path):
    file = tmp_path / "run.json"
    write.write_json(file, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write.write_json(file, {"a": float("nan")})
    assert json.loads(file.read_text()) == {"a": 1}
    write.write_json(file, {"a": 2})
    assert json.loads(file.read_text()) == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_full_disk_is_called_by_its_name(tmp_path):
    full = write.disk_full(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    assert "the disk is full" in full.message
    assert str(tmp_path) in full.message
    other = write.disk_full(OSError(errno.EIO, "Input/output error"), tmp_path)
    assert "Input/output error" in other.message


# --- read


def test_the_public_names_are_not_those_of_modules_which_would_hide_them_once_imported():
    assert {"run", "load", "Recording"} <= set(herd.__all__)
    assert not set(herd.__all__) & set(modules("herd"))


def test_the_public_load_reads_a_recording():
    script = "import sys, herd; print(herd.load(sys.argv[1]).run['config']['strategy'])"
    answer = subprocess.run(
        [sys.executable, "-c", script, str(REFERENCE / "epoll-n16")],
        env={**os.environ, "PYTHONPATH": str(Path(herd.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout == "epoll\n"


def test_a_recording_reads_as_the_schema_says(copy):
    recording = load(copy)
    for name, table in TABLES.items():
        frame = getattr(recording, name)
        assert list(frame.columns) == [column.name for column in table.columns]
        assert len(frame) or name == "calls"  # the reference recordings are by tracepoints
    assert len(recording.connections) == 200
    assert len(recording.workers) == 16


def test_a_column_that_was_not_yet_recorded_is_null(copy):
    file = copy / "workers.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["errors"]), file)
    recording = load(copy)
    assert list(recording.workers.columns) == [c.name for c in TABLES["workers"].columns]
    assert recording.workers["errors"].isna().all()
    assert recording.table("workers", ["errors"]).shape == (16, 1)


def test_signals_are_unknown_where_nobody_counted_them(copy):
    assert load(copy).summary["signals"] is None


def test_integers_with_nulls_stay_integers(copy):
    wakeups = load(copy).wakeups
    assert wakeups["arrival"].dtype == pd.Int64Dtype()
    assert wakeups["worker"].dtype == pd.Int32Dtype()
    assert wakeups["listener"].dtype == pd.UInt64Dtype()
    other = wakeups[wakeups["cause"] == "other"]
    assert len(other)
    assert other["arrival"].isna().all()
    assert wakeups["arrival"].max() == 200


def test_wakeups_come_by_time_though_the_file_has_them_by_their_end(copy):
    stored = pq.read_table(copy / "wakeups.parquet")["time_ns"].to_pylist()
    read = load(copy).wakeups
    assert stored != sorted(stored)
    assert read["time_ns"].tolist() == sorted(stored)
    assert read.index.tolist() == list(range(len(stored)))


def test_a_table_can_be_read_in_part(copy):
    frame = load(copy).table("wakeups", ["worker", "outcome"])
    assert list(frame.columns) == ["worker", "outcome"]
    assert len(frame) == len(load(copy).wakeups)


@pytest.mark.parametrize("where", ["nothing", "."])
def test_a_folder_without_run_json_is_no_recording(where, tmp_path):
    with pytest.raises(UsageError, match="is not a recording: No such file") as refused:
        load(tmp_path / where)
    assert "herd run" in (refused.value.hint or "")


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[]", b"null", b'"text"'])
def test_a_run_json_that_is_none_is_refused(content, copy):
    (copy / "run.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"run\.json"):
        load(copy)


def test_a_newer_schema_is_refused(copy):
    run = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(run | {"schema": VERSION + 1}))
    with pytest.raises(UsageError, match=f"newer herd .schema {VERSION + 1} > {VERSION}"):
        load(copy)


def test_a_missing_or_damaged_table_is_named(copy):
    (copy / "accepts.parquet").unlink()
    (copy / "wakeups.parquet").write_bytes(b"PAR1 nonsense PAR1")
    recording = load(copy)
    for name in ("accepts", "wakeups"):
        with pytest.raises(UsageError, match=rf"cannot read .*{name}\.parquet"):
            getattr(recording, name)
    with pytest.raises(UsageError, match=r"cannot read .*\.parquet"):
        _ = recording.summary


def test_an_unknown_table_lists_those_there_are(copy):
    with pytest.raises(UsageError, match="no table 'sleeps'") as refused:
        load(copy).table("sleeps")
    assert "wakeups" in (refused.value.hint or "")
