"""``herd load`` against real listeners; its counts are held against the server's, ss's, wrk's and ab's."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from herd.families import abstract_name
from herd.observe import servers
from herd.observe.servers import CLIENTS
from herd.observe.servers.nginx import Nginx
from herd.traffic.generator import generate
from herd.traffic.plan import Plan
from herd.traffic.result import Result
from tests.kernel.conftest import until
from tests.kernel.test_servers import available

Serve = Callable[[socket.socket], None]


class Listener:
    """Accepts in a thread, and gives each connection to ``serve``."""

    def __init__(self, serve: Serve, address: str | tuple[str, int] = ("127.0.0.1", 0)) -> None:
        inet = socket.AF_INET6 if address[0] == "::1" else socket.AF_INET
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else inet)
        self.socket.bind(address)
        self.socket.listen(4096)
        self.accepted = 0
        self._serve = serve
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def target(self) -> str:
        name = self.socket.getsockname()
        if isinstance(name, bytes):
            return f"unix:@{name[1:].decode()}"
        if isinstance(name, str):
            return f"unix:{name}"
        return f"[::1]:{name[1]}" if len(name) == 4 else f"{name[0]}:{name[1]}"

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self.socket.accept()[0]
                self.accepted += 1
                self._serve(connection)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    started: list[Listener] = []

    def start(*args: object) -> Listener:
        started.append(Listener(*args))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for listener in started:
        listener.stop()


def greet(connection: socket.socket) -> None:
    connection.send(b"h")
    connection.close()


def echo(connection: socket.socket) -> None:
    def serve() -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()


def load(listener: Listener, **plan: object) -> Result:
    return generate(Plan(target=listener.target, **plan))  # type: ignore[arg-type]


def sockets(state: str, which: str, port: int) -> int:
    """As ss counts them. :param which: sport or dport"""
    command = ["ss", "-Htn", "state", state, f"{which} = :{port}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.count("\n")


# --- what it prints


def test_the_contract(herd, listen):
    listener = listen(socket.socket.close)
    options = ("--pattern", "closed", "--connections", "1999", "--processes", "2", "--json")
    done = herd("load", listener.target, *options)
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (found["attempted"], found["completed"], found["failed"]) == (1999, 1999, 0)
    assert found["errors"] == {}
    assert found["rate"] == pytest.approx(1999 / found["seconds"], rel=0.01)
    assert {"p50", "p99", "max"} <= set(found["schedule_error_us"])
    assert 0 < found["latency_us"]["connect"]["p50"] <= found["latency_us"]["connect"]["max"]
    until(lambda: listener.accepted == 1999, "every connection is accepted")


def test_histograms_are_read_by_hdrhistograms_own_tools(herd, listen, tmp_path):
    folder = tmp_path / "load"
    options = ("-c", "500", "-r", "2000", "-R", "first-byte", "--output", str(folder), "--json")
    found = json.loads(herd("load", listen(greet).target, *options).stdout)
    assert json.loads((folder / "load.json").read_text()) == found
    for phase, expected in {
        **found["latency_us"],
        "schedule_error": found["schedule_error_us"],
    }.items():
        whole = HdrHistogram(1, 3_600_000_000_000, 3)
        reader = HistogramLogReader(str(folder / f"{phase}.hlog"), whole)
        while reader.add_next_interval_histogram():
            pass
        assert whole.get_total_count() == 500
        # Ours lies between two neighbours, of which its own tools take the first; both have three digits.
        first, second = (whole.get_value_at_percentile(100 * rank / 500) for rank in (450, 451))
        assert first * 0.999 <= expected["p90"] * 1000 <= second * 1.001
        assert whole.get_max_value() == pytest.approx(expected["max"] * 1000, rel=0.001)
        assert "TotalCount     =      500.000" in (folder / f"{phase}.hgrm").read_text()
    assert herd("load", "127.0.0.1:1", "-o", str(folder)).returncode == 2


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["192.0.2.1:80"], 2, "192.0.2.1:80: '192.0.2.1' is not a loopback address"),
        (["0.0.0.0:80"], 2, "is not a loopback address"),
        (["127.0.0.1"], 2, "not a target"),
        (["127.0.0.1:1", "-c", "5"], 1, "nothing answers on 127.0.0.1:1"),
        (["unix:/nowhere", "-c", "5"], 1, "nothing answers on unix:/nowhere"),
        (["127.0.0.1:1", "-P", "settled"], 2, "watches workers"),
        (["127.0.0.1:1", "-P", "closed", "-r", "5"], 2, "has no --rate"),
        (["127.0.0.1:1", "-P", "closed", "--clients", "1", "-p", "2"], 2, "can't be shared"),
        (["127.0.0.1:1", "--requests", "2"], 2, "can't be repeated"),
        (["127.0.0.1:1", "-R", "http", "--hold", "1s"], 2, "the server closes it"),
        (["127.0.0.1:1", "--burst", "3"], 2, "unknown option of arrival pattern constant"),
        (["127.0.0.1:1", "--find-capacity", "-r", "3"], 2, "takes no --rate"),
    ],
)
def test_what_it_refuses(args, code, says, herd):
    done = herd("load", *args)
    assert (done.returncode, done.stderr.startswith("herd: ")) == (code, True)
    assert says in done.stderr


# --- when they come


@pytest.mark.parametrize("pattern", ["constant", "poisson", "bursts", "ramp", "closed", "replay"])
def test_every_pattern_sends_all_its_connections(pattern, listen, tmp_path):
    listener = listen(greet)
    plan: dict[str, object] = {"connections": 101, "options": {}}
    if pattern in ("constant", "poisson", "bursts", "ramp"):
        plan["rate"] = 500.0
    if pattern == "replay":
        (tmp_path / "times").write_text("\n".join(str(i / 500) for i in range(101)))
        plan = {"options": {"times": str(tmp_path / "times")}}
    result = load(listener, pattern=pattern, request="first-byte", processes=2, **plan)
    assert (result.attempted, result.completed, result.missed) == (101, 101, 0)
    assert listener.accepted == 101
    assert result.ended_by is None
    assert all(len(times.took) == 101 for times in result.phases().values())
    if pattern not in ("closed", "ramp"):
        intended = result.schedule_error().intended
        assert (intended.max() - intended.min()) / 1e9 == pytest.approx(0.2, rel=0.4)


def test_what_is_due_and_not_started_is_told(listen):
    result = load(listen(socket.socket.close), rate=1000.0, duration_s=0.3)
    assert result.attempted + result.missed == 300
    assert result.as_json()["intended"] == 300


def test_a_stall_is_charged_to_every_connection_that_was_due_meanwhile(listen):
    """A client that waits for its answer sends one connection into the stall, and hides the rest."""
    stalled = threading.Event()

    def stall_once(connection: socket.socket) -> None:
        if listener.accepted == 100 and not stalled.is_set():
            stalled.set()
            time.sleep(1.0)
        greet(connection)

    listener = listen(stall_once)
    result = load(listener, rate=400.0, connections=600, request="first-byte")
    late = (result.phases()["first_byte"].took > 250_000_000).sum()
    assert late >= 0.7 * 400  # those due in the first 0.75 s of it
    assert stalled.is_set()

    stalled.clear()
    closed = listen(stall_once)
    listener = closed
    result = load(
        closed, pattern="closed", options={"clients": "1"}, connections=600, request="first-byte"
    )
    assert (result.phases()["first_byte"].took > 250_000_000).sum() == 1


def test_capacity_is_found_and_then_offered_in_parts(herd, listen, tmp_path):
    options = ("--find-capacity", "-d", "200ms", "--clients", "2")
    done = herd(
        "load",
        listen(socket.socket.close).target,
        *options,
        "--json",
        "-o",
        str(tmp_path / "found"),
    )
    found = json.loads(done.stdout)
    assert found["capacity"] == found["closed"]["rate"] > 0
    assert [step["share"] for step in found["steps"]] == [0.1, 0.3, 0.5, 0.7, 0.9]
    for step in found["steps"]:
        assert step["offered"] == pytest.approx(step["share"] * found["capacity"])
        assert step["intended"] == pytest.approx(step["offered"] * 0.2, abs=2)
    assert (tmp_path / "found" / "open-90" / "connect.hgrm").exists()


# --- what is asked, on which sockets


@pytest.mark.parametrize("address", ["::1", "unix", "abstract"])
def test_other_families(address, listen, tmp_path):
    where = {"::1": ("::1", 0), "unix": str(tmp_path / "socket"), "abstract": abstract_name()}
    listener = listen(echo, where[address])
    result = load(listener, connections=40, pattern="closed", request="echo", requests=3)
    assert (result.completed, result.requests, result.errors) == (40, 120, {})
    assert listener.accepted == 40


def test_thousands_are_held_at_once_and_ss_sees_them(listen):
    held: list[socket.socket] = []
    listener = listen(held.append)
    most = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.1):
            most = max(most, sockets("established", "dport", listener.port))

    watcher = threading.Thread(target=watch)
    watcher.start()
    count = 5000
    result = load(
        listener,
        pattern="closed",
        options={"clients": str(count)},
        connections=count,
        hold_s=3.0,
        processes=2,
    )
    done.set()
    watcher.join()
    for connection in held:
        connection.close()
    assert (result.completed, result.errors) == (count, {})
    assert most == count


@pytest.mark.parametrize(
    ("closes", "waiting"),
    [("client", {"dport"}), ("server", {"sport"}), ("reset", set())],
)
def test_who_closes_first_is_left_in_time_wait(closes, waiting, listen):
    def wait_then_close(connection: socket.socket) -> None:
        connection.send(b"h")
        if closes != "server":
            with contextlib.suppress(ConnectionResetError):
                connection.recv(1)
        connection.close()

    listener = listen(wait_then_close)
    result = load(listener, connections=20, rate=500.0, closes=closes, request="first-byte", seed=7)
    assert result.completed == 20
    until(lambda: listener.accepted == 20, "all are accepted")
    time.sleep(0.05)
    left = {which for which in ("sport", "dport") if sockets("time-wait", which, listener.port)}
    assert left == waiting


def test_thinking_paces_the_requests_of_a_connection(listen):
    result = load(
        listen(echo), connections=3, pattern="closed", request="echo", requests=4, think_s=0.05
    )
    assert result.requests == 12
    assert result.seconds >= 0.15


def test_time_that_is_up_ends_a_connection_that_could_ask_for_long(listen):
    result = load(
        listen(echo), pattern="closed", duration_s=0.3, request="echo", requests=60_000, processes=2
    )
    assert (result.completed, result.errors) == (10, {})
    assert result.requests > 10


# --- when it goes wrong


def test_an_answer_that_does_not_come_has_failed_after_the_patience(listen):
    held: list[socket.socket] = []
    listener = listen(held.append)
    result = load(listener, connections=3, rate=100.0, request="first-byte", patience_s=0.2)
    assert (result.completed, result.errors) == (0, {"ETIMEDOUT": 3})


def test_an_answer_is_not_late_for_the_time_in_which_the_load_itself_stood_still(herd, listen):
    """As in a virtual machine that is paused, with the server in it."""
    held: list[socket.socket] = []
    listener = listen(held.append)
    asks = ("-R", "first-byte", "-c", "1", "--patience", "2s", "--json")
    command = herd.start("load", listener.target, *asks)
    until(lambda: held, "a connection")
    [load] = herd.processes("herd.traffic.main")
    os.kill(load, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(load, signal.SIGCONT)
    time.sleep(0.5)  # in which it looks at what is late, many times
    greet(held[0])
    out, _ = command.communicate(timeout=60)
    found = json.loads(out)
    assert (found["completed"], found["errors"]) == (1, {})
    assert found["paused_s"] > 2


def test_a_server_that_dies_meanwhile_ends_it_and_errors_have_names(listen):
    def die(connection: socket.socket) -> None:
        greet(connection)
        if listener.accepted == 50:
            listener.stop()

    listener = listen(die)
    result = load(listener, pattern="closed", duration_s=60.0, request="first-byte")
    assert result.completed >= 49
    assert result.errors["ECONNREFUSED"] >= 900
    assert result.ended_by is not None
    assert "one connection after the other failed" in result.ended_by.message


@pytest.mark.parametrize("rate", [1000, 0.01])
def test_an_interrupt_ends_it_at_once_and_keeps_what_was_measured(rate, herd, listen):
    listener = listen(socket.socket.close)
    process = herd.start("load", listener.target, "-d", "600s", "-r", str(rate), "--json")
    until(lambda: listener.accepted >= min(rate, 20), "connections")
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error.splitlines()[0]) == (130, "herd: interrupted by SIGINT")
    found = json.loads(out)
    assert found["completed"] >= min(rate, 20)
    assert found["attempted"] == found["completed"] + found["failed"]


def test_a_timeout_does_too(herd, listen):
    done = herd("load", listen(socket.socket.close).target, "--timeout", "600ms", "--json")
    assert done.returncode == 124
    assert json.loads(done.stdout)["completed"] > 0


# --- against others' counts


class KeepAlive(Nginx):
    """It keeps connections alive, and counts in its own status."""

    def command(self, place: servers.Place) -> list[str]:
        command = super().command(place)
        config = Path(command[2])
        text = config.read_text().replace(
            "keepalive_timeout 0;", "keepalive_timeout 60s; keepalive_requests 100000;"
        )
        text = text.replace("location / {", "location /status { stub_status; } location / {")
        config.write_text(text)
        return command


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Running]:
    available("nginx")
    folder = tmp_path_factory.mktemp("nginx")
    with servers.running(KeepAlive("nginx"), folder, workers=2) as running:
        yield running


def status(running: servers.Running) -> int:
    """Connections that nginx says it has accepted, this one included."""
    with socket.create_connection(("127.0.0.1", running.port)) as asking:
        asking.sendall(b"GET /status HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: asking.recv(4096), b""))
    return int(answer.split(b"requests\n")[1].split()[0])


@pytest.mark.parametrize("requests", [1, 10])
def test_nginx_counts_the_same_connections_and_requests(nginx, requests):
    served, accepted = nginx.served().total(), status(nginx)
    result = generate(
        Plan(
            target=f"127.0.0.1:{nginx.port}",
            pattern="closed",
            request="http",
            requests=requests,
            connections=150,
            processes=2,
        )
    )
    assert (result.completed, result.requests, result.errors) == (150, 150 * requests, {})
    until(lambda: nginx.served().total() >= served + 1 + 150 * requests, "nginx's log")
    assert nginx.served().total() == served + 1 + 150 * requests
    assert status(nginx) == accepted + 1 + 150


@pytest.mark.parametrize("client", ["wrk", "ab", "herd load"])
def test_the_server_counts_what_each_client_counts(client, nginx):
    """What herd load counts is as true as what wrk and ab count: all agree with nginx's log."""
    before = nginx.served().total()
    if client == "herd load":
        command = [sys.executable, "-m", "herd", "load", f"127.0.0.1:{nginx.port}", "--json"]
        command += ["-P", "closed", "--clients", "4", "-R", "http", "-d", "1s"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        counted = json.loads(done.stdout)["requests"]
    else:
        counted = CLIENTS[client](nginx.port, 200)
    until(lambda: nginx.served().total() >= before + counted, "nginx's log")
    # wrk and ab leave when they have enough, with a request a connection on its way.
    over = nginx.served().total() - before - counted
    assert over == 0 if client == "herd load" else 0 <= over <= 4


def test_an_http_error_is_an_error(nginx):
    plan = Plan(
        target=f"127.0.0.1:{nginx.port}",
        connections=5,
        request="http",
        rate=100.0,
        options={"path": "/status/%zz"},
    )
    assert generate(plan).errors == {"HTTP 400": 5}
