"""Reading a probe's file while it is written; and what ``/proc`` tells of threads."""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path

import numpy as np

from herd.observe import waiting
from herd.observe.crowd import Crowd, threads_of
from herd.observe.tail import Tail, Tally
from herd.observe.usage import Usage
from herd.probes.events import BLOCKED_IN, EVENT, KIND_ACCEPT, KIND_WAKEUP

EPOLL = BLOCKED_IN.index("epoll")


def records(*events: dict[str, int]) -> bytes:
    rows = np.zeros(len(events), EVENT)
    for row, event in zip(rows, events, strict=True):
        for name, value in event.items():
            row[name] = value
    return rows.tobytes()


def wakeup(tid: int, accepts: int = 0, arrival: int = 1, what: int = EPOLL) -> dict[str, int]:
    return {
        "kind": KIND_WAKEUP,
        "tid": tid,
        "accepts": accepts,
        "arrival": arrival,
        "what": what,
        "time": 1000,
        "begin": 6000,
    }


def test_only_what_is_new_is_told(tmp_path: Path):
    tail = Tail(tmp_path / "events")
    assert tail.news() == {}  # not there yet
    whole = records(wakeup(7, accepts=1), wakeup(7), {"kind": KIND_ACCEPT, "tid": 7})
    (tmp_path / "events").write_bytes(whole)
    first = tail.news()[7]
    assert (first.accepts, first.wakeups, first.wasted) == (1, 2, 1)
    assert first.wake_latency_us() == 5.0
    assert tail.news() == {}
    with (tmp_path / "events").open("ab") as file:
        file.write(records(wakeup(8))[:-3])  # half written
    assert tail.news() == {}


def test_what_no_arrival_caused_is_not_counted(tmp_path: Path):
    other = wakeup(7, arrival=0), wakeup(7, what=BLOCKED_IN.index("lock"))
    (tmp_path / "events").write_bytes(records(*other))
    assert Tail(tmp_path / "events").news() == {}


def test_a_threads_usage_is_its_own():
    """/proc/TID/stat would be the whole process's."""
    ready, done = threading.Event(), threading.Event()
    found: list[int] = []

    def idle() -> None:
        found.append(threading.get_native_id())
        ready.set()
        done.wait()

    thread = threading.Thread(target=idle)
    thread.start()
    ready.wait()
    mine, its = threading.get_native_id(), found[0]
    before = {tid: Usage.of(tid) for tid in (mine, its)}
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    used = {tid: Usage.of(tid).since(before[tid]) for tid in (mine, its)}
    done.set()
    thread.join()
    cpu = {tid: u["cpu_user_s"] + u["cpu_system_s"] for tid, u in used.items()}
    assert cpu[mine] > 0.045 > 10 * cpu[its]


def test_a_thread_that_is_gone_has_no_usage():
    gone = 2**22 - 1
    assert Usage.of(gone) is None
    crowd = Crowd()
    crowd.look([gone])
    assert crowd.members[gone].used()["cpu_user_s"] is None
    assert (crowd.members[gone].pid, crowd.members[gone].comm) == (None, None)
    assert threads_of([gone]) == []
    assert waiting.of_thread(gone, gone) is None


def test_a_thread_says_what_it_waits_in():
    import select

    epoll = select.epoll()
    thread = threading.Thread(target=epoll.poll, args=(5,), daemon=True)
    thread.start()
    deadline = time.monotonic() + 5
    while not (found := waiting.of_thread(os.getpid(), thread.native_id)):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert (found.kind, found.fds) == ("epoll", (epoll.fileno(),))
    assert waiting.of_thread(os.getpid(), os.getpid()) is None


def test_the_live_table_shows_who_waits_and_who_works():
    from rich.console import Console

    from herd.observe.live import Board
    from herd.observe.observer import Frame

    mine, crowd = os.getpid(), Crowd()
    crowd.meet([mine])
    board = Board(":80")

    def shown(passed_s: float, tallies: dict[int, Tally]) -> str:
        crowd.look([mine])
        console = Console(width=110, file=io.StringIO())
        console.print(board.table(Frame("nginx", passed_s, 1.0, tallies, crowd)))
        return console.file.getvalue()

    shown(0.0, {})
    idle = shown(1.0, {mine: Tally()}).splitlines()
    assert idle[0].strip() == "nginx on :80, 1 s"
    assert idle[2].split()[-6:-1] == [str(mine), "0", "0", "-", "-"]
    assert idle[2].split()[-1].endswith("%")
    assert "50%" in shown(2.0, {mine: Tally(accepts=5, wakeups=10, wasted=5)})
