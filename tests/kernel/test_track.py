"""Whom the probes track: a worker's place is its own, and free again when its task has ended."""

from __future__ import annotations

import contextlib
import os
import threading

import pytest

from herd.errors import HerdError
from herd.probes.btf import Btf
from herd.probes.modes.light import Light
from herd.probes.session import Session

pytestmark = pytest.mark.kernel

ROOM = 8


@pytest.fixture
def session():
    with contextlib.closing(Session(Light, Btf.vmlinux(), ROOM, follow=True)) as session:
        session.begin()
        yield session


def forks(count: int) -> None:
    """Children, one after the other."""
    for _ in range(count):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)


def test_more_workers_than_there_is_room_for_are_refused(session):
    tids = list(range(2, 2 + ROOM))
    session.watch(tids, [])
    session.watch(tids, [])  # known already: they take no more room
    with pytest.raises(HerdError, match=f"room for {ROOM} workers"):
        session.watch([2 + ROOM], [])
    session.end()
    session.begin()
    session.watch([2 + ROOM], [])


def test_children_take_the_places_of_those_that_ended(session):
    session.watch([os.getpid()], [])
    forks(20 * ROOM)
    assert session.end()["unfollowed"] == 0


def test_children_for_whom_there_is_no_room_are_counted(session):
    session.watch([os.getpid()], [])
    enough = threading.Event()
    threads = [threading.Thread(target=enough.wait) for _ in range(ROOM + 2)]
    for thread in threads:
        thread.start()
    enough.set()
    for thread in threads:
        thread.join()
    forks(1)  # by now there is room again
    assert session.end()["unfollowed"] == 3
