"""Another package's strategy raises or hangs: it is named, in bounded time, and the tool works without it."""

from __future__ import annotations

import json
import os
import time

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


def install(folder, **parts: str) -> dict[str, str]:
    """The environment in which the plug-in is found."""
    source = BODY.format(**({"top": "", "attribute": "", "method": ""} | parts))
    plugins.install(folder / "site", "theirs", source, {"theirs": "theirs:Theirs"})
    found = [str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(found)}


@pytest.mark.parametrize("wrong", BEFORE)
def test_it_is_refused_before_anything_starts(herd, tmp_path, wrong):
    environment = install(tmp_path, **BEFORE[wrong])
    began = time.monotonic()
    done = herd(
        "run", "-s", "theirs", "-n", "2", "-c", "10", "-o", str(herd.output()), **environment
    )
    assert time.monotonic() - began < 60
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("herd: strategy theirs")
    assert len(done.stderr.splitlines()) == 1
    expected = (
        "it did not end within"
        if "hangs" in wrong
        else "Error"
        if wrong != "import exits"
        else "Exit"
    )
    assert expected in done.stderr
    assert not herd.output().exists()


@pytest.mark.parametrize("wrong", AFTER)
def test_it_fails_the_run_and_is_named(herd, tmp_path, wrong):
    method, said = AFTER[wrong]
    environment = install(tmp_path, method=method)
    began = time.monotonic()
    args = ("-n", "2", "-c", "10", "--rate", "settled", "--probe", "none", "-o", str(herd.output()))
    done = herd("run", "-s", "theirs", *args, **environment)
    assert time.monotonic() - began < 60
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert "theirs" in done.stderr


@pytest.mark.parametrize(
    "wrong", ["import raises", "import hangs", "options", "unavailable hangs", "check raises"]
)
def test_the_tool_works_without_it(herd, tmp_path, wrong):
    environment = install(tmp_path, **BEFORE[wrong])
    listed = herd("strategies", "--json", **environment)
    entries = {entry["name"]: entry for entry in json.loads(listed.stdout)}
    if wrong not in ("check raises", "options"):  # that shows when it is to be used
        assert entries["theirs"]["available"] is False
        assert entries["theirs"]["why_not"]
    assert entries["accept"]["available"]
    assert herd("--help", **environment).returncode == 0
    args = ("-n", "2", "-c", "10", "--rate", "settled", "--probe", "none", "--json")
    done = herd("compare", "-S", "theirs,accept", *args, "-o", str(herd.output()), **environment)
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert [run["config"]["strategy"] for run in found["runs"]] == ["accept"]
    [entry] = found["unavailable"]
    assert entry["strategy"] == "theirs"
    assert "theirs" in entry["why"]
