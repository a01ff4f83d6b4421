"""``herd observe`` on servers that are not herd's, and that never notice."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import herd as library
from herd.observe import holders
from herd.observe.crowd import threads_of
from herd.pool.settle import Sleepers
from tests.kernel.conftest import COUNT_WAKEUPS, Herd, bpftrace, until

pytestmark = pytest.mark.kernel

STRANGER = Path(__file__).with_name("stranger.py")
COUNT = 23


class Stranger:
    """A server that somebody else started."""

    def __init__(
        self, mode: str, workers: int, port: int = 0, before: tuple[str, ...] = ()
    ) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, str(STRANGER), mode, str(workers), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def connect(self, count: int = 1) -> Counter[int]:
        """Connections, each when all sleep; returns how many each worker answered, by its own word."""
        answered: Counter[int] = Counter()
        for _ in range(count):
            sleepers = Sleepers(threads_of(holders.family(self.process.pid)))
            assert sleepers.wait(10)
            sleepers.close()
            with socket.create_connection(("127.0.0.1", self.port)) as client:
                answered[int(client.recv(100))] += 1
        return answered

    def end(self) -> None:
        """All of it, workers too."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@contextmanager
def stranger(mode: str, workers: int = 4, **how: Any) -> Iterator[Stranger]:
    """A server, until the block ends."""
    server = Stranger(mode, workers, **how)
    try:
        yield server
    finally:
        server.end()


def begin(herd: Herd, *args: str, **how: Any) -> subprocess.Popen[str]:
    """``herd observe``, once it looks."""
    process = herd.start("observe", *args, "--json", "--output", str(herd.output()), **how)
    assert process.stderr is not None
    said = process.stderr.readline()
    assert said.startswith("observing"), said + process.stderr.read()
    return process


def result(process: subprocess.Popen[str], code: int = 0) -> dict[str, Any]:
    """What it printed."""
    out, error = process.communicate(timeout=60)
    assert process.returncode == code, error + out
    found: dict[str, Any] = json.loads(out)
    return found


