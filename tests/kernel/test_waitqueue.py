"""The X-ray of real queues: what it predicts happens, and nothing is left out or left behind."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import herd as library
from herd import strategies
from herd.observe import listeners, targets
from herd.observe.waitqueue.prediction import as_json
from herd.observe.waitqueue.xray import Xray
from tests.kernel.conftest import until

pytestmark = pytest.mark.kernel

EXCLUSIVE_EDGE = select.EPOLLIN | select.EPOLLEXCLUSIVE | select.EPOLLET


@pytest.fixture(scope="module")
def xray():
    with Xray() as opened:
        yield opened


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def name(sock):
    host, port, *_ = sock.getsockname()
    return targets.endpoint(host, port)


def look(xray, text):
    found = listeners.find(targets.parse(text))
    return as_json(xray.read(found), found)["listeners"]


def start(target, *args):
    """A thread that runs ``target``, and its id; it ends with the socket it waits on."""
    thread = threading.Thread(target=target, args=args, daemon=True)
    thread.start()
    return thread.native_id


def accept_one(sock):
    sock.accept()[0].close()


# --- what it predicts, happens


@pytest.mark.parametrize("strategy", strategies.names())
def test_exactly_those_wake_that_the_queue_says(herd, strategy):
    """One settled connection: the X-ray's tids before it, and those that the probe saw it wake."""
    refusal = strategies.find(strategy).unavailable()
    if refusal:
        pytest.skip(f"{strategy} cannot run here: {refusal}")
    check(herd, "-s", strategy)


@pytest.mark.parametrize(
    "how", [("--family", "unix"), ("--family", "inet6"), ("--pool", "threads")]
)
@pytest.mark.parametrize("strategy", ["accept", "epoll-shared"])
def test_so_it_is_in_other_families_and_with_threads(herd, strategy, how):
    check(herd, "-s", strategy, *how)


def check(herd, *args):
    summary = herd.run(*args, "-n", "4", "-c", "1", "--rate", "settled", "--snapshot")
    run = library.load(summary["run"])
    queues = run.waitqueue[0]["listeners"]
    woken = run.wakeups[run.wakeups["arrival"] == 1]
    actual = set(woken.loc[woken["cause"] == "arrival", "tid"])
    chained = set(woken.loc[woken["cause"] == "chained", "tid"])
    assert actual
    # Of several listeners the kernel chose one: by the predictions of that one.
    assert {queue["one_of"] for queue in queues} == {len(queues)}
    [chosen] = [queue for queue in queues if {*queue["next_wakes_tids"], *queue["sigio"]} == actual]
    # A woken one whose turn comes before the first has accepted wakes one more.
    assert set(chosen["then_wakes_tids"]) <= chained
    assert bool(chosen["then_wakes_tids"]) == bool(chained)


def test_a_recording_has_the_queue_before_during_and_after(herd):
    summary = herd.run("-s", "accept", "-n", "3", "-c", "60", "--rate", "60", "--snapshot")
    run = library.load(summary["run"])
    assert [taken["when"] for taken in run.waitqueue] == ["before", "during", "after"]
    assert [taken["time_ns"] for taken in run.waitqueue] == sorted(
        taken["time_ns"] for taken in run.waitqueue
    )
    first, _, last = (taken["listeners"][0]["waiters"] for taken in run.waitqueue)
    pids = set(run.workers["pid"])
    assert {waiter["pid"] for waiter in first} == {waiter["pid"] for waiter in last} == pids


def test_a_run_has_no_snapshot_unless_it_is_asked_for(herd):
    summary = herd.run("-s", "accept", "-n", "2", "-c", "7", "--rate", "settled")
    assert library.load(summary["run"]).waitqueue == []
    assert not Path(summary["run"], "waitqueue.json").exists()


# --- what is in a queue


def test_threads_in_accept_in_the_order_in_which_they_came(xray, listener):
    tids = []
    for _ in range(4):
        tids.append(start(accept_one, listener))
        until(lambda: len(look(xray, name(listener))[0]["waiters"]) == len(tids), "it waits")
    [found] = look(xray, name(listener))
    assert [waiter["tid"] for waiter in found["waiters"]] == tids
    assert {waiter["pid"] for waiter in found["waiters"]} == {os.getpid()}
    assert found["next_wakes_tids"] == tids[:1]
    assert found["next_wakes"] == [os.getpid()]
    for _ in tids:
        socket.create_connection(listener.getsockname()).close()


