"""Connections from the client's side, against real servers on loopback."""

from __future__ import annotations

import errno
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import herd
from herd import area
from herd.errors import HostError
from herd.families import abstract_name, find
from herd.traffic.client import Client
from herd.traffic.log import LAYOUT
from herd.traffic.requests import BadAnswer, Unfinished
from herd.traffic.requests.first_byte import FirstByte

SOURCES = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
CAPACITY = 64
PATIENCE_S = 10.0


@pytest.fixture
def log():
    fd = area.create("herd-test", LAYOUT, CAPACITY, 1)
    yield area.share(fd, LAYOUT, CAPACITY, 1)[0]
    os.close(fd)


class Server:
    """Accepts in a thread and does ``answer`` with each connection."""

    def __init__(self, answer: Callable[[socket.socket], None], host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, 0), family=family, backlog=CAPACITY)
        self.address = (host, self.listener.getsockname()[1])
        self.peers: list[tuple[str, int]] = []
        self._answer = answer
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            self.peers.append(peer[:2])
            self._answer(connection)

    def stop(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.listener.close()


@pytest.fixture
def serve():
    servers = []

    def start(answer: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Server:
        servers.append(Server(answer, host))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def greet(connection: socket.socket) -> None:
    connection.send(b"h")
    connection.close()


def hang_up(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def see_through(client: Client) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while client.open_now:
        assert time.monotonic() < deadline, "a connection never ended"
        select.select([client.epoll.fileno()], [], [], 1.0)
        client.poll()


def sent(client: Client, count: int, intended: int = 7) -> np.ndarray:
    for number in range(count):
        client.start(intended + number)
    see_through(client)
    return client.area.rows()


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_every_phase_has_its_time_and_they_are_in_order(serve, log):
    begin = time.monotonic_ns()
    rows = sent(Client(serve(greet).address, SOURCES, log), 20)
    end = time.monotonic_ns()
    assert len(rows) == 20
    phases = [rows[name] for name in ("started", "established", "first_byte", "closed")]
    for earlier, later in pairwise(phases):
        assert (earlier <= later).all()
    assert (phases[0] >= begin).all()
    assert (phases[-1] <= end).all()
    assert (rows["error"] == 0).all()


def test_the_intended_time_is_kept_however_late_the_start_was(serve, log):
    rows = sent(Client(serve(greet).address, SOURCES, log), 5, intended=100)
    assert sorted(rows["intended"].tolist()) == [100, 101, 102, 103, 104]
    assert (rows["started"] > 104).all()


def test_counters_tell_how_far_it_is(serve, log):
    client = Client(serve(greet).address, SOURCES, log)
    client.start(1)
    assert (client.started, client.open_now, log["started"], log["finished"]) == (1, 1, 1, 0)
    see_through(client)
    sent(client, 2)
    assert (client.started, client.established, client.finished, client.failed) == (3, 3, 3, 0)
    assert [log[name] for name in ("started", "established", "finished", "failed")] == [3, 3, 3, 0]


def test_sources_take_turns_and_the_server_sees_what_was_written_down(serve, log):
    server = serve(greet)
    rows = sent(Client(server.address, SOURCES, log), 7)
    source = [socket.inet_ntoa(int(packed).to_bytes(4, "big")) for packed in rows["source"]]
    assert sorted(zip(source, rows["port"].tolist(), strict=True)) == sorted(server.peers)
    assert [source.count(address) for address in SOURCES] == [3, 2, 2]


def test_ipv6_works_as_well(serve, log):
    try:
        server = serve(greet, "::1")
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    rows = sent(Client(server.address, ["::1"], log, family=find("inet6")), 2)
    assert rows["source"].tolist() == [1, 1]
    assert rows["error"].tolist() == [0, 0]
    assert sorted(rows["port"].tolist()) == sorted(port for _, port in server.peers)


def test_a_refused_connection_is_a_row_with_its_errno(log):
    client = Client(("127.0.0.1", unused_port()), SOURCES, log)
    [row] = sent(client, 1)
    assert row["error"] == errno.ECONNREFUSED
    assert (row["established"], row["first_byte"], row["closed"]) == (0, 0, 0)
    assert (client.established, client.finished, client.failed, log["failed"]) == (0, 1, 1, 1)


def test_a_source_that_is_not_ours_is_a_row_with_its_errno(serve, log):
    [row] = sent(Client(serve(greet).address, ["192.0.2.1"], log), 1)
    assert row["error"] == errno.EADDRNOTAVAIL
    assert row["source"] == 0xC0000201


def test_a_server_that_hangs_up_without_a_byte_is_no_data(serve, log):
    client = Client(serve(hang_up).address, SOURCES, log)
    rows = sent(client, 3)
    assert rows["error"].tolist() == [errno.ENODATA] * 3
    assert (rows["first_byte"] == 0).all()
    assert (rows["established"] > 0).all()
    assert (rows["closed"] >= rows["established"]).all()
    assert client.failed == 3


def test_a_reset_is_told_from_a_hang_up(serve, log):
    rows = sent(Client(serve(reset).address, SOURCES, log), 3)
    assert rows["error"].tolist() == [errno.ECONNRESET] * 3


def test_giving_up_ends_what_is_open_and_only_that(serve, log):
    kept: list[socket.socket] = []
    client = Client(serve(kept.append).address, SOURCES, log)
    for number in range(4):
        client.start(number)
    deadline = time.monotonic() + PATIENCE_S
    while (client.established < 4 or len(kept) < 4) and time.monotonic() < deadline:
        select.select([client.epoll.fileno()], [], [], 0.01)
        client.poll()
    before = len(list(Path("/proc/self/fd").iterdir()))
    client.give_up(errno.ETIMEDOUT)
    assert client.open_now == 0
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 4
    rows = log.rows()
    assert rows["error"].tolist() == [errno.ETIMEDOUT] * 4
    assert (rows["established"] > 0).all()
    client.give_up(errno.ECANCELED)
    assert len(log.rows()) == 4
    for connection in kept:
        connection.close()


def test_an_answer_in_two_parts_counts_from_its_first_byte(serve, log):
    said, seen = threading.Event(), threading.Event()

    def slowly(connection: socket.socket) -> None:
        connection.send(b"h")
        said.set()
        seen.wait(PATIENCE_S)
        connection.send(b"erd")
        connection.close()

    client = Client(serve(slowly).address, SOURCES, log)
    client.start(1)
    assert said.wait(PATIENCE_S)
    client.poll()
    between = time.monotonic_ns()
    seen.set()
    see_through(client)
    [row] = log.rows()
    assert row["error"] == 0
    assert row["established"] <= row["first_byte"] <= between <= row["done"] <= row["closed"]


class Picky(FirstByte):
    """Wants an answer that begins with an h, and knows how often it was asked."""

    def __init__(self) -> None:
        super().__init__(server_closes=False)
        self.asked: list[bytes] = []

    def check_answer(self, answer: bytes, *, ended: bool) -> bool:
        self.asked.append(answer)
        if not answer.startswith(b"h"):
            raise BadAnswer(errno.EBADMSG)
        if len(answer) < 4:
            raise Unfinished(4 - len(answer))
        return True


def test_an_answer_like_the_last_is_not_judged_again_and_another_one_is(serve, log):
    answers = [b"herd", b"herd", b"hero", b"nerd", b"nerd", b"herd"]
    left, request = iter(answers), Picky()

    def answer(connection: socket.socket) -> None:
        connection.send(next(left))
        connection.close()

    client = Client(serve(answer).address, SOURCES, log, request)
    for number in range(len(answers)):
        client.start(number)
        see_through(client)
    assert request.asked == [b"herd", b"hero", b"nerd", b"nerd", b"herd"]
    bad = errno.EBADMSG
    assert list(log.rows()["error"]) == [0, 0, 0, bad, bad, 0]


def test_parts_are_not_taken_for_the_whole_that_came_before(serve, log):
    steps = threading.Semaphore(0)

    def in_parts(connection: socket.socket) -> None:
        for part in (b"he", b"rd"):
            connection.send(part)
            steps.acquire(timeout=PATIENCE_S)
        connection.close()

    request = Picky()
    client = Client(serve(in_parts).address, SOURCES, log, request)
    for number in range(2):
        client.start(number)
        select.select([client.epoll.fileno()], [], [], PATIENCE_S)
        client.poll()
        steps.release()
        see_through(client)
        steps.release()
    assert request.asked == [b"he", b"herd", b"he", b"herd"]
    assert list(log.rows()["error"]) == [0, 0]


def test_a_herd_that_was_installed_without_a_compiler_says_so(tmp_path):
    shutil.copytree(
        Path(herd.__file__).parent, tmp_path / "herd", ignore=shutil.ignore_patterns("*.so")
    )
    command = [sys.executable, "-m", "herd", "load", "127.0.0.1:9", "-c", "1"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == HostError.exit_code, done.stderr
    assert "wasn't built for this Python" in done.stderr
    assert "install herd again" in done.stderr
    assert "Traceback" not in done.stderr


# --- a unix socket


@pytest.fixture
def queue():
    """A unix socket that listens, and whose queue is full with two."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(abstract_name())
        listener.listen(1)
        yield listener


def test_a_unix_client_is_established_when_connect_returns(queue, log):
    client = Client(queue.getsockname().decode(), [""], log, family=find("unix"))
    client.start(7)
    assert (client.started, client.established, client.open_now) == (1, 1, 1)
    connection, address = queue.accept()
    assert address == ""
    greet(connection)
    see_through(client)
    [row] = log.rows()
    assert (row["source"], row["port"], row["error"]) == (0, 0, 0)
    assert row["started"] <= row["established"] <= row["first_byte"] <= row["closed"]


def test_a_full_queue_refuses_a_unix_client_at_once_and_that_is_its_error(queue, log):
    client = Client(queue.getsockname().decode(), [""], log, family=find("unix"))
    for number in range(3):
        client.start(number)
    assert (client.established, client.failed, client.open_now) == (2, 1, 2)
    [row] = log.rows()
    assert (row["intended"], row["error"], row["established"]) == (2, errno.EAGAIN, 0)
    client.give_up(errno.ECANCELED)


# --- a request


def test_a_request_is_sent_and_a_long_answer_read_to_its_end(serve, log):
    asked: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        asked.append(connection.recv(4096))
        connection.sendall(bytes(300_000))
        connection.close()

    rows = sent(Client(serve(answer).address, SOURCES, log, FirstByte(payload=b"tell me")), 3)
    assert asked == [b"tell me"] * 3
    assert rows["error"].tolist() == [0] * 3


def test_who_answers_without_having_read_the_request_has_answered(serve, log):
    """It resets the connection as it closes; whoever resets without an answer has failed."""

    def unread(connection: socket.socket) -> None:
        select.select([connection], [], [], PATIENCE_S)
        greet(connection)

    def unanswered(connection: socket.socket) -> None:
        select.select([connection], [], [], PATIENCE_S)
        connection.close()

    [answered] = sent(Client(serve(unread).address, SOURCES, log, FirstByte(payload=b"tell me")), 1)
    assert answered["error"] == 0
    assert answered["first_byte"] > 0
    _, failed = sent(
        Client(serve(unanswered).address, SOURCES, log, FirstByte(payload=b"tell me")), 1
    )
    assert failed["error"] == errno.ECONNRESET
