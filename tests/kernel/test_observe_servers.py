"""``herd observe`` on real servers: it counts what they, their clients and bpftrace count."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import herd as library
from herd.errors import HostError
from herd.observe import holders, servers
from tests.conftest import cannot_run
from tests.kernel.conftest import COUNT_WAKEUPS, bpftrace, until
from tests.kernel.test_observe import begin, interrupt, result
from tests.kernel.test_servers import available
from tests.real_servers import EXPECTED

pytestmark = pytest.mark.kernel

COUNT = 41
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")

#: Whoever accepts hands the connection on, so that another thread or process serves it.
HANDS_ON = {"haproxy", "node-cluster"}


@pytest.fixture
def start(tmp_path):
    """A server, idle, by its name."""
    tmp_path.chmod(0o755)
    place = tmp_path / "server"
    place.mkdir()
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(servers.running(available(name), place))


def accepted(summary: dict[str, Any], running: servers.Running) -> Counter[int]:
    """Accepts by worker, as the server's log names workers: threads or processes."""
    accepts = library.load(summary["run"]).accepts
    pids = {row["tid"]: row["pid"] for row in _workers(summary)}
    names = set(running.workers)
    return Counter(tid if tid in names else pids[tid] for tid in accepts["tid"].tolist())


def _workers(summary: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = library.load(summary["run"]).run["observed"]["workers"]
    return found


def drive(running: servers.Running, client: str, number: int = COUNT) -> Counter[int]:
    """Drive it; returns connections by worker, once all are in its log."""
    before = running.served()
    try:
        answers = servers.CLIENTS[client](running.port, number)
    except HostError as missing:
        cannot_run(missing.message, "servers")
    until(lambda: (running.served() - before).total() >= answers, "all in the log", 10)
    return running.served() - before


@pytest.mark.parametrize("name", [server.name for server in servers.every()])
def test_accepts_are_the_servers_own_and_wakeups_are_bpftraces(herd, start, name):
    """One connection after the other."""
    running = start(name)
    with bpftrace(COUNT_WAKEUPS) as stacks:
        observation = begin(herd, f":{running.port}", "-d", "0")
        served = drive(running, "herd")
        summary = interrupt(observation)
    assert summary["accepts"] == summary["arrivals"] == served.total() == COUNT
    if name not in HANDS_ON:
        assert accepted(summary, running) == served
    tids = [worker["tid"] for worker in _workers(summary)]
    listeners = stacks.woken_by_sockets(tids, inside="tcp_child_process")
    assert summary["wakeups"]["total"] == pytest.approx(listeners, rel=0.01)
    assert summary["integrity"]["ok"], summary["integrity"]
    assert summary["prediction"]["expected"] == EXPECTED[name].wakes
    is_herd = "everyone-wakes" in EXPECTED[name].findings
    assert (summary["verdict"]["level"] == "fine") is not is_herd, summary["verdict"]


def passive_opens() -> int:
    """Connections that listeners of this network namespace have taken, by the kernel's own count."""
    names, values = re.findall(r"^Tcp: (.*)$", Path("/proc/net/snmp").read_text(), re.MULTILINE)
    return int(dict(zip(names.split(), values.split(), strict=True))["PassiveOpens"])


@pytest.mark.parametrize("name", ["nginx", "gunicorn"])
def test_others_clients_connections_are_all_counted(herd, start, name):
    """``ab`` and ``wrk`` open a few more than they are answered on: the kernel counts those, too."""
    running = start(name)
    observation = begin(herd, f":{running.port}", "-d", "0")
    before = passive_opens()
    served = drive(running, "ab", 400) + drive(running, "wrk")
    opened = passive_opens() - before
    summary = interrupt(observation)
    assert summary["accepts"] == summary["arrivals"]
    assert served.total() <= summary["accepts"] <= opened
    by_worker = accepted(summary, running)
    assert all(served[pid] <= by_worker[pid] for pid in running.workers)
    assert summary["integrity"]["ok"], summary["integrity"]


def reload(running: servers.Running, **settings: str) -> None:
    """nginx starts anew, with some words of its configuration changed; done once its old workers are gone."""
    config = running.place.folder / "nginx.conf"
    text = config.read_text()
    for name, value in settings.items():
        text = re.sub(rf"{name} \S+;", f"{name} {value};", text)
    config.write_text(text)
    os.kill(running.pid, signal.SIGHUP)
    until(lambda: not set(running.workers) & set(holders.family(running.pid)), "the old are gone")


def test_nginx_reloads_and_is_stopped_while_it_is_observed(herd, start):
    """Workers that come are followed, and their new sockets, from when they are seen."""
    running = start("nginx-reuseport")
    observation = begin(herd, f":{running.port}", "-d", "0")
    made = drive(running, "herd").total()
    reload(running)
    made += drive(running, "herd").total()
    reload(running, worker_processes="6")
    time.sleep(1.5)  # until the new sockets are looked for
    made += drive(running, "herd").total()
    os.kill(running.pid, signal.SIGQUIT)
    summary = result(observation)
    assert summary["accepts"] == summary["arrivals"] == made == 3 * COUNT
    assert summary["integrity"]["ok"], summary["integrity"]
    assert len(summary["workers"]) == 4 + 4 + 6
    more, closed = summary["notes"]
    assert "nginx was seen to listen on 2 more sockets" in more
    assert "nginx had closed what it listened on" in closed


def test_without_privileges_observe_says_how_to_get_them(herd, start):
    running = start("nginx")
    done = herd("observe", f":{running.port}", "--output", "/tmp/never", before=NOBODY)
    assert done.returncode == 3
    assert "user 65534 may not load BPF programs" in done.stderr
    assert "sudo" in done.stderr
    assert "observe TARGET" in done.stderr
    assert not Path("/tmp/never.partial").exists()
