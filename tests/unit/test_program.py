"""What the kernel tells of a worker that keeps no log, with real processes."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from herd import area
from herd.pool.log import LAYOUT, STOPPED
from herd.pool.program import blocked_in, signal_group, waits
from herd.pool.usage import Usage, note_end, note_start
from tests.kernel.conftest import until

ACCEPTS = "import socket; socket.socket(fileno=0).accept()"
SELECTS = "import select; select.select([0], [], [])"
SLEEPS = "import signal; signal.pause()"
SPINS = "print(flush=True)\nwhile True: pass"


@pytest.fixture
def start():
    """Start a program whose descriptor 0 is a listener."""
    started = []
    listener = socket.create_server(("127.0.0.1", 0))

    def program(text: str) -> int:
        command = [sys.executable, "-S", "-c", text]
        started.append(subprocess.Popen(command, stdin=listener, stdout=subprocess.DEVNULL))
        return started[-1].pid

    yield program
    listener.close()
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("text", [ACCEPTS, SELECTS])
def test_a_program_that_waits_for_connections_is_seen_to(start, text):
    pid = start(text)
    until(lambda: waits(pid), "it waits", 10)


def test_one_that_sleeps_elsewhere_does_not_wait(start):
    pid = start(SLEEPS)
    until(lambda: blocked_in(pid) is not None and not waits(pid), "it sleeps", 10)
    first = blocked_in(pid)
    time.sleep(0.05)
    assert blocked_in(pid) == first
    assert not waits(pid)


def test_one_that_runs_or_is_gone_is_in_no_call(start):
    pid = start(SPINS)
    until(lambda: blocked_in(pid) is None, "it runs", 10)
    assert not waits(pid)
    assert blocked_in(2**22 - 1) is None


def test_what_it_used_before_it_waited_is_not_counted():
    fd = area.create("herd-test", LAYOUT, 1, 1)
    [own] = area.share(fd, LAYOUT, 1, 1)
    os.close(fd)
    usage = [0.25, 0.05, 120, 9]  # of its whole life: s user, s system, switches
    end = resource.struct_rusage([*usage[:2], *[0] * 12, *usage[2:]])
    note_start(own, Usage(cpu_us=180_000, voluntary=20, involuntary=9))
    note_end(own, Usage(cpu_us=300_000, voluntary=120, involuntary=9), end)
    used = {name: own[f"after_{name}"] - own[f"before_{name}"] for name in ("user_us", "system_us")}
    assert used == {"user_us": 100_000, "system_us": 20_000}
    assert own["after_voluntary"] - own["before_voluntary"] == 100
    assert own["after_involuntary"] - own["before_involuntary"] == 0
    assert own["state"] == STOPPED


def in_a_thread(found: list[bool]) -> None:
    spent = resource.getrusage(resource.RUSAGE_THREAD)
    usage = Usage.of_thread(threading.get_native_id())
    after = resource.getrusage(resource.RUSAGE_THREAD)
    found += [
        (spent.ru_utime + spent.ru_stime) * 1e6 <= usage.cpu_us + 1,
        usage.cpu_us <= (after.ru_utime + after.ru_stime) * 1e6 + 1,
        spent.ru_nvcsw <= usage.voluntary <= after.ru_nvcsw,
        spent.ru_nivcsw <= usage.involuntary <= after.ru_nivcsw,
    ]


def test_what_a_thread_used_is_read_as_getrusage_would_say_it():
    found: list[bool] = []
    until = time.thread_time() + 0.05  # of this thread: the other hasn't used it
    while time.thread_time() < until:
        pass
    thread = threading.Thread(target=in_a_thread, args=(found,))
    thread.start()
    thread.join()
    assert found == [True] * 4


def in_a_process_of_its_own() -> None:
    """The process of the tests has had threads, whose switches only getrusage remembers."""
    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
    time.sleep(0.01)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    start = Usage.of_process(os.getpid())
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert spent.ru_nvcsw >= 2
    assert (spent.ru_utime + spent.ru_stime) * 1e6 <= start.cpu_us + 1
    assert start.cpu_us <= (after.ru_utime + after.ru_stime) * 1e6 + 1
    assert spent.ru_nvcsw <= start.voluntary <= after.ru_nvcsw
    assert spent.ru_nivcsw <= start.involuntary <= after.ru_nivcsw


def test_the_start_of_a_process_is_read_as_getrusage_would_say_it():
    code = "from tests.unit.test_program import in_a_process_of_its_own as own; own()"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_a_signal_reaches_what_a_program_started():
    shell = subprocess.Popen(
        ["sh", "-c", "sleep 100 & echo $!; wait"],
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    with shell:
        assert shell.stdout is not None
        child = int(shell.stdout.readline())
        signal_group(shell.pid, signal.SIGTERM)
        assert shell.wait(10) == -signal.SIGTERM
    until(lambda: _gone(child), "the end of its child", 10)


def test_a_signal_reaches_one_that_is_no_group_of_its_own():
    with subprocess.Popen(["sleep", "100"]) as process:
        signal_group(process.pid, signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM


def _gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