@pytest.mark.parametrize("address", ["::1", "unix", "abstract"])
def test_the_other_families(xray, tmp_path, address):
    if address == "::1":
        sock = socket.create_server(("::1", 0), family=socket.AF_INET6)
        text = name(sock)
    else:
        sock = socket.socket(socket.AF_UNIX)
        path = str(tmp_path / "s") if address == "unix" else f"@herd-{os.getpid()}"
        sock.bind(path if address == "unix" else "\0" + path[1:])
        sock.listen(5)
        text = f"unix:{path}"
    tid = start(accept_one, sock)
    until(lambda: look(xray, text)[0]["waiters"], "it waits")
    [found] = look(xray, text)
    assert found["address"] == text
    assert [(w["kind"], w["exclusive"], w["tid"]) for w in found["waiters"]] == [
        ("accept", True, tid)
    ]
    assert found["next_wakes_tids"] == [tid]
    with socket.socket(sock.family) as client:
        client.connect(sock.getsockname())
    sock.close()


def test_the_modes_of_epoll_items_as_they_were_registered(xray, listener):
    sets = [select.epoll() for _ in range(3)]
    for epoll, events in zip(
        sets, (select.EPOLLIN, EXCLUSIVE_EDGE, select.EPOLLIN | select.EPOLLONESHOT), strict=True
    ):
        epoll.register(listener, events)
    [found] = look(xray, name(listener))
    rows = [(w["modes"], w["exclusive"], w["waiting"], w["pid"]) for w in found["waiters"]]
    # Not exclusive: at the head; exclusive: at the tail.
    assert rows == [
        (["oneshot"], False, [], os.getpid()),
        ([], False, [], os.getpid()),
        (["exclusive", "edge"], True, [], os.getpid()),
    ]
    assert found["next_wakes"] == []
    for epoll in sets:
        epoll.close()


def test_a_set_within_a_set_wakes_who_waits_in_the_outer(xray, listener):
    with select.epoll() as inner, select.epoll() as outer:
        inner.register(listener, select.EPOLLIN)
        outer.register(inner, select.EPOLLIN)
        tid = start(outer.poll)
        until(lambda: look(xray, name(listener))[0]["waiters"][0]["waiting"] == [tid], "it waits")
        assert look(xray, name(listener))[0]["next_wakes_tids"] == [tid]
        socket.create_connection(listener.getsockname()).close()
        until(lambda: not Path(f"/proc/self/task/{tid}").exists(), "it woke")


def test_all_of_a_long_queue_is_there(xray, listener):
    """1100 epoll items: more than one walk's chunk, one of them exactly at its border."""
    sets = [select.epoll() for _ in range(1100)]
    for epoll in sets:
        epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
    [found] = look(xray, name(listener))
    assert [waiter["position"] for waiter in found["waiters"]] == list(range(1100))
    assert len({waiter["epoll"] for waiter in found["waiters"]}) == 1100
    for epoll in sets[512:]:
        epoll.close()
    assert len(look(xray, name(listener))[0]["waiters"]) == 512
    for epoll in sets:
        epoll.close()


def test_reuseport_listeners_know_how_many_they_are(xray):
    first = socket.create_server(("127.0.0.1", 0), reuse_port=True)
    more = [socket.create_server(first.getsockname(), reuse_port=True) for _ in range(2)]
    found = look(xray, name(first))
    assert [listener["one_of"] for listener in found] == [3, 3, 3]
    for sock in (first, *more):
        sock.close()


def test_the_queue_holds_still_while_waiters_come_and_go(xray, listener):
    """Entries that are taken off while they are read: a reading is whole, or is made again."""
    stop = threading.Event()

    def churn():
        with select.epoll() as epoll:
            while not stop.is_set():
                epoll.register(listener, select.EPOLLIN)
                epoll.unregister(listener)

    tid = start(accept_one, listener)
    churning = [threading.Thread(target=churn) for _ in range(3)]
    for thread in churning:
        thread.start()
    try:
        for _ in range(200):
            [found] = look(xray, name(listener))
            kinds = [waiter["kind"] for waiter in found["waiters"]]
            assert set(kinds) <= {"accept", "epoll"}
            assert len(kinds) <= 1 + len(churning)
            assert found["next_wakes_tids"] in ([], [tid])
    finally:
        stop.set()
        for thread in churning:
            thread.join()
    socket.create_connection(listener.getsockname()).close()


