"""Children that speak JSON lines, and the supervisor that never waits for them for ever."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import herd
from herd.errors import HerdError, HostError, Interrupted, RunTimeout, UsageError
from herd.process import Channel, Child, ChildFailed, describe_exit
from herd.supervisor import Supervisor, heed_interrupts

PATIENCE_S = 20.0
#: A child that does as it is told.
ACTOR = """
import os, signal, sys
from herd.process import serve
channel = serve()
while (order := channel.receive(timeout=None)) is not None:
    if "print" in order:
        print(order["print"], file=sys.stderr, flush=True)
    if "say" in order:
        channel.send(order["say"])
    if "deaf" in order:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        channel.send({"event": "deaf"})
        while True:
            signal.pause()
    if "kill" in order:
        os.kill(os.getpid(), order["kill"])
    if "exit" in order:
        sys.exit(order["exit"])
"""


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    yield Channel(ours), theirs
    ours.close()
    theirs.close()


@pytest.fixture
def actor(tmp_path, monkeypatch):
    """Starts children; they are stopped in the end."""
    (tmp_path / "herd_actor.py").write_text(ACTOR)
    monkeypatch.syspath_prepend(tmp_path)
    children = []

    def start(name: str = "actor", *orders: dict) -> Child:
        child = Child(name, "herd_actor")
        children.append(child)
        for order in orders:
            child.channel.send(order)
        return child

    yield start
    for child in children:
        child.stop(grace=5.0)


def says(event: str, **more: object) -> dict:
    return {"say": {"event": event, **more}}


# --- the channel


def test_a_line_in_two_parts_is_one_message(pair):
    channel, peer = pair
    peer.sendall(b'{"a": ')
    assert channel.receive() is None
    peer.sendall('1, "ü": "\\n"}\n'.encode())
    assert channel.receive() == {"a": 1, "ü": "\n"}
    assert channel.receive() is None


def test_lines_that_come_together_are_messages_in_order(pair):
    channel, peer = pair
    peer.sendall(b'{"n": 1}\n{"n": 2}\n{"n": 3}\n{"n"')
    assert [channel.receive() for _ in range(4)] == [{"n": 1}, {"n": 2}, {"n": 3}, None]
    peer.sendall(b": 4}\n")
    assert channel.receive() == {"n": 4}


def test_what_was_said_before_the_end_is_still_heard(pair):
    channel, peer = pair
    peer.sendall(b'{"n": 1}\n{"n": 2}\nhalf a li')
    peer.close()
    assert channel.receive(None) == {"n": 1}
    assert channel.receive(None) == {"n": 2}
    assert channel.receive(None) is None
    assert channel.closed
    assert channel.receive(None) is None


def test_silence_is_not_an_end(pair):
    channel, _ = pair
    assert channel.receive(0.001) is None
    assert not channel.closed


def test_a_message_larger_than_any_buffer_arrives_whole(pair):
    channel, peer = pair
    other = Channel(peer)
    message = {"pids": list(range(300_000))}
    sender = threading.Thread(target=channel.send, args=(message,))
    sender.start()
    assert other.receive(PATIENCE_S) == message
    sender.join()


def test_a_message_for_someone_who_is_gone_is_dropped(pair):
    channel, peer = pair
    peer.close()
    channel.send({"n": 1})
    channel.send({"n": 2})
    assert channel.receive(None) is None


# --- a child


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "ended with exit code 0"),
        (3, "ended with exit code 3"),
        (-9, "was killed by SIGKILL"),
        (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (None, "closed its channel but still runs"),
    ],
)
def test_how_a_process_ended_has_words(status, words):
    assert describe_exit(status) == words


def test_a_childs_failure_shows_the_last_lines_it_printed(actor):
    orders = [{"print": f"line {n}"} for n in range(20)]
    child = actor("probe", *orders, {"exit": 7})
    child.process.wait(PATIENCE_S)
    error = child.failure()
    assert isinstance(error, ChildFailed)
    lines = error.message.splitlines()
    assert lines[0] == "the probe process ended with exit code 7"
    assert lines[1:] == [f"line {n}" for n in range(12, 20)]
    assert child.failure("every worker ended").message.startswith("every worker ended\nline 12")


def test_a_killed_child_that_printed_nothing_is_one_line(actor):
    child = actor("pool", {"kill": signal.SIGKILL})
    child.process.wait(PATIENCE_S)
    assert child.failure().message == "the pool process was killed by SIGKILL"


def test_stopping_ends_a_child_and_lets_its_descriptors_go(actor):
    before = len(list(Path("/proc/self/fd").iterdir()))
    child = actor()
    child.stop()
    assert child.process.returncode == 0
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    child.stop()


def test_stopping_kills_a_child_that_does_not_listen(actor):
    child = actor("actor", {"deaf": True})
    assert child.channel.receive(PATIENCE_S) == {"event": "deaf"}
    child.stop(grace=0.0)
    assert child.process.returncode == -signal.SIGKILL


def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path):
    (tmp_path / "herd_actor.py").write_text(ACTOR)
    script = (
        "import os, signal, sys; from herd.process import Child\n"
        "child = Child('orphan', 'herd_actor', [int(sys.argv[1])])\n"
        "child.channel.send({'deaf': True}); child.channel.receive(None)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    alive, held = os.pipe()
    search = os.pathsep.join([str(Path(herd.__file__).parents[1]), str(tmp_path)])
    parent = subprocess.run(
        [sys.executable, "-c", script, str(held)],
        pass_fds=[held],
        env={**os.environ, "PYTHONPATH": search},
        check=False,
    )
    os.close(held)
    assert parent.returncode == -signal.SIGKILL
    assert select.select([alive], [], [], PATIENCE_S)[0], "the child still holds its descriptor"
    assert os.read(alive, 1) == b""
    os.close(alive)


# --- the supervisor


def test_messages_come_in_the_order_of_the_children(actor):
    first, second = actor("first"), actor("second", says("ready", n=2))
    assert select.select([second.channel.fileno()], [], [], PATIENCE_S)[0]
    first.channel.send(says("ready", n=1))
    with Supervisor(PATIENCE_S) as supervisor:
        found = supervisor.expect("ready", [first, second], [])
    assert [message["n"] for message in found] == [1, 2]


def test_what_was_said_early_is_kept_for_who_asks_later(actor):
    child = actor("actor", says("attached"), says("watching"))
    with Supervisor(PATIENCE_S) as supervisor:
        assert supervisor.expect("watching", [child], []) == [{"event": "watching"}]
        assert supervisor.expect("attached", [child], []) == [{"event": "attached"}]


def test_a_child_may_end_once_it_has_said_its_word(actor):
    child = actor("actor", says("finished"), {"exit": 0})
    child.process.wait(PATIENCE_S)
    with Supervisor(PATIENCE_S) as supervisor:
        assert supervisor.expect("finished", [child], []) == [{"event": "finished"}]


@pytest.mark.parametrize("role", ["asked", "watched"])
def test_a_child_that_dies_ends_the_wait(role, actor):
    dying = actor("pool", {"print": "the last word"}, {"kill": signal.SIGKILL})
    other = actor("load")
    asked = [dying] if role == "asked" else [other]
    with (
        Supervisor(PATIENCE_S) as supervisor,
        pytest.raises(ChildFailed, match="the pool process was killed by SIGKILL\nthe last word"),
    ):
        supervisor.expect("ready", asked, [dying, other])


@pytest.mark.parametrize(("code", "kind"), [(3, HostError), (2, UsageError), (1, HerdError)])
def test_a_child_that_says_it_failed_is_quoted_with_its_hint(code, kind, actor):
    failed = says("failed", message="no BTF", hint="herd doctor", exit_code=code)
    child = actor("probe", {"print": "libbpf: no"}, failed)
    with Supervisor(PATIENCE_S) as supervisor, pytest.raises(HerdError) as error:
        supervisor.expect("attached", [child], [])
    assert type(error.value) is kind
    assert (error.value.message, error.value.hint) == ("no BTF\nlibbpf: no", "herd doctor")


def test_a_workers_death_is_told_and_the_wait_goes_on(actor):
    child = actor("pool", says("died", worker=3), says("died", worker=5), says("ready"))
    deaths: list[int] = []
    with Supervisor(PATIENCE_S) as supervisor:
        supervisor.on_death = lambda message: deaths.append(message["worker"])
        supervisor.expect("ready", [child], [])
    assert deaths == [3, 5]


def test_time_runs_out_and_the_error_says_what_to_do(actor):
    child, ticks = actor(), []
    with (
        Supervisor(0.01) as supervisor,
        pytest.raises(RunTimeout, match=r"longer than 0\.01 s") as error,
    ):
        supervisor.expect("ready", [child], [], lambda: ticks.append(1))
    assert "--timeout" in (error.value.hint or "")
    assert error.value.exit_code == 124
    assert len(ticks) <= 1


def test_time_in_which_it_could_not_run_does_not_count(actor):
    """A paused virtual machine, say: everything else has stood still, too."""
    child = actor()

    def stand_still() -> None:
        time.sleep(1.2)
        child.channel.send(says("ready"))

    with Supervisor(0.5) as supervisor:
        assert supervisor.expect("ready", [child], [], stand_still) == [{"event": "ready"}]


# --- signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_becomes_an_orderly_end(number, actor):
    child = actor()
    with Supervisor(PATIENCE_S) as supervisor:
        signal.raise_signal(number)
        with pytest.raises(Interrupted, match=f"interrupted by {number.name}") as error:
            supervisor.expect("ready", [child], [])
    assert error.value.exit_code == 130


def test_handlers_are_put_back_and_nothing_stays_open():
    mine = lambda number, frame: None  # noqa: E731
    before = signal.signal(signal.SIGTERM, mine)
    others = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)]
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    try:
        with Supervisor(1.0):
            assert signal.getsignal(signal.SIGTERM) is not mine
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)] == others
    assert signal.set_wakeup_fd(-1) == -1
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_between_runs_a_signal_ends_it_though_a_shell_had_it_ignored(number):
    both = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, signal.SIG_IGN) for each in both]
    try:
        heed_interrupts()
        with Supervisor(PATIENCE_S):
            pass  # a run, which gives the handlers back
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    finally:
        for each, handler in zip(both, before, strict=True):
            signal.signal(each, handler)


def test_the_first_of_two_signals_is_the_one_that_is_told():
    with Supervisor(1.0) as supervisor:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted, match="SIGTERM"):
            supervisor.check()


def test_no_signal_ends_the_putting_in_order(actor):
    child = actor("actor", says("stopped"))
    with Supervisor(PATIENCE_S) as supervisor:
        signal.raise_signal(signal.SIGINT)
        supervisor.forgive(PATIENCE_S)
        signal.raise_signal(signal.SIGINT)  # an impatient user
        supervisor.expect("stopped", [child], [])


def test_a_forgiven_signal_does_not_make_later_waits_spin(actor):
    child, ticks = actor(), []
    with Supervisor(PATIENCE_S) as supervisor:
        signal.raise_signal(signal.SIGINT)
        supervisor.forgive(0.25)
        with pytest.raises(RunTimeout):
            supervisor.expect("stopped", [child], [], lambda: ticks.append(1))
    assert len(ticks) < 10


def test_putting_in_order_has_a_deadline_of_its_own(actor):
    child = actor()
    with Supervisor(PATIENCE_S) as supervisor:
        supervisor.forgive(0.0)
        with pytest.raises(RunTimeout):
            supervisor.expect("stopped", [child], [])
