"""Inspect against real servers and the kernel's own wait queues; what it can't see; what goes on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import time

import pytest

from herd.errors import HerdError
from herd.observe import epolls, options, servers, waiting
from herd.observe.holders import EPOLLET, Holder
from herd.observe.inspect import facts, model, steering
from herd.observe.listeners import find, listening
from herd.observe.targets import Target
from herd.observe.waitqueue.prediction import predict
from herd.observe.waitqueue.xray import Xray
from herd.process import die_with_parent
from herd.strategies import reuseport_cbpf, reuseport_ebpf
from tests.kernel.conftest import until
from tests.kernel.test_servers import available
from tests.real_servers import EXPECTED, as_expected

pytestmark = pytest.mark.kernel

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.fixture(scope="module")
def xray():
    with Xray() as it:
        yield it


@pytest.fixture
def fork():
    """Run a function in a child; the children are killed afterwards."""
    pids = []

    def start(work) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent(parent)
                work()
            finally:
                os._exit(0)
        pids.append(pid)
        return pid

    yield start
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def port(sock) -> int:
    return sock.getsockname()[1]


def waits(pid, kind) -> bool:
    return kind in {wait.kind for wait in waiting.look(pid)}


# -- Real servers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPECTED)
def test_the_model_of_a_real_server(name, tmp_path, xray):
    with servers.running(available(name), tmp_path) as server:
        target = Target(port=server.port)
        group = as_expected(name, facts.collect(target))
        assert group.holders == held_by_ss(server.port)
        queues = xray.read(find(target)).queues
        assert entries_of(group) == sorted(entries_of_kernel(queues))
        predicted = [predict(queue) for queue in queues]
        wakes = {len(each.wakes) + len(each.then) for each in predicted}
        assert wakes == {socket.wakes_at_most for socket in group.sockets}


def held_by_ss(number) -> set[int]:
    ss = ["ss", "--listening", "--tcp", "--numeric", "--processes", f"sport = :{number}"]
    told = subprocess.run(ss, capture_output=True, text=True, check=True).stdout
    return set(map(int, re.findall(r"pid=(\d+)", told)))


def entries_of(group):
    return sorted(
        (entry.kind.replace("select", "poll"), entry.exclusive, entry.modes, entry.sleepers)
        for socket in group.sockets
        for entry in socket.entries
    )


def entries_of_kernel(queues):
    """What the wait queues really hold; select and poll are the same there."""
    for queue in queues:
        for waiter in queue.waiters:
            modes = tuple(mode for mode in waiter.modes if mode != "exclusive")
            sleepers = tuple(sorted(task.tid for task in waiter.sleepers))
            yield waiter.kind, waiter.exclusive, modes, sleepers


def test_the_command_on_nginx(herd, tmp_path):
    with servers.running(available("nginx"), tmp_path) as server:
        done = herd("inspect", f":{server.port}", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        [only] = told["listeners"]
        assert only["address"] == f"127.0.0.1:{server.port}"
        assert only["cookie"] == find(Target(port=server.port))[0].cookie
        assert only["shared_by"] == [server.pid, *server.workers]
        assert (only["reuseport"], only["program"], only["queued"]) == (False, False, 0)
        assert only["backlog"] == 511
        assert all(
            set(found) >= {"id", "level", "sure", "evidence", "meaning", "advice"}
            for found in told["findings"]
        )
        for args in ((f":{server.port}",), ("--pid", str(server.pid))):
            text = herd("inspect", *args).stdout
            assert "one socket, shared by 5 processes of nginx" in text
            assert "awaited in epoll, level-triggered, EPOLLEXCLUSIVE: 4 sets of" in text
            assert "info: exclusive-order (certain" in text


# -- What it stands on -----------------------------------------------------------------------------


def polls(*fds):
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    poll.poll()


WAYS = {"poll": polls, "select": lambda *fds: select.select(fds, [], [])}


@pytest.mark.parametrize("kind", WAYS)
def test_the_descriptors_that_a_call_waits_for(fork, listener, kind):
    other, end = os.pipe()
    pid = fork(lambda: WAYS[kind](listener.fileno(), other))
    until(lambda: waits(pid, kind), kind)
    [wait] = waiting.look(pid)
    assert set(wait.fds) == {listener.fileno(), other}
    os.close(other)
    os.close(end)


def test_a_process_that_has_ended_waits_for_nothing():
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert waiting.look(ended.pid) == []


def test_an_epoll_set_that_was_inherited_is_one(fork, listener):
    with select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN | EPOLLET)
        pids = [fork(epoll.poll) for _ in range(2)]
        own = [fork(lambda: (make := select.epoll(), make.poll())) for _ in range(2)]
        for pid in pids:
            until(lambda pid=pid: waits(pid, "epoll"), "epoll_wait")
        for pid in own:
            until(lambda pid=pid: waits(pid, "epoll"), "epoll_wait")
        sets = {(pid, waiting.look(pid)[0].fds[0]) for pid in (*pids, *own)}
        numbers = epolls.same(sets)
        assert len({numbers[pid, epoll.fileno()] for pid in pids}) == 1
        assert len(set(numbers.values())) == 3
        group = only(listener)
        [entry] = group.sockets[0].entries
        assert set(entry.pids) >= {*pids, *own, os.getpid()}
        assert set(entry.sleepers) == set(pids)
        assert group.sockets[0].wakes_at_most == 1


def test_which_sets_are_the_same_is_unknown_where_a_process_has_ended():
    ended = subprocess.Popen(["true"])
    ended.wait()
    with select.epoll() as epoll:
        assert epolls.same([(os.getpid(), epoll.fileno()), (ended.pid, 3)]) is None
        assert epolls.same([(os.getpid(), epoll.fileno())]) == {(os.getpid(), epoll.fileno()): 0}


def only(sock) -> model.Group:
    [group] = model.groups(facts.collect(Target(port=port(sock))))
    return group


def test_a_sockets_own_options(listener):
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
    inode = os.fstat(listener.fileno()).st_ino
    holder = Holder(os.getpid(), "", listener.fileno(), inode)
    assert options.read([holder]) == options.Options(
        reuseport=True,
        incoming_cpu=listener.getsockopt(socket.SOL_SOCKET, 49),
        defer_accept_s=listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT),
    )
    gone = Holder(os.getpid(), "", 0, inode)
    assert options.read([gone]) is None
    assert options.read([gone, holder]) is not None


def reuseport_group(number):
    first = socket.socket()
    found = [first, *(socket.socket() for _ in range(number - 1))]
    for sock in found:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(first.getsockname() if sock is not first else ("127.0.0.1", 0))
        sock.listen()
    return found


def test_the_bpf_program_of_a_reuseport_group():
    with contextlib.ExitStack() as stack:
        groups = [[stack.enter_context(s) for s in reuseport_group(2)] for _ in range(3)]
        reuseport_cbpf.attach(groups[0][0], 2)
        chooser = reuseport_ebpf.Chooser()
        stack.callback(chooser.close)
        chooser.attach(groups[1][0], "random", 2)
        seen = [only(group[0]) for group in groups]
        assert [group.program and group.program.kind for group in seen] == [
            "classic",
            "sk_reuseport",
            None,
        ]
        assert seen[1].program.name == "herd_reuseport"
        show = ["bpftool", "prog", "show", "id", str(seen[1].program.id)]
        assert "sk_reuseport" in subprocess.run(show, capture_output=True, text=True).stdout
        assert all(group.programs_seen for group in seen)
        assert set(steering.look()[0]) <= {each.cookie for each in listening()}


# -- Not seen, and going on ------------------------------------------------------------------------


def test_without_root_it_says_what_it_could_not_see(herd, fork, listener):
    pid = fork(listener.accept)
    until(lambda: waits(pid, "accept"), "accept")
    done = herd("inspect", f":{port(listener)}", "--json", before=NOBODY)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    [blind] = told["listeners"]
    assert (blind["shared_by"], blind["reuseport"], blind["program"]) == ([], None, None)
    assert (blind["complete"], blind["wakes_at_most"]) == (False, None)
    assert "who holds the sockets: root sees it" in told["not_seen"]
    text = herd("inspect", f":{port(listener)}", before=NOBODY)
    assert text.returncode == 0
    assert "not seen: who holds the sockets: root sees it" in text.stdout


def test_nothing_listens_there(herd, listener):
    done = herd("inspect", "127.0.0.1:1")
    assert done.returncode == 2
    assert "nothing listens on 127.0.0.1:1" in done.stderr
    assert f"127.0.0.1:{port(listener)} (" in done.stderr
    assert herd("inspect").returncode == 2


def test_workers_that_come_and_go_meanwhile(fork, listener):
    """A hundred forks a second: each look succeeds, and finds the parent."""

    def churn():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            if os.fork() == 0:
                listener.settimeout(0.02)
                with contextlib.suppress(TimeoutError):
                    listener.accept()
                os._exit(0)
            time.sleep(0.01)

    pid = fork(churn)
    for _ in range(20):
        assert {pid, os.getpid()} <= only(listener).holders


def test_a_server_that_ends_meanwhile(fork):
    """Its looks succeed until one says that nothing listens there; none fails in another way."""
    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as sock:
            number = port(sock)
            pid = fork(lambda sock=sock: (time.sleep(0.05), sock.close()))
        with pytest.raises(HerdError, match=r"nothing listens on|was closed while"):
            look_for_ever(number)
        os.kill(pid, 0)  # not reaped: the number was its own all the while


def look_for_ever(number):
    while True:
        facts.collect(Target(port=number))


def test_ten_thousand_descriptors_are_one_holder(herd, fork, listener):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 10_200:
        pytest.skip(f"no more than {hard} descriptors may be open here")

    def hold():
        resource.setrlimit(resource.RLIMIT_NOFILE, (10_200, hard))
        many = [os.dup(listener.fileno()) for _ in range(10_000)]
        socket.socket(fileno=many[-1]).accept()

    pid = fork(hold)
    until(lambda: waits(pid, "accept"), "accept")
    told = json.loads(herd("inspect", f":{port(listener)}", "--json").stdout)
    [only] = told["listeners"]
    assert only["shared_by"] == sorted([os.getpid(), pid])
    assert [waiter["pids"] for waiter in only["waiters"]] == [[pid]]
