"""Whom an arrival wakes: the model, against queues as the kernel builds them."""

from __future__ import annotations

import pytest

from herd.observe.holders import EPOLLET, EPOLLEXCLUSIVE, EPOLLONESHOT
from herd.observe.listeners import Listener
from herd.observe.waitqueue.prediction import as_json, predict
from herd.observe.waitqueue.queue import EpollSet, Holding, Queue, Task, Waiter
from herd.observe.waitqueue.wake import who_wakes, who_wakes_next
from herd.observe.waitqueue.xray import Reading

IN = 0x1 | 0x8 | 0x10  # EPOLLIN, and what the kernel adds by itself: EPOLLERR, EPOLLHUP
OUT = 0x4


def task(tid, *, sleeping=True):
    return Task(tid, tid, "server", sleeping)


def accept(tid, **how):
    return Waiter("accept", "autoremove_wake_function", True, task(tid, **how))


def poll(tid, **how):
    return Waiter("poll", "pollwake", False, task(tid, **how))


def in_epoll_wait(tid, **how):
    return Waiter("epoll_wait", "ep_autoremove_wake_function", True, task(tid, **how))


def epoll(*tids, events=IN, number=1, polled_by=(), holders=None):
    waiting = [in_epoll_wait(tid) for tid in tids]
    held = [Holding(pid, "server", 3) for pid in (tids if holders is None else holders)]
    own = EpollSet(number, held, waiting, list(polled_by))
    exclusive = bool(events & EPOLLEXCLUSIVE)
    return Waiter("epoll", "ep_poll_callback", exclusive, events=events, epoll=own)


def tids(tasks):
    return [found.tid for found in tasks]


EXCLUSIVE = IN | EPOLLEXCLUSIVE


@pytest.mark.parametrize(
    ("queue", "wakes", "then"),
    [
        pytest.param([], [], [], id="nobody"),
        pytest.param([accept(1), accept(2)], [1], [], id="accept: the first"),
        pytest.param([accept(1, sleeping=False), accept(2)], [2], [], id="who runs is passed over"),
        pytest.param([poll(1), poll(2)], [1, 2], [], id="poll: all"),
        pytest.param([poll(1), accept(2), accept(3)], [1, 2], [], id="pollers, and one exclusive"),
        pytest.param([epoll(1), epoll(2)], [1, 2], [], id="epoll: all"),
        pytest.param(
            [epoll(1, events=EXCLUSIVE), epoll(2, events=EXCLUSIVE)], [1], [], id="exclusive"
        ),
        pytest.param(
            [epoll(events=EXCLUSIVE), epoll(2, events=EXCLUSIVE)],
            [2],
            [],
            id="an exclusive set in which nobody waits is passed over",
        ),
        pytest.param([epoll(), accept(2)], [2], [], id="a set in which nobody waits"),
        pytest.param([epoll(1, 2, 3)], [1], [2], id="a shared level-triggered set"),
        pytest.param([epoll(1, 2, events=IN | EPOLLET)], [1], [], id="a shared edge-triggered set"),
        pytest.param([epoll(1, 2, events=IN | EPOLLONESHOT)], [1], [], id="a shared one-shot"),
        pytest.param([epoll(1, 2, events=EXCLUSIVE)], [1], [2], id="a shared exclusive set"),
        pytest.param(
            [epoll(1, events=EPOLLONESHOT), poll(2)], [2], [], id="a one-shot that has fired"
        ),
        pytest.param([epoll(1, events=OUT)], [], [], id="who waits to write"),
        pytest.param([poll(1), epoll(1)], [1], [], id="a thread wakes once"),
        pytest.param(
            [epoll(polled_by=[epoll(7, number=2)])],
            [7],
            [],
            id="a set in a set: the outer's waiter",
        ),
        pytest.param(
            [Waiter("io_uring", "io_poll_wake", True, task(1)), accept(2)], [1], [], id="io_uring"
        ),
        pytest.param(
            [Waiter("unknown", "aio_poll_wake", True), accept(2)],
            [],
            [],
            id="an unknown is content",
        ),
        pytest.param(
            [Waiter("accept", "autoremove_wake_function", True), accept(2)],
            [2],
            [],
            id="who is gone is passed over",
        ),
    ],
)
def test_who_wakes(queue, wakes, then):
    assert tids(who_wakes(queue)) == wakes
    assert tids(who_wakes_next(queue)) == then


@pytest.mark.parametrize(
    ("queue", "sigio", "group", "says"),
    [
        ([], [], 1, "wakes nobody: nobody waits here now"),
        ([accept(1), accept(2)], [], 1, "wakes 1 of 2: pid 1 server (FIFO)"),
        ([poll(1), poll(2)], [], 1, "wakes all 2"),
        (
            [epoll(1, events=EXCLUSIVE), epoll(2, events=EXCLUSIVE)],
            [],
            1,
            "wakes 1 of 2: pid 1 server (the first registered)",
        ),
        (
            [epoll(3, 2)],
            [],
            1,
            "wakes 1 of 2: pid 3 server (the last to wait); "
            "then 1 more, by the first's own epoll_wait: pid 2 server",
        ),
        ([], [8, 9], 1, "sends SIGIO to pid 8, 9"),
        (
            [accept(1)],
            [],
            4,
            "goes to one of 4 listeners; if to this one, it wakes 1 of 1: pid 1 server",
        ),
        (
            [*(poll(n) for n in range(1, 7)), poll(7, sleeping=False)],
            [],
            1,
            "wakes 6 of 7: pid 1 server, pid 2 server, pid 3 server, pid 4 server, …",
        ),
    ],
)
def test_a_prediction_in_words(queue, sigio, group, says):
    assert predict(Queue(1, queue, sigio, group)).sentence() == says


def told(*queues):
    listener = Listener(5, 50, "inet", "127.0.0.1", 80, 128, 2, 4026531840)
    return as_json(Reading(1, 2_000_000, list(queues)), [listener])["listeners"][0]


def test_json_keeps_the_contract():
    found = told(Queue(5, [epoll(11, events=EXCLUSIVE | EPOLLET), accept(12)], [13], 1))
    [first, second] = found["waiters"]
    wanted = {
        "position": 0,
        "pid": 11,
        "tid": 11,
        "comm": "server",
        "kind": "epoll",
        "exclusive": True,
        "modes": ["exclusive", "edge"],
        "waiting": [11],
    }
    assert first.items() >= wanted.items()
    assert (second["position"], second["kind"], second["waiting"]) == (1, "accept", [])
    assert (found["cookie"], found["address"], found["queued"]) == (5, "127.0.0.1:80", 2)
    assert (found["sigio"], found["next_wakes"], found["next_wakes_tids"]) == ([13], [11, 13], [11])


def test_a_set_of_several_processes_is_nobodys():
    [item] = told(Queue(5, [epoll(2, 1, holders=(1, 2))], [], 1))["waiters"]
    assert (item["pid"], item["tid"], item["holders"], item["waiting"]) == (
        None,
        None,
        [1, 2],
        [2, 1],
    )


def test_a_queue_that_could_not_be_read_is_unknown():
    found = told()
    assert found["cookie"] == 5
    assert {found[key] for key in ("waiters", "sigio", "next_wakes", "one_of", "says")} == {None}
