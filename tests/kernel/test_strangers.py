"""Another package's strategy raises or hangs: it is named, in bounded time, and the tool works without it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests import plugins

pytestmark = pytest.mark.kernel

BODY = """
import signal
import time

{top}
from herd.strategies import Prediction, Strategy


class Theirs(Strategy):
    name = "theirs"
    summary = "somebody else's"
    blocks_in_accept = True
    {attribute}

    @classmethod
    def predict(cls, workers):
        return Prediction.exactly(1.0, who="in turn", why="as accept")

    def serve(self, server):
        while True:
            server.accept()

    {method}
"""
RAISES = "raise ZeroDivisionError('by design')"
HANGS = "time.sleep(3600)"
SPINS = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n        while True: pass"

#: Where it goes wrong before anything is started → the part of BODY.
BEFORE = {
    "import raises": {"top": RAISES},
    "import exits": {"top": "raise SystemExit(0)"},
    "import hangs": {"top": HANGS},
    "class body": {"attribute": "1 / 0"},
    "options": {"attribute": "options = 5"},
    "predict raises": {"method": f"@classmethod\n    def predict(cls, workers): {RAISES}"},
    "predict hangs": {"method": f"@classmethod\n    def predict(cls, workers): {HANGS}"},
    "unavailable raises": {"method": f"@classmethod\n    def unavailable(cls): {RAISES}"},
    "unavailable hangs": {"method": f"@classmethod\n    def unavailable(cls): {HANGS}"},
    "check raises": {"method": f"@classmethod\n    def check(cls, chosen): {RAISES}"},
    "check hangs": {"method": f"@classmethod\n    def check(cls, chosen): {HANGS}"},
}
#: What the run says of what goes wrong after that.
AFTER = {
    "open raises": (f"def open(self, listen): {RAISES}", "failed in open: ZeroDivisionError"),
    "open hangs": (f"def open(self, listen): {HANGS}", "failed in open: it did not end"),
    "prepare raises": (
        f"def prepare(self, server): {RAISES}",
        "could not start: ZeroDivisionError",
    ),
    "prepare hangs": (f"def prepare(self, server): {HANGS}", "hangs in prepare"),
    "serve raises": (
        f"def serve(self, server): {RAISES}",
        "ZeroDivisionError: by design (in serve",
    ),
    "serve spins": (f"def serve(self, server):\n        {SPINS}", "its serve runs on"),
    "close raises": (f"def close(self): {RAISES}", "failed in close: ZeroDivisionError"),
}


def install(folder: Path, **parts: str) -> dict[str, str]:
    """The environment in which the plug-in is found."""
    source = BODY.format(**({"top": "", "attribute": "", "method": ""} | parts))
    return plugins.install(folder, "theirs", source, {"theirs": "theirs:Theirs"})


def at_once(runs: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Those that raise, each alone; those that last until a deadline all at once."""
    last = [wrong for wrong in runs if wrong.endswith(("hangs", "spins"))]
    return [[wrong] for wrong in runs if wrong not in last] + [last]


def results(herd, folder: Path, parts: Mapping[str, Mapping[str, str]], *args: str):
    """What goes wrong, and how the run with it ended, which none did by its own timeout."""
    began = time.monotonic()
    started = {}
    for wrong, part in parts.items():
        output = herd.output()
        arguments = ("run", "-s", "theirs", "-n", "2", "-c", "10", "-o", str(output), *args)
        process = herd.start(*arguments, **install(folder / wrong, **part))
        started[wrong] = (process, output)
    for wrong, (process, output) in started.items():
        _, error = process.communicate(timeout=60)
        yield wrong, process.returncode, error, output
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("wrongs", at_once(BEFORE), ids=", ".join)
def test_it_is_refused_before_anything_starts(herd, tmp_path, wrongs):
    parts = {wrong: BEFORE[wrong] for wrong in wrongs}
    for wrong, code, error, output in results(herd, tmp_path, parts):
        assert code == 2, (wrong, error)
        assert error.startswith("herd: strategy theirs"), wrong
        assert len(error.splitlines()) == 1, (wrong, error)
        expected = (
            "it did not end within"
            if "hangs" in wrong
            else "Error"
            if wrong != "import exits"
            else "Exit"
        )
        assert expected in error, wrong
        assert not output.exists(), wrong


@pytest.mark.parametrize("wrongs", at_once(AFTER), ids=", ".join)
def test_it_fails_the_run_and_is_named(herd, tmp_path, wrongs):
    parts = {wrong: {"method": AFTER[wrong][0]} for wrong in wrongs}
    args = ("--rate", "settled", "--probe", "none")
    for wrong, code, error, _ in results(herd, tmp_path, parts, *args):
        assert code == 1, (wrong, error)
        assert AFTER[wrong][1] in error, wrong
        assert "theirs" in error, wrong
        assert "Traceback" not in error, wrong


@pytest.mark.parametrize(
    "wrong", ["import raises", "import hangs", "options", "unavailable hangs", "check raises"]
)
def test_the_tool_works_without_it(herd, tmp_path, wrong):
    environment = install(tmp_path, **BEFORE[wrong])
    args = ("-n", "2", "-c", "10", "--rate", "settled", "--probe", "none", "--json")
    commands = (
        ("strategies", "--json"),
        ("--help",),
        ("compare", "-S", "theirs,accept", *args, "-o", str(herd.output())),
    )
    started = [herd.start(*command, **environment) for command in commands]
    (listed, _), (helped, _), (compared, error) = [p.communicate(timeout=60) for p in started]
    assert [p.returncode for p in started] == [0, 0, 0], error
    assert "Traceback" not in error
    entries = {entry["name"]: entry for entry in json.loads(listed)}
    if wrong not in ("check raises", "options"):  # that shows when it is to be used
        assert entries["theirs"]["available"] is False
        assert entries["theirs"]["why_not"]
    assert entries["accept"]["available"]
    assert "compare" in helped
    found = json.loads(compared)
    assert [run["config"]["strategy"] for run in found["runs"]] == ["accept"]
    [entry] = found["unavailable"]
    assert entry["strategy"] == "theirs"
    assert "theirs" in entry["why"]
