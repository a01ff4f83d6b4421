"""From recorded raw rows to queues, where the kernel can't be made to show it: what changes meanwhile."""

from __future__ import annotations

import numpy as np
import pytest

from herd.errors import HerdError, HostError
from herd.observe.waitqueue.programs import FILE, OWNER, TASK, WAITING, Changed
from herd.observe.waitqueue.reader import Reader
from herd.observe.waitqueue.symbols import Symbols

ACCEPT, EPOLL = 0xFFFFFFFF81000000, 0xFFFFFFFF81000040
KALLSYMS = f"{ACCEPT:x} T autoremove_wake_function\n{EPOLL:x} t ep_poll_callback\nffffffff82000000 D data\n"
HEAD, SET, WAITS_IN_SET = 0x1000, 0x2000, 0x2010


class Recorded:
    """Two in accept, one of which has ended, and an epoll set in which that same one waited."""

    def __init__(self, changes=0):
        self.changes = changes

    def files(self, wanted):
        rows = {7: (7, HEAD, 0, 0, 100, 3, 0, b"server"), SET: (SET, 0, 0, 0, 100, 4, 0, b"server")}
        return np.array([rows[key] for key in wanted if key in rows], FILE)

    def tasks(self, wanted):
        return np.array(
            [(key, 100, 101, 1, 0, b"ser\xffver") for key in wanted if key == 0xA], TASK
        )

    def queue(self, head):
        if self.changes:
            self.changes -= 1
            raise Changed
        queues = {
            HEAD: [
                (ACCEPT, 0xA, 1, 0, 0, 0, 0),
                (ACCEPT, 0xB, 1, 0, 0, 0, 0),
                (EPOLL, 0, 0, SET, 0x19, 0, 0),
                (0xFFFFFFFF80000000, 0, 0, 0, 0, 0, 0),
            ],
            WAITS_IN_SET: [(ACCEPT, 0xB, 1, 0, 0, 0, 0)],
        }
        return np.array(queues.get(head, []), WAITING)

    def signals(self, first):
        return np.array([(300, 1), (0, 1)], OWNER)


class Offsets:
    def offset(self, struct, member):
        return {"wq": 0x10, "poll_wait": 0x20}[member]


@pytest.fixture
def symbols(tmp_path):
    (tmp_path / "kallsyms").write_text(KALLSYMS)
    return Symbols(tmp_path / "kallsyms")


def test_who_is_gone_is_nobody_and_stays_in_the_queue(symbols):
    [queue] = Reader(Recorded(), symbols, Offsets()).read([7])
    first, gone, item, other = queue.waiters
    assert (first.task.tid, first.task.comm, first.exclusive) == (101, "ser�ver", True)
    assert (gone.kind, gone.task) == ("accept", None)
    assert [waiter.task for waiter in item.epoll.waiting] == [None]
    assert [holding.pid for holding in item.epoll.holders] == [100]
    assert (other.kind, other.function) == ("unknown", "0xffffffff80000000")
    assert queue.sigio == [300]


def test_a_listener_that_nobody_holds_is_left_out(symbols):
    assert Reader(Recorded(), symbols, Offsets()).read([8]) == []


def test_a_queue_that_changes_is_read_again(symbols):
    [queue] = Reader(Recorded(changes=3), symbols, Offsets()).read([7])
    assert len(queue.waiters) == 4


def test_one_that_never_holds_still_is_an_error(symbols):
    with pytest.raises(HerdError, match="changed during each of"):
        Reader(Recorded(changes=10**6), symbols, Offsets()).read([7])


def test_hidden_addresses_are_this_hosts_fault(tmp_path):
    (tmp_path / "kallsyms").write_text("0000000000000000 T autoremove_wake_function\n")
    with pytest.raises(HostError) as refused:
        Symbols(tmp_path / "kallsyms")
    assert "kptr_restrict" in refused.value.hint
