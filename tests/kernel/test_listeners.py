"""Real listening sockets: the kernel's list, ss's, and who holds them."""

from __future__ import annotations

import asyncio
import os
import resource
import select
import socket
import subprocess
import sys

import pytest

from herd.errors import UsageError
from herd.observe import holders, listeners, netns
from herd.observe.targets import Target, parse

LISTEN_AND_WAIT = """
import socket, sys
s = socket.create_server(("127.0.0.1", 0), backlog=3)
print(s.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def sockets(tmp_path):
    """One listener of each family, each with a backlog of its own."""
    four = socket.create_server(("127.0.0.1", 0), backlog=11)
    six = socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=12)
    path, abstract = (socket.socket(socket.AF_UNIX) for _ in range(2))
    path.bind(str(tmp_path / "a socket"))
    abstract.bind(f"\0herd-{os.getpid()}")
    path.listen(13)
    abstract.listen(14)
    yield [four, six, path, abstract]
    for sock in (four, six, path, abstract):
        sock.close()


def targets(sockets):
    four, six, path, abstract = sockets
    return [
        f"127.0.0.1:{four.getsockname()[1]}",
        f"[::1]:{six.getsockname()[1]}",
        f"unix:{path.getsockname()}",
        f"unix:@{abstract.getsockname()[1:].decode()}",
    ]


def cookie(sock):
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, 57, 8), "little")  # SO_COOKIE


def test_a_notebook_whose_event_loop_runs_may_look_too(sockets):
    async def look():
        return [listeners.find(parse(text))[0].cookie for text in targets(sockets)]

    assert asyncio.run(look()) == [cookie(sock) for sock in sockets]


def test_each_family_is_found_as_the_socket_itself_tells(sockets):
    for sock, text, backlog in zip(sockets, targets(sockets), (11, 12, 13, 14), strict=True):
        [found] = listeners.find(parse(text))
        assert found.name == text
        assert found.cookie == cookie(sock)
        assert found.inode == os.fstat(sock.fileno()).st_ino
        assert (found.backlog, found.queue) == (backlog, 0)


def test_ss_agrees_about_cookies_inodes_and_queues(sockets):
    with socket.create_connection(sockets[0].getsockname()):
        ss = ["ss", "--listening", "--unix", "--tcp", "--numeric", "--extended", "--no-header"]
        lines = subprocess.run(ss, capture_output=True, text=True, check=True).stdout.splitlines()
        ours = {found.cookie: found for found in listeners.listening()}
    for sock in sockets:
        found = ours[cookie(sock)]
        # ss shows no cookie of a Unix-domain socket.
        inode = (
            f" {found.inode} " if found.port is None else f" ino:{found.inode} sk:{found.cookie:x} "
        )
        [line] = [line for line in lines if inode in line]
        assert line.split()[2:4] == [str(found.queue), str(found.backlog)]
        assert found.name.removeprefix("unix:") in line
    assert ours[cookie(sockets[0])].queue == 1


def test_a_process_is_meant_with_its_descendants(sockets):
    """A shell holds nothing; its child listens."""
    with subprocess.Popen(
        ["sh", "-c", '"$0" -c "$1"; true', sys.executable, LISTEN_AND_WAIT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as shell:
        port = int(shell.stdout.readline())
        assert [found.port for found in listeners.find(Target(pid=shell.pid))] == [port]
        shell.stdin.close()


def test_a_port_without_listener_is_refused_with_a_list_of_those_there_are(sockets):
    with pytest.raises(UsageError) as refused:
        listeners.find(parse("127.0.0.1:1"))
    assert "nothing listens on 127.0.0.1:1" in refused.value.message
    for text in targets(sockets):
        assert f"{text} ({holders.comm(os.getpid())} {os.getpid()})" in refused.value.hint


def test_no_such_process_is_a_usage_error():
    ended = subprocess.Popen(["true"])
    ended.wait()
    with pytest.raises(UsageError, match="no process"):
        listeners.find(Target(pid=ended.pid))


def test_another_network_namespace_is_seen_by_process_and_only_so():
    command = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$0" "$@"']
    with subprocess.Popen(
        [*command, sys.executable, "-c", LISTEN_AND_WAIT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        line = server.stdout.readline()
        if not line:
            pytest.skip("this user may not make a network namespace")
        [found] = listeners.find(Target(pid=server.pid))
        assert found.port == int(line)
        assert found.netns == netns.inode(server.pid) != netns.inode()
        assert found.cookie not in {other.cookie for other in listeners.listening()}
        server.stdin.close()


def test_holders_and_epoll_sets_of_a_real_socket(sockets):
    inode = os.fstat(sockets[0].fileno()).st_ino
    with select.epoll() as epoll:
        epoll.register(sockets[0], select.EPOLLIN | holders.EPOLLEXCLUSIVE | select.EPOLLET)
        seen = holders.look({inode}, [os.getpid()])
        assert [(h.pid, h.fd) for h in seen.holders] == [(os.getpid(), sockets[0].fileno())]
        [item] = seen.epoll_items
        assert (item.pid, item.epoll_fd, item.fd, item.inode) == (
            os.getpid(),
            epoll.fileno(),
            sockets[0].fileno(),
            inode,
        )
        assert holders.modes(item.events) == ["exclusive", "edge"]


def test_ten_thousand_descriptors_are_gone_through(sockets):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 10_200:
        pytest.skip(f"no more than {hard} descriptors may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (10_200, hard))
    many = [os.dup(sockets[0].fileno()) for _ in range(10_000)]
    try:
        seen = holders.look({os.fstat(sockets[0].fileno()).st_ino}, [os.getpid()])
    finally:
        for fd in many:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(seen.holders) == 10_001
