"""Who holds a socket, from a recorded ``/proc``."""

from __future__ import annotations

import os

import pytest

from herd.observe import holders
from herd.observe.holders import EpollItem, Holder

#: As Linux 6.18 printed it: a listener with EPOLLIN | EPOLLEXCLUSIVE | EPOLLET, then another set.
FDINFO = """pos:	0
flags:	02000002
mnt_id:	17
ino:	1038
tfd:        3 events: 90000019 data:                3  pos:0 ino:125c79 sdev:9
tfd:        4 events:       19 data:     7fac00000004  pos:0 ino:40e sdev:10
"""
LISTENER = 0x125C79


@pytest.fixture
def proc(tmp_path):
    """Three processes: 10 (parent), 11 (its child), 12 (11's child)."""
    (tmp_path / "meminfo").touch()
    for pid, parent, name in ((10, 1, "nginx"), (11, 10, "a) (b 1"), (12, 11, "nginx")):
        folder = tmp_path / str(pid)
        (folder / "fd").mkdir(parents=True)
        (folder / "fdinfo").mkdir()
        (folder / "comm").write_text(f"{name}\n")
        (folder / "stat").write_text(f"{pid} ({name}) S {parent} 10 10 0 -1 4194560 1")
        (folder / "fd/3").symlink_to(f"socket:[{LISTENER}]")
        (folder / "fd/0").symlink_to("/dev/null")
        (folder / "fd/5").symlink_to("socket:[1]")
    (tmp_path / "11/fd/6").symlink_to("anon_inode:[eventpoll]")
    (tmp_path / "11/fdinfo/6").write_text(FDINFO)
    return tmp_path


def test_every_holder_is_found(proc):
    seen = holders.look({LISTENER}, proc=proc)
    assert seen.holders == [
        Holder(10, "nginx", 3, LISTENER),
        Holder(11, "a) (b 1", 3, LISTENER),
        Holder(12, "nginx", 3, LISTENER),
    ]
    assert seen.hidden == []


def test_only_the_processes_asked_for_are_looked_at(proc):
    assert {h.pid for h in holders.look({LISTENER}, [12], proc).holders} == {12}


def test_an_epoll_set_tells_events_and_only_the_sockets_meant(proc):
    [item] = holders.look({LISTENER}, proc=proc).epoll_items
    assert item == EpollItem(11, "a) (b 1", 6, 3, LISTENER, 0x90000019)
    assert holders.modes(item.events) == ["exclusive", "edge"]


def test_modes_of_the_other_bits():
    assert holders.modes(1) == []
    assert holders.modes(1 << 30 | 1) == ["oneshot"]


def test_descendants_whatever_their_names(proc):
    assert sorted(holders.family(10, proc)) == [10, 11, 12]
    assert sorted(holders.family(11, proc)) == [11, 12]


def test_what_has_ended_is_left_out(proc):
    assert holders.look({LISTENER}, [13], proc) == holders.Seen()
    assert holders.comm(13, proc) == ""
    (proc / "11/fdinfo/6").unlink()
    assert holders.look({LISTENER}, [11], proc).epoll_items == []


def test_what_may_not_be_seen_is_said(proc, monkeypatch):
    real = os.scandir

    def refuse(path):
        if str(path).endswith("11/fd"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    seen = holders.look({LISTENER}, proc=proc)
    assert seen.hidden == [11]
    assert {h.pid for h in seen.holders} == {10, 12}