# --- the command


def test_the_command_names_who_wakes_and_draws(herd, listener, tmp_path):
    tid = start(accept_one, listener)
    picture = tmp_path / "queue.svg"
    done = herd("waitqueue", name(listener), "--output", str(picture))
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^▶ +0 +{os.getpid()} +{tid} ", done.stdout, re.MULTILINE)
    assert f"the next connection wakes 1 of 1: pid {os.getpid()} " in done.stdout
    assert re.search(r"read in \d+\.\d ms", done.stdout)
    assert f"pid {os.getpid()}" in picture.read_text()
    told = json.loads(herd("waitqueue", "--pid", str(os.getpid()), "--json").stdout)
    [found] = [each for each in told["listeners"] if each["address"] == name(listener)]
    assert [waiter["tid"] for waiter in found["waiters"]] == [tid]
    socket.create_connection(listener.getsockname()).close()


def test_what_is_wrong_is_refused_before_anything_is_compiled(herd, listener):
    none = herd("waitqueue", "127.0.0.1:1")
    assert none.returncode == 2
    assert name(listener) in none.stderr
    for wrong in (("--pid", "0"), ("80",), (), (":80", "--pid", "1"), (":80", "-o", "x.gif")):
        assert herd("waitqueue", *wrong).returncode == 2
    for interval in ("0", "1e999", "nan"):
        assert herd("waitqueue", name(listener), "--interval", interval).returncode == 2


def test_without_privileges_it_says_how_to_get_them(herd, listener):
    done = herd(
        "waitqueue", name(listener), before=("setpriv", "--reuid", "65534", "--clear-groups")
    )
    assert done.returncode == 3
    assert "user 65534 may not read the kernel's wait queues" in done.stderr
    assert "sudo" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_looks_again_until_it_is_ended_and_leaves_nothing(herd, listener, number):
    process = herd.start("waitqueue", name(listener), "--watch", "--json", "--interval", "20ms")
    looks = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert looks[0]["time_ns"] < looks[1]["time_ns"] < looks[2]["time_ns"]
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert (process.returncode, error) == (0, "")
    assert herd.processes() == []


def test_two_at_once_see_the_same(herd, listener):
    tid = start(accept_one, listener)
    both = [herd.start("waitqueue", name(listener), "--json") for _ in range(2)]
    told = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert [each["listeners"][0]["next_wakes_tids"] for each in told] == [[tid], [tid]]
    socket.create_connection(listener.getsockname()).close()


def test_a_container_is_looked_into_from_outside(herd):
    """Another network namespace and another pid namespace: pids are ours, as ``ps`` shows them."""
    script = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(1, flush=True); s.accept()"
    shell = [
        "unshare",
        "-n",
        "-p",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        'ip link set lo up; exec "$0" "$@"',
    ]
    with subprocess.Popen(
        [*shell, sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as outside:
        if not outside.stdout.readline():
            pytest.skip("this user may not make namespaces")
        inside = int(
            Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()[0]
        )
        until(lambda: Path(f"/proc/{inside}/stat").read_text().split()[2] == "S", "it waits", 5)
        done = herd("waitqueue", "--pid", str(inside), "--json")
        [found] = json.loads(done.stdout)["listeners"]
        assert found["next_wakes"] == [inside]
        outside.kill()


def test_ten_thousand_descriptors_take_less_than_50_ms(xray, listener):
    """Descriptors that are no business of ours are gone through by the kernel."""
    script = (
        "import os, resource, sys; r = resource; h = r.getrlimit(r.RLIMIT_NOFILE)[1]\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (min(h, 10100), h))\n"
        "many = [os.open('/dev/null', 0) for _ in range(10000)]; print(1, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as many:
        if not many.stdout.readline():
            pytest.skip("10,000 descriptors may not be open here")
        found = listeners.find(targets.parse(name(listener)))
        best = min(xray.read(found).read_ns for _ in range(20))
        many.stdin.close()
    assert best < 50_000_000
