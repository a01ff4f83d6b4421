"""The command line: dispatch, help, exit codes, and what goes to stdout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

import herd
from herd.cli import main
from herd.discover import modules
from herd.recording.read import load

REFERENCE = Path(__file__).parents[2] / "results/reference"
COMMANDS = modules("herd.commands")
HEAVY = "numpy pandas matplotlib pyarrow scipy rich bcc"
#: Whose modules are many: each with options of its own.
FOLDERS = "herd.strategies herd.traffic.patterns herd.traffic.requests"


class Answer:
    """What a command line printed and how it ended."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *args: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(list(args))
        self.code = ended.value.code
        self.out, self.err = capsys.readouterr()


@pytest.fixture
def call(capsys, monkeypatch):
    monkeypatch.delenv("HERD_DEBUG", raising=False)
    return lambda *args: Answer(capsys, *args)


@pytest.fixture
def recording(tmp_path):
    return Path(shutil.copytree(REFERENCE / "accept-n16", tmp_path / "accept"))


def python(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    where = {**os.environ, "PYTHONPATH": str(Path(herd.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, *args], env=where | env, capture_output=True, text=True, check=False
    )


# --- help


def test_help_lists_every_command(call):
    answer = call("--help")
    assert answer.code == 0
    listed = answer.out.split("Commands:")[1]
    assert [line.split()[0] for line in listed.strip().splitlines()] == COMMANDS


def test_no_commands_summary_is_cut_off(call):
    assert "..." not in call("--help").out.split("Commands:")[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_commands_help_has_examples_of_that_command(name, call):
    answer = call(name, "--help")
    assert answer.code == 0
    _, found, examples = answer.out.partition("Examples:")
    assert found
    assert f"herd {name}" in examples


def test_no_arguments_is_help_and_a_usage_error(call):
    answer = call()
    assert answer.code == 2
    assert "Usage:" in answer.out


def test_the_version_is_told(call):
    answer = call("--version")
    assert answer.code == 0
    assert herd.__version__ in answer.out


def test_help_imports_nothing_heavy():
    script = (
        "import sys\nfrom herd.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print('HEAVY', [name for name in {(HEAVY + ' ' + FOLDERS).split()!r} if name in sys.modules])"
    )
    answer = python("-c", script)
    assert answer.stdout.splitlines()[-1] == "HEAVY []"
    assert "doctor" in answer.stdout


# --- errors


@pytest.mark.parametrize(
    ("args", "says", "hint"),
    [
        (["rnu"], "unknown command 'rnu'; did you mean 'run'?", "known: compare, "),
        (["run", "-s", "epol"], "'epol'; did you mean 'epoll'?", "known: accept"),
        (["run", "--worker", "3"], "No such option", "--help"),
        (["run", "-n", "many"], "'many' is not a valid integer", "--help"),
        (["run", "--hold", "2 weeks"], "'2 weeks' is not a time", "--help"),
        (["run", "--pin", "everyone=1"], "write workers=LIST", "--help"),
        (["run", "--probe", "magic"], "unknown probe 'magic'", "tracepoints"),
        (["run", "--config", "/nonexistent.toml"], "cannot read /nonexistent.toml", None),
        (["run", "-n", "5000"], "workers: expected int <= 1024", None),
        (["report"], "Missing argument", "--help"),
    ],
)
def test_a_usage_error_is_one_line_and_a_hint(args, says, hint, call):
    answer = call(*args)
    assert answer.code == 2
    first, *rest = answer.err.splitlines()
    assert first.startswith("herd: ")
    assert says in first
    assert answer.out == ""
    assert len(rest) <= 1
    if hint:
        assert rest[0].startswith("  → ")
        assert hint in rest[0]


@pytest.fixture
def broken_command(monkeypatch):
    @click.command()
    def fails() -> None:
        raise RuntimeError("the moon")

    monkeypatch.setattr("herd.commands.strategies.command", fails)


def test_an_internal_error_is_one_line(call, broken_command):
    answer = call("strategies")
    assert answer.code == 1
    assert answer.err.splitlines()[0] == "herd: this is a bug in herd: RuntimeError: the moon"
    assert "HERD_DEBUG" in answer.err.splitlines()[1]
    assert "Traceback" not in answer.err


def test_herd_debug_shows_where(broken_command, monkeypatch):
    monkeypatch.setenv("HERD_DEBUG", "1")
    with pytest.raises(RuntimeError, match="the moon"):
        main(["strategies"])


def test_an_interrupt_is_130(call, monkeypatch):
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("herd.commands.strategies.command", interrupted)
    answer = call("strategies")
    assert answer.code == 130
    assert "Traceback" not in answer.err


def test_a_reader_that_goes_away_is_no_bug_of_herd():
    script = (
        "import os, sys\nfrom herd.cli import main\n"
        "read, write = os.pipe()\nos.close(read)\nos.dup2(write, 1)\n"
        "main(['strategies', '--json'])"
    )
    answer = python("-c", script)
    assert answer.stderr == ""


# --- herd run --dry-run


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["-s", "epoll", "-n", "16", "--rate", "settled", "-c", "10"],
        ["-r", "250", "--hold", "50ms", "--work", "12.5", "-d", "1m", "--host", "::1"],
        ["--pin", f"workers={min(os.sched_getaffinity(0))}", "-o", "here", "--timeout", "250us"],
    ],
)
def test_a_dry_runs_output_is_a_config_that_gives_the_same(flags, call, tmp_path):
    first = call("run", *flags, "--dry-run")
    assert first.code == 0
    file = tmp_path / "run.toml"
    file.write_text(first.out)
    again = call("run", "--config", str(file), "--dry-run")
    assert (again.code, again.out) == (0, first.out)


def test_times_on_the_command_line_take_units(call):
    answer = call("run", "--hold", "50ms", "-d", "1m", "--timeout", "250us", "--dry-run")
    assert "hold_s = 0.05\n" in answer.out
    assert "duration_s = 60.0\n" in answer.out
    assert "timeout_s = 0.00025\n" in answer.out


# --- herd strategies


def test_strategies_say_what_they_predict(call):
    answer = call("strategies", "-n", "7", "--json")
    assert answer.code == 0
    entries = {entry["name"]: entry for entry in json.loads(answer.out)}
    assert {"accept", "epoll", "epoll-exclusive", "reuseport"} <= entries.keys()
    for entry in entries.values():
        assert list(entry) == [
            "name",
            "summary",
            "available",
            "why_not",
            "predicts",
            "why_not_threads",
        ]
        assert entry["available"] is (entry["why_not"] is None)
        assert entry["predicts"].keys() == {"per_connection", "low", "high", "who", "why"}
    assert entries["epoll"]["predicts"]["per_connection"] == 7
    assert entries["accept"]["predicts"]["per_connection"] == 1
    assert entries["accept"]["why_not_threads"] is None
    assert "any thread of one may take its signal" in entries["sigio"]["why_not_threads"]


def test_strategies_in_words_name_each_one(call):
    answer = call("strategies")
    assert answer.code == 0
    for name in ("accept", "epoll", "epoll-exclusive", "reuseport"):
        assert f"\n{name} " in answer.out
    assert "needs processes: " in answer.out


# --- herd report


def test_a_report_as_json_is_the_recordings_summary(call, recording):
    answer = call("report", str(recording), "--json", "--no-picture")
    assert answer.code == 0
    assert json.loads(answer.out) == load(recording).summary


def test_a_report_in_words_ends_with_where_the_recording_is(call, recording):
    answer = call("report", str(recording), "--no-picture")
    assert answer.code == 0
    assert answer.out.startswith("accept, 16 workers, 200 connections")
    assert answer.out.rstrip().endswith(f"recording: {recording}")


def test_a_report_redraws_the_picture_unless_told_not_to(call, recording):
    for old in recording.glob("overview.*"):
        old.unlink()
    assert call("report", str(recording), "--no-picture").code == 0
    assert list(recording.glob("overview.*")) == []
    assert call("report", str(recording)).code == 0
    assert (recording / "overview.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (recording / "overview.svg").read_text()


def test_a_picture_that_cannot_be_written_is_no_bug_of_herd(call, recording):
    (recording / "overview.png").unlink()
    (recording / "overview.png").mkdir()
    answer = call("report", str(recording))
    assert answer.code in (1, 2)
    assert "overview.png" in answer.err
    assert "bug" not in answer.err


def test_a_page_is_written_into_the_folder_and_its_path_printed(call, recording):
    answer = call("report", str(recording), "--html")
    assert (answer.code, answer.err) == (0, "")
    page = recording / "report.html"
    assert answer.out.split() == [str(page)]
    assert call("report", str(recording), "--html", "--output", "-").out == page.read_text()


def test_a_page_goes_where_it_is_told_and_over_no_file_of_yours(call, recording, tmp_path):
    mine = tmp_path / "mine.html"
    mine.write_text("<title>mine</title>")
    answer = call("report", str(recording), "--html", "-o", str(mine))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"herd: {mine} exists, and herd did not make it\n  → name another")
    assert mine.read_text() == "<title>mine</title>"
    other = tmp_path / "other.html"
    assert call("report", str(recording), "--html", "-o", str(other)).out.split() == [str(other)]
    assert not (recording / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--html", "--json"], "--html and --json are two reports"),
        (["--output", "x.html"], "--output is where --html writes"),
    ],
)
def test_a_report_is_of_one_kind(call, recording, options, said):
    answer = call("report", str(recording), *options)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"herd: {said}")


def test_a_report_on_something_else_is_a_usage_error(call, tmp_path):
    answer = call("report", str(tmp_path))
    assert answer.code == 2
    assert f"{tmp_path} is not a recording" in answer.err


# --- observe


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--probe", "nonsense"), "unknown probe 'nonsense'"),
        (("--probe", "none"), "unknown probe 'none'"),
        (("--duration", "-5"), "at most 7 days, not -5 s"),
        (("--duration", "8000000"), "at most 7 days"),
    ],
)
def test_what_observe_cannot_do_is_refused_before_it_looks(call, options, says):
    answer = call("observe", ":1", *options)
    assert answer.code == 2
    assert says in answer.err
    assert "nothing listens" not in answer.err
