"""Tokens through one pipe: whom each wakes, and what is counted of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from herd.host import mounts
from herd.recording.read import Recording
from tests.kernel.conftest import COUNT_WAKEUPS, bpftrace, until

pytestmark = pytest.mark.kernel


@pytest.fixture
def with_tokens(tmp_path):
    """Arguments of a run: tokens have no flags, only keys of a file."""

    def written(tokens: int, *args: str) -> tuple[str, ...]:
        file = tmp_path / "tokens.toml"
        file.write_text(f"tokens = {tokens}\n")
        return ("--config", str(file), *args)

    return written


def voluntary(summary) -> int:
    return sum(worker["voluntary_switches"] for worker in summary["workers"])


def busy(pid: int) -> bool:
    """Whether it has made more system calls than it takes to start: it passes tokens."""
    try:
        return int(Path(f"/proc/{pid}/io").read_text().split()[7]) > 10_000  # syscw
    except OSError:
        return False


def test_reading_wakes_one_polling_wakes_all_and_bpftrace_sees_the_same(herd, with_tokens):
    mounts.ensure_mounts()  # bpftrace wants its tracepoints there
    settled = with_tokens(97, "-n", "6", "--rate", "settled")
    with bpftrace(COUNT_WAKEUPS) as seen:
        runs = {name: herd.run(*settled, "-s", name) for name in ("accept", "poll")}
    for name, each in (("accept", 1), ("poll", 6)):
        summary = runs[name]
        assert summary["integrity"]["ok"] is True
        assert summary["accepts"] == 97
        assert summary["wakeups"]["total"] is None
        pids = [worker["pid"] for worker in summary["workers"]]
        woken = seen.woken_by_sockets(pids, inside="pipe_write")
        assert woken == 97 * each
        # Each slept once more than it was woken: at first. A poller may also sleep for the pipe's mutex.
        assert woken + 6 <= voluntary(summary) <= woken * 1.2 + 6


@pytest.mark.parametrize("strategy", ["accept", "select", "epoll-et", "epoll-oneshot"])
def test_a_token_that_is_passed_on_gets_round(herd, with_tokens, strategy):
    summary = herd.run(*with_tokens(2003, "-n", "5", "-s", strategy))
    taken, passed = (sum(w[count] for w in summary["workers"]) for count in ("accepts", "served"))
    assert (taken, passed) == (2003, 2002)
    assert summary["integrity"]["ok"] is True


def test_a_killed_worker_ends_it_and_what_there_is_is_kept(herd, with_tokens):
    output = herd.output()
    run = herd.start("run", *with_tokens(5_000_000, "-n", "3", "-s", "poll", "-o", str(output)))
    until(lambda: any(map(busy, herd.processes("herd.tokens.main"))), "tokens are passed")
    os.kill(max(herd.processes("herd.tokens.main")), signal.SIGKILL)
    _, error = run.communicate(timeout=60)
    assert run.returncode == 1
    assert "was killed by SIGKILL in mid-run" in error
    assert Recording(output).run["complete"] is False


def test_interrupted_it_ends_at_once_and_keeps_what_there_is(herd, with_tokens):
    output = herd.output()
    run = herd.start("run", *with_tokens(5_000_000, "-n", "2", "-o", str(output)))
    until(lambda: any(map(busy, herd.processes("herd.tokens.main"))), "tokens are passed")
    run.send_signal(signal.SIGINT)
    _, error = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "kept, marked incomplete" in error
    assert Recording(output).run["complete"] is False


def test_who_cannot_wait_on_a_pipe_is_refused(herd, with_tokens):
    done = herd("run", *with_tokens(10, "-s", "reuseport"))
    assert done.returncode == 2
    assert "reuseport in processes cannot wait for tokens" in done.stderr
