"""One file, or another package's entry point, adds a capability."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import herd
from herd import strategies
from herd.discover import modules, named, plugins, unknown
from herd.errors import UsageError
from herd.strategies import Strategy
from herd.strategies.accept import Accept
from tests.plugins import install

PLUGIN = """
from herd.strategies import Prediction, Strategy


class Nap(Strategy):
    name = "nap-{name}"
    summary = "sleeps through it"

    @classmethod
    def predict(cls, workers):
        {predict}
"""
PREDICT = 'return Prediction.exactly(0.5 * workers, who="nobody", why="it naps")'
#: Also looks like markup, which a table must not take it for.
ERROR = "no such folder [/dev/moon]"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on sys.path with four packages that offer strategies."""
    good = PLUGIN.format(name="good", predict=PREDICT)
    install(tmp_path, "herd_nap", good, {"nap-good": "herd_nap:Nap"})
    unsure = PLUGIN.format(name="unsure", predict="raise ZeroDivisionError('by a worker')")
    install(tmp_path, "herd_unsure", unsure, {"nap-unsure": "herd_unsure:Nap"})
    broken = f"raise RuntimeError({ERROR!r})"
    install(tmp_path, "herd_broken", broken, {"nap-broken": "herd_broken:Nap"})
    odd = {"nap-number": "herd_odd:NUMBER", "accept": "herd_odd:NUMBER", "nap-gone": "herd_odd:No"}
    install(tmp_path, "herd_odd", "NUMBER = 5", odd)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("herd_nap", "herd_unsure", "herd_broken", "herd_odd"):
        sys.modules.pop(name, None)


def command(site: Path, *args: str) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join([str(Path(herd.__file__).parents[1]), str(site)])
    return subprocess.run(
        [sys.executable, "-m", "herd", *args],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        check=False,
    )


# --- folders


def test_modules_are_the_public_files_of_a_folder_and_none_is_imported(tmp_path, monkeypatch):
    package = tmp_path / "herd_folder"
    package.mkdir()
    for name in ("__init__", "b", "a", "_hidden"):
        (package / f"{name}.py").write_text("" if name == "__init__" else "raise RuntimeError")
    (package / "notes.txt").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert modules("herd_folder") == ["a", "b"]


def test_a_class_is_found_by_its_own_name_attribute():
    assert named("herd.strategies.accept", Strategy, "accept") is Accept
    assert named("herd.strategies.accept", Strategy, "epoll") is None
    assert named("herd.strategies._base", Strategy, "accept") is None


def test_every_builtin_strategy_is_found_by_its_listed_name():
    listed = strategies.names()
    assert len(listed) == len(modules("herd.strategies")) >= 4
    for name in listed:
        found = strategies.find(name)
        assert found.name == name
        assert strategies.load(strategies.reference(name)) is found
        assert found.predict(16).low <= found.predict(16).expected <= found.predict(16).high


# --- unknown names


def test_an_unknown_name_gets_the_nearest_and_the_whole_list():
    error = unknown("animal", "hrse", ["horse", "cow"])
    assert error.message == "unknown animal 'hrse'; did you mean 'horse'?"
    assert error.hint == "known: cow, horse"
    assert error.exit_code == 2


def test_a_name_that_is_like_none_gets_no_guess():
    assert unknown("animal", "submarine", ["horse", "cow"]).message == "unknown animal 'submarine'"


# --- plug-ins


def test_a_strategy_of_another_package_is_found(site):
    assert "nap-good" in strategies.names()[len(modules("herd.strategies")) :]
    found = strategies.find("nap-good")
    assert issubclass(found, Strategy)
    assert found.predict(8).expected == 4.0
    assert strategies.reference("nap-good") == "herd_nap:Nap"
    assert [point.name for point in plugins("herd.strategies")] == sorted(
        ["nap-good", "nap-unsure", "nap-broken", "nap-number", "nap-gone", "accept"]
    )


def test_a_plugin_does_not_take_a_builtin_strategys_place(site):
    assert strategies.find("accept") is Accept
    assert strategies.names().count("accept") == 1


def test_listing_imports_no_plugin(site):
    assert "nap-broken" in strategies.names()
    assert "herd_nap" not in sys.modules


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nap-broken", "herd_broken:Nap cannot be imported: RuntimeError: no such folder"),
        ("nap-gone", "herd_odd:No cannot be imported: AttributeError"),
        ("nap-number", "herd_odd:NUMBER is not a subclass of herd.strategies.Strategy"),
    ],
)
def test_a_plugin_that_fails_is_named_with_its_error(name, says, site):
    with pytest.raises(UsageError, match=says):
        strategies.find(name)


def test_the_list_has_every_plugin_with_what_it_says_of_itself(site):
    answer = command(site, "strategies", "-n", "10", "--json")
    assert answer.returncode == 0, answer.stderr
    entries = {entry["name"]: entry for entry in json.loads(answer.stdout)}
    good = entries["nap-good"]
    assert (good["summary"], good["available"]) == ("sleeps through it", True)
    assert good["predicts"]["per_connection"] == 5.0
    for name, why in {
        "nap-broken": ERROR,
        "nap-unsure": "ZeroDivisionError: by a worker",
        "nap-gone": "AttributeError",
        "nap-number": "not a subclass",
    }.items():
        assert entries[name]["available"] is False
        assert why in entries[name]["why_not"]
        assert entries[name]["predicts"] is None
    assert entries["accept"]["available"] is True


def test_a_broken_plugin_does_not_break_the_list_in_words(site):
    answer = command(site, "strategies")
    assert answer.returncode == 0, answer.stderr
    words = " ".join(answer.stdout.split())
    assert "nap-good" in words
    assert "reuseport" in words
    assert "[/dev/moon]" in "".join(words.split())


def test_a_run_with_a_broken_plugin_is_a_usage_error_of_one_line(site):
    answer = command(site, "run", "-s", "nap-broken", "--dry-run")
    assert answer.returncode == 2
    assert ERROR in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_run_takes_a_plugin_like_any_other(site):
    answer = command(site, "run", "-s", "nap-good", "-n", "3", "--dry-run")
    assert answer.returncode == 0, answer.stderr
    assert 'strategy = "nap-good"' in answer.stdout
