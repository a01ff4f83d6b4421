"""One file adds a strategy: another package's, found through its entry point and run for real."""

from __future__ import annotations

import json

import pytest

from tests import plugins

pytestmark = pytest.mark.kernel

STRATEGY = """
from herd.strategies import Prediction, Strategy


class Blocking(Strategy):
    name = "theirs"
    summary = "accept, as another package would write it"
    blocks_in_accept = True

    @classmethod
    def predict(cls, workers):
        return Prediction.exactly(1.0, who="in turn", why="as accept")

    def serve(self, server):
        while True:
            server.accept()
"""


def test_one_file_adds_a_strategy(herd, tmp_path):
    environment = plugins.install(tmp_path, "theirs", STRATEGY, {"theirs": "theirs:Blocking"})
    listed = herd("strategies", "--json", **environment)
    [entry] = [s for s in json.loads(listed.stdout) if s["name"] == "theirs"]
    assert entry["available"]
    args = ("-s", "theirs", "-n", "3", "-c", "30", "--rate", "settled")
    summary = herd.run(*args, **environment)
    assert summary["wakeups"]["per_connection"] == 1
    assert [worker["accepts"] for worker in summary["workers"]] == [10, 10, 10]
