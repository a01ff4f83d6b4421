"""When a guest that died is booted again. That guests die, tests/kernel/test_kernels.py shows."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest

from herd.config import RunConfig
from herd.kernels import run
from herd.kernels.catalog import Kernel
from herd.kernels.machine import Outcome

DIED, ENDED = Outcome(None, "", "", ""), Outcome(0, "", "", "")
STARTING, CONNECTING, SECOND = (
    [0, "starting", 0, 0],
    [0, "connections", 1, 9],
    [1, "starting", 0, 0],
)


class Guest(nullcontext):
    """Tells how far it is, and ends."""

    accelerator = "tcg"
    booted = True

    def __init__(self, share, said, outcome):
        super().__init__(self)
        self.wait = lambda check: outcome
        (share / "progress").write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("said", "first", "boots"),
    [(STARTING, DIED, 2), (STARTING, ENDED, 1), (CONNECTING, DIED, 1), (SECOND, DIED, 1)],
)
def test_a_guest_that_died_before_its_first_connection_is_booted_again(
    said, first, boots, tmp_path, monkeypatch
):
    ends = [first, ENDED]
    monkeypatch.setattr(run, "Machine", lambda *_: Guest(tmp_path, said, ends.pop(0)))
    kernel = Kernel("6.12.1", tmp_path)
    boot = run._Boot([RunConfig()], kernel, [], tmp_path, lambda *_: None, picture=False)
    outcome, _ = boot._boot([], None)
    assert outcome is (ENDED if boots == 2 else first)
    assert len(ends) == 2 - boots
