"""Who a process is and who its relatives are, from a made-up /proc."""

from __future__ import annotations

import pytest

from herd.observe.processes import Process, related


@pytest.fixture
def proc(tmp_path):
    """init, a daemon with two workers, one of which has a child, and a stranger."""
    parents = {1: 0, 50: 1, 51: 50, 52: 50, 53: 52, 70: 1}
    for pid, parent in parents.items():
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "comm").write_text("a (b) c\n")
        (folder / "stat").write_text(f"{pid} (a (b) c) S {parent} {pid} {pid} 0\n")
        (folder / "cmdline").write_bytes(b"server\0--port=80\0" if pid == 50 else b"")
    (tmp_path / "50" / "exe").symlink_to("/usr/bin/server (deleted)")
    return tmp_path


def test_a_process_comes_with_its_parent_and_its_descendants(proc):
    assert set(related([50], proc)) == {1, 50, 51, 52, 53}
    assert set(related([53], proc)) == {52, 53}
    assert set(related([51, 70], proc)) == {1, 50, 51, 70}


def test_that_init_holds_a_socket_makes_no_relatives(proc):
    assert set(related([1, 51], proc)) == {1, 50, 51}


def test_what_is_told_of_it(proc):
    assert related([50], proc)[50] == Process(50, 1, "a (b) c", "server", ("server", "--port=80"))
    assert related([53], proc)[53] == Process(53, 52, "a (b) c", None, ("",))


def test_one_that_has_ended_is_left_out(proc):
    assert related([99], proc) == {}
