"""When a guest that died, or hangs, is booted again. That guests die, tests/kernel/test_kernels.py shows."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest

from herd.config import RunConfig
from herd.kernels import run
from herd.kernels.catalog import Kernel
from herd.kernels.machine import Outcome
from herd.supervisor import Supervisor

DIED, ENDED = Outcome(None, "", "", ""), Outcome(0, "", "", "")
HANGS = Outcome(None, "", "", "its last words")
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
        self._outcome = outcome
        (share / "progress").write_text(json.dumps(said))

    def wait(self, check):
        for _ in range(3):
            check()
        return self._outcome

    def console(self):
        return "its last words"


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
    outcome, _ = boot._boot([], Supervisor(60))
    assert outcome is (ENDED if boots == 2 else first)
    assert len(ends) == 2 - boots


@pytest.mark.parametrize(("said", "outcome"), [(STARTING, HANGS), (CONNECTING, ENDED)])
def test_a_guest_that_hangs_before_its_first_connection_is_ended(
    said, outcome, tmp_path, monkeypatch
):
    guests = [Guest(tmp_path, said, ENDED) for _ in range(2)]
    monkeypatch.setattr(run, "Machine", lambda *_: guests.pop(0))
    monkeypatch.setattr(run, "_STUCK_S", 0.0)
    kernel = Kernel("6.12.1", tmp_path)
    boot = run._Boot([RunConfig()], kernel, [], tmp_path, lambda *_: None, picture=False)
    assert boot._boot([], Supervisor(60))[0] == outcome
    assert len(guests) == (said is CONNECTING)
