"""Real servers: they start, serve every client, count for themselves, and leave nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from herd.errors import HerdError, HostError
from herd.observe import listeners, servers
from herd.observe.servers import __main__ as experiment
from herd.observe.waitqueue.xray import Xray
from tests.conftest import cannot_run
from tests.kernel.conftest import until

pytestmark = pytest.mark.kernel


def available(name):
    """The server; those two that every check installs must be there."""
    server = servers.find(name)
    why = server.unavailable()
    if why:
        cannot_run(why, "servers" if server.program in ("nginx", "gunicorn") else "all servers")
    return server


@pytest.fixture(params=[server.name for server in servers.every()])
def running(request, tmp_path):
    """Each server that is installed, with four workers; afterwards nothing of it may be left."""
    tmp_path.chmod(0o755)
    with servers.running(available(request.param), tmp_path) as it:
        yield it
    assert not [pid for pid in {it.pid, *it.workers} if Path(f"/proc/{pid}/fd/0").exists()]
    assert not [found for found in listeners.listening() if found.port == it.port]


def test_each_connection_is_answered_and_each_worker_counts(running):
    assert servers.CLIENTS["herd"](running.port, 41) == 41
    until(lambda: sum(running.served().values()) == 41, "41 lines of log", 10)
    assert set(running.served()) <= set(running.workers)


@pytest.mark.parametrize("client", ["ab", "wrk"])
def test_others_clients_are_answered(running, client):
    """Either may open a few connections more than it has answers from."""
    try:
        answers = servers.CLIENTS[client](running.port, 40)
    except HostError as missing:
        cannot_run(missing.message, "servers")
    assert answers >= 40
    until(lambda: sum(running.served().values()) >= answers, "a line of log for each", 10)


def test_the_experiment_writes_a_row_for_each_server():
    with Xray() as xray:
        visit = experiment.visit(available("nginx"), xray)
    page = "".join(experiment.page([visit], ["`other` (not installed)"]))
    [row] = [line for line in page.splitlines() if line.startswith("| `nginx`")]
    cells = [cell.strip() for cell in row.split("|")[2:]]
    assert cells[1:4] == [
        "one, held by 5 processes, of which one is the master",
        "4 × epoll EPOLLEXCLUSIVE",
        "1 of 4",
    ]
    assert (cells[4], cells[6]) == ("1.00", "fine")
    assert all(re.fullmatch(r"\d+ %", cells[place]) for place in (5, 7, 8, 9))
    assert "Not installed: `other` (not installed)." in page


class Broken(servers.Server):
    """Says why, and ends."""

    program = "sh"

    def command(self, place):
        return [self.path(), "-c", "echo no such directive >&2; exit 7"]


def test_one_that_cannot_start_is_an_error_with_the_end_of_its_log(tmp_path):
    with pytest.raises(HerdError) as failed, servers.running(Broken("broken"), tmp_path):
        pass
    assert "cannot start broken: it ended with exit code 7\nno such directive" in str(failed.value)


class Missing(Broken):
    program = "no-such-program"
    package = "no-package"


def test_one_that_is_not_installed_says_what_to_install(tmp_path):
    why = Missing("missing").unavailable()
    assert why == "no-such-program is not installed: apt-get install no-package"
    with pytest.raises(HerdError), servers.running(Missing("missing"), tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
