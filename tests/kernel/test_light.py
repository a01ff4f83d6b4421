"""The light probe: it tells what the tracepoints tell, without a look at each system call."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import herd as library
from herd.errors import HostError
from herd.observe import holders
from herd.probes import interrupts, marks
from herd.probes.btf import Btf
from herd.probes.modes.light import Light
from herd.recording.read import Recording
from tests.kernel.conftest import until
from tests.kernel.test_observe import accepts, begin, interrupt, result, stranger

pytestmark = pytest.mark.kernel

COUNT = 150
#: Of who looks at system calls as they end.
WATCHES = re.compile(r"^tp_name:\s+sys_exit$", re.MULTILINE)


def looks_at_calls(process: int) -> bool:
    """Whether a process has a program attached there, as the kernel says."""
    for link in Path(f"/proc/{process}/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # just closed
            if WATCHES.search(link.read_text()):
                return True
    return False


def wakeups(recording: Recording, folder: str = "") -> pd.DataFrame:
    """Those by an arrival, by worker and arrival: none is woken twice by one, but chained."""
    columns = ["tid", "arrival", "cause", "outcome", "accepts", "eagain", "on_cpu_ns"]
    found = recording.table("wakeups", columns, folder)
    return found[found["cause"] == "arrival"].set_index(["tid", "arrival"])


@pytest.mark.parametrize(
    "how",
    [
        ("-s", "accept"),
        ("-s", "epoll"),
        ("-s", "select", "--host", "::1"),
        ("-s", "epoll-shared"),
        ("-s", "epoll", "--pool", "threads"),
        ("-s", "dispatcher"),
        ("-s", "reuseport", "--pattern", "closed"),
        ("-s", "epoll", "--family", "unix"),
    ],
    ids=" ".join,
)
def test_it_tells_what_the_tracepoints_tell_in_the_same_run(herd, how):
    summary = herd.run(*how, "-n", "8", "-c", str(COUNT), "--probe", "tracepoints,light")
    [agree] = [c for c in summary["integrity"]["checks"] if "agree" in c["name"]]
    assert agree["ok"], agree
    recording = library.load(summary["run"])
    both = wakeups(recording).join(wakeups(recording, "check-light/").add_suffix("_light"))
    told = both[both["outcome_light"].notna()]
    assert len(told) >= 0.98 * len(both)
    other = told["outcome_light"].astype(str) != told["outcome"].astype(str)
    other |= told["accepts_light"] != told["accepts"]
    # A thread's accept in vain, unseen, doesn't end its wakeup when it then sleeps for the GIL.
    assert other.sum() <= (0.01 * len(told) if "threads" in how else 0)
    assert both["eagain"].notna().all()
    assert both["eagain_light"].isna().all()
    cpu = told["on_cpu_ns_light"].sum() / told["on_cpu_ns"].sum()
    assert cpu == pytest.approx(1, abs=0.1)


def test_without_what_a_cgroups_program_needs_it_says_so_and_auto_takes_the_tracepoints(herd):
    few = "-all,+bpf,+perfmon,+dac_override"
    before = ("setpriv", f"--bounding-set={few}", f"--inh-caps={few}")
    how = ("run", "-s", "accept", "-n", "2", "-c", "20")
    refused = herd(*how, "--probe", "light", before=before)
    assert refused.returncode == 3, refused.stdout
    assert "the light probe could not be loaded: peername4" in refused.stderr
    taken = library.load(herd.run(*how[1:], before=before)["run"])
    assert taken.run["host"]["probe"] == "tracepoints"


def test_where_a_cpu_keeps_its_interrupts_is_tried_and_another_place_refused():
    places = Light(Btf.vmlinux()).defines()
    interrupts.check(places)
    beside = {"PREEMPT_COUNT": str(int(places["PREEMPT_COUNT"]) + 64)}
    with pytest.raises(library.HerdError, match="in which interrupts a CPU is"):
        interrupts.check(places | beside)


def test_what_marks_a_task_is_measured_though_that_one_is_preempted(monkeypatch):
    """In the system call, before it sleeps: it leaves its CPU twice, with marks the second time."""
    flags = Btf.vmlinux().offset("task_struct", "thread_info.flags")
    usual = marks.measured(flags)
    preempted, us = [True, False, True, True, False], threading.get_native_id()

    def sleep(seconds: float) -> None:
        mine = threading.get_native_id() == us
        if mine and preempted and preempted.pop():
            marks._sleep_several_times()
        else:
            time.sleep(seconds)

    monkeypatch.setattr(marks, "time", SimpleNamespace(sleep=sleep))
    assert marks.measured(flags) == usual
    assert not preempted
    preempted += [True] * 10_000
    with pytest.raises(HostError, match="too busy"):
        marks.measured(flags)


def test_a_run_by_it_alone_keeps_the_laws(herd):
    how = ("-n", "8", "-c", "40", "--rate", "settled", "--probe", "light")
    summary = herd.run("-s", "epoll", *how)
    assert summary["wakeups"]["total"] == 320
    assert summary["integrity"]["ok"], summary["integrity"]


def test_it_is_what_observes_and_ceases_to_look_at_system_calls(herd):
    with stranger("epoll") as server:
        observation = begin(herd, f":{server.port}", "-d", "0")
        [probe] = herd.processes("herd.probes.main")
        assert looks_at_calls(probe)
        server.connect(19)
        time.sleep(0.2)  # several looks
        assert looks_at_calls(probe), "19 accepts are not enough to know a server by"
        server.connect(1)
        until(lambda: not looks_at_calls(probe), "system calls are looked at no more", 5)
        answered = server.connect(20)
        summary = interrupt(observation)
    assert summary["host"]["probe"] == "light"
    assert summary["accepts"] == summary["arrivals"] == 40
    assert summary["wakeups"]["total"] == 160
    assert sum(accepts(summary).values()) == 40
    late = library.load(summary["run"]).accepts.sort_values("time_ns")["tid"][-20:]
    assert late.value_counts().to_dict() == answered
    assert summary["integrity"]["ok"], summary["integrity"]


def test_what_was_queued_before_it_looked_does_not_keep_it_looking(herd):
    with stranger("accept", 1) as server, ExitStack() as clients:
        [worker] = set(holders.family(server.process.pid)) - {server.process.pid}
        os.kill(worker, signal.SIGSTOP)
        state = Path(f"/proc/{worker}/stat")
        until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", "it is stopped", 10)
        for _ in range(3):
            clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        observation = begin(herd, f":{server.port}", "-d", "0")
        [probe] = herd.processes("herd.probes.main")
        os.kill(worker, signal.SIGCONT)
        server.connect(20)
        until(lambda: not looks_at_calls(probe), "system calls are looked at no more", 5)
        summary = interrupt(observation)
    assert summary["arrivals"] == 20
    assert summary["accepts"] == 23
    assert summary["integrity"]["ok"], summary["integrity"]


def test_accepts_that_ask_for_no_address_keep_it_looking(herd):
    with stranger("nameless") as server:
        observation = begin(herd, f":{server.port}", "-d", "0")
        [probe] = herd.processes("herd.probes.main")
        answered = server.connect(30)
        time.sleep(0.2)
        assert looks_at_calls(probe)
        summary = interrupt(observation)
    assert accepts(summary) == answered
    assert summary["integrity"]["ok"], summary["integrity"]
    [said] = [note for note in summary["notes"] if "address" in note]
    assert said.startswith("30 accepts asked for no address")


def test_accepts_that_it_can_see_no_more_are_missed_and_that_is_said(herd):
    with stranger("shy", 1) as server:
        observation = begin(herd, f":{server.port}", "-d", "0")
        [probe] = herd.processes("herd.probes.main")
        server.connect(20)
        until(lambda: not looks_at_calls(probe), "system calls are looked at no more", 5)
        server.connect(30)
        observation.send_signal(signal.SIGINT)
        summary = result(observation, 1)
    [followed] = [c for c in summary["integrity"]["checks"] if "followed" in c["name"]]
    assert followed["ok"] is False
    assert "more were accepted than that" in followed["detail"]
    assert "--probe tracepoints sees each" in followed["detail"]