def interrupt(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Ctrl-C: what was seen until then is the result."""
    process.send_signal(signal.SIGINT)
    return result(process)


def accepts(summary: dict[str, Any]) -> dict[int, int]:
    """By worker, of those that accepted any."""
    return {worker["pid"]: worker["accepts"] for worker in summary["workers"] if worker["accepts"]}


@pytest.mark.parametrize(("mode", "each"), [("accept", 1), ("epoll", 4)])
def test_every_wakeup_of_a_stranger_is_counted(herd, mode, each):
    with stranger(mode) as server:
        observation = begin(herd, f":{server.port}", "-d", "0")
        answered = server.connect(COUNT)
        summary = interrupt(observation)
    assert summary["accepts"] == summary["arrivals"] == COUNT
    assert summary["wakeups"]["total"] == each * COUNT
    assert accepts(summary) == answered
    assert summary["integrity"]["ok"]
    assert summary["connections"]["attempted"] is None
    assert (summary["verdict"]["level"] == "fine") is (mode == "accept")
    assert f"{each}.00 wakeups per connection" in summary["verdict"]["text"]
    assert 0 < summary["overhead"]["programs_cpu"] < 1


def test_workers_that_come_and_go_are_followed(herd):
    """Each connection's child is one; a hundred in a second or so."""
    with stranger("fork", 2) as server:
        observation = begin(herd, f":{server.port}", "-d", "0")
        server.connect(100)
        summary = interrupt(observation)
    assert summary["accepts"] == summary["arrivals"] == 100
    assert summary["integrity"]["ok"], summary["integrity"]
    assert len(summary["workers"]) == 2  # who accepted; the children only answered


def test_threads_are_workers(herd):
    with stranger("thread", 3) as server:
        observation = begin(herd, "--pid", str(server.process.pid), "-d", "0")
        answered = server.connect(COUNT)
        summary = interrupt(observation)
        recording = library.load(summary["run"])
    by_tid = recording.accepts.groupby("tid").size().to_dict()
    assert by_tid == answered
    assert {worker["pid"] for worker in summary["workers"]} == {server.process.pid}


def test_a_server_that_ends_ends_the_observation(herd):
    with stranger("accept") as server:
        observation = begin(herd, f":{server.port}")
        server.connect(5)
    summary = result(observation)
    assert summary["accepts"] == 5
    assert summary["complete"]
    assert any("closed what it listened on" in note for note in summary["notes"])


def test_another_program_on_the_port_is_not_taken_for_the_server(herd):
    with stranger("accept") as server:
        observation = begin(herd, f":{server.port}")
        server.connect(3)
    listen = f'LocalAddr => "127.0.0.1:{server.port}", Listen => 1, ReuseAddr => 1'
    script = f"$s = IO::Socket::INET->new({listen}) or die; sleep 60"
    with subprocess.Popen(["perl", "-MIO::Socket::INET", "-e", script]) as other:
        summary = result(observation)
        other.kill()
    assert summary["accepts"] == 3
    assert any(re.search("closed|another program", note) for note in summary["notes"])


def test_two_observers_and_bpftrace_see_the_same(herd):
    with stranger("epoll") as server, bpftrace(COUNT_WAKEUPS) as stacks:
        first = begin(herd, f":{server.port}", "-d", "0")
        second = begin(herd, f":{server.port}", "-d", "0")
        server.connect(COUNT)
        found = [interrupt(process) for process in (first, second)]
    tids = [worker["pid"] for worker in found[0]["workers"]]
    totals = [summary["wakeups"]["total"] for summary in found]
    assert totals == [stacks.woken_by_sockets(tids)] * 2 == [4 * COUNT] * 2


def test_who_is_observed_notices_nothing(herd):
    """Nor when herd is killed: the programs go with the process that held them."""
    with stranger("epoll") as server:
        observation = begin(herd, f":{server.port}")
        server.connect(3)
        observation.kill()
        observation.communicate()
        until(lambda: not herd.processes(), "the end of the probe process", 10)
        assert sum(server.connect(8).values()) == 8
        assert server.process.poll() is None


def test_a_server_in_a_container_is_seen_from_outside(herd):
    """Its own process and network namespaces; the port is not in ours."""
    inside = ("bash", "-c", 'ip link set lo up && exec "$@"', "bash")
    container = ("unshare", "--pid", "--fork", "--net", "--kill-child", *inside)
    with stranger("accept", before=container) as server:
        pid = server.process.pid
        observation = begin(herd, "--pid", str(pid), "-d", "0")
        client = f"import socket; socket.create_connection(('127.0.0.1', {server.port})).recv(9)"
        for _ in range(5):
            enter = ["nsenter", "--target", str(pid), "--net", sys.executable, "-c", client]
            subprocess.run(enter, check=True)
        summary = interrupt(observation)
    assert summary["accepts"] == summary["wakeups"]["total"] == 5
    assert summary["integrity"]["ok"]


@pytest.mark.parametrize("family", [socket.AF_INET6, socket.AF_UNIX])
def test_other_families_are_observed_alike(herd, family):
    """A client of a unix socket has no name, and of an IPv6 address too little is kept to tell it."""
    name = f"herd-test-{os.getpid()}"
    with socket.socket(family) as listener:
        listener.bind(f"\0{name}" if family == socket.AF_UNIX else ("::1", 0))
        listener.listen()
        address = listener.getsockname()
        target = f"unix:@{name}" if family == socket.AF_UNIX else f"[::1]:{address[1]}"
        observation = begin(herd, target, "-d", "0")
        for _ in range(5):
            with socket.socket(family) as client:
                client.connect(address)
                listener.accept()[0].close()
        summary = interrupt(observation)
    accepts = library.load(summary["run"]).accepts
    assert len(accepts) == accepts["arrival"].nunique() == 5
    assert accepts["peer"].isna().all()
    assert accepts["peer_port"].notna().all() == (family == socket.AF_INET6)
    assert summary["integrity"]["ok"]


def test_ten_thousand_descriptors_are_no_trouble(herd):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    files = [os.open("/dev/null", os.O_RDONLY) for _ in range(10_000)]
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            observation = begin(herd, f":{port}", "-d", "0")
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", port)):
                    listener.accept()[0].close()
            summary = interrupt(observation)
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert summary["accepts"] == 3
    assert [worker["pid"] for worker in summary["workers"]] == [os.getpid()]


def test_a_port_without_a_listener_is_refused_with_those_that_there_are(herd):
    with socket.create_server(("127.0.0.1", 0)) as other:
        name = f"127.0.0.1:{other.getsockname()[1]}"
        done = herd("observe", ":1")
    assert done.returncode == 2
    assert "nothing listens on :1" in done.stderr
    assert name in done.stderr


def test_no_connection_is_no_herd(herd):
    """Its workers are known all the same, and what is to be expected: by the wait queue."""
    with stranger("accept", 2) as server:
        summary = result(begin(herd, f":{server.port}", "-d", "1"))
    assert summary["verdict"]["level"] == "fine"
    # As long as it watched, which takes longer on a busy machine.
    expected = r"no connection came in [\d.]+ s; by the wait queue, the next one would wake 1"
    assert re.fullmatch(expected, summary["verdict"]["text"])
    assert [worker["accepts"] for worker in summary["workers"]] == [0, 0]
    assert summary["prediction"]["expected"] == 1
    assert summary["integrity"]["ok"]
