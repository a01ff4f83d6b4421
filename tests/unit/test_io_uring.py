"""Whether a host lets an accept be left to a ring, and what its kernel tells of it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from herd.probes import io_uring
from herd.process import environment
from herd.strategies import find, names

BOTH = ("io-uring", "io-uring-multishot")
#: A liburing whose ring is refused, as the C library's errors reach Python.
REFUSING = """
import os
class Ring: pass
class Cqe: pass
io_uring_prep_accept = io_uring_prep_multishot_accept = None
def io_uring_queue_init(entries, ring):
    raise OSError({errno}, os.strerror({errno}))
"""


@pytest.fixture
def liburing(tmp_path, monkeypatch):
    """Puts another liburing before the one that may be installed."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "liburing.py"


@pytest.mark.parametrize("name", BOTH)
def test_a_missing_liburing_is_said_with_how_to_get_it(name, liburing):
    liburing.write_text("import there_is_no_such_module")
    why = find(name).unavailable()
    assert "liburing cannot be imported (No module named 'there_is_no_such_module')" in why
    assert why.endswith("pip install 'herd[io-uring]'")


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("errno", "words"), [(1, "Operation not permitted"), (38, "Function not implemented")]
)
def test_a_kernel_that_refuses_a_ring_is_quoted(name, errno, words, liburing):
    liburing.write_text(REFUSING.format(errno=errno))
    assert find(name).unavailable().startswith(f"this kernel refuses a ring: {words}")


@pytest.mark.parametrize("name", BOTH)
def test_a_liburing_of_another_cpu_ends_its_own_process_only(name, liburing):
    liburing.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    assert find(name).unavailable().endswith("built for another CPU: illegal instruction")


@pytest.mark.parametrize("name", BOTH)
def test_what_else_goes_wrong_is_said_in_its_last_line(name, liburing):
    liburing.write_text("raise RuntimeError('broken in a new way')")
    assert find(name).unavailable() == "trying it failed: RuntimeError: broken in a new way"


def test_looking_at_the_strategies_doesnt_import_liburing():
    code = (
        "import sys, herd; from herd import strategies, cli\n"
        "strategies.options(); [strategies.find(n).predict(2) for n in strategies.names()]\n"
        "print('liburing' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
    assert set(BOTH) <= set(names())


# --- what a kernel tells of a ring


class Kernel:
    """What BTF says of a kernel.

    :param arguments: of its tracepoints, by name
    :param offsets: of members, by ``struct.member``
    """

    def __init__(self, arguments: dict[str, int], offsets: dict[str, int]) -> None:
        self._arguments = arguments
        self._offsets = offsets

    def tracepoint_arguments(self, name: str) -> int | None:
        return self._arguments.get(name)

    def offset(self, struct: str, member: str) -> int | None:
        return self._offsets.get(f"{struct}.{member}")


REQUEST = {"io_kiocb.opcode": 8, "io_kiocb.ctx": 88, "io_kiocb.cqe.user_data": 72}
COMPLETION = {"io_uring_cqe.user_data": 0, "io_uring_cqe.res": 8, "io_uring_cqe.flags": 12}
THERE: dict[str, Any] = {"io_ring_ctx.refs": 0} | REQUEST | COMPLETION


def kernel(complete: int, file_get: int = 2, offsets: dict[str, int] = THERE) -> Any:
    return Kernel({"io_uring_complete": complete, "io_uring_file_get": file_get}, offsets)


def test_a_completion_is_read_from_the_arguments_or_from_what_they_point_to():
    flat, pointed = io_uring.defines(kernel(7)), io_uring.defines(kernel(3))
    assert flat["COMPLETED_RESULT(ctx)"] == "(ctx)->args[3]"
    assert pointed["COMPLETED_RESULT(ctx)"] == "KREAD(s32, (ctx)->args[2], 8)"
    assert pointed["COMPLETED_USER_DATA(ctx)"] == "KREAD(u64, (ctx)->args[2], 0)"
    assert pointed["COMPLETED_FLAGS(ctx)"] == "KREAD(u32, (ctx)->args[2], 12)"
    for found in (flat, pointed):
        assert (found["IO_URING"], found["REQ_OPCODE"], found["REQ_CTX"]) == ("1", "8", "88")
    assert io_uring.notes(kernel(7)) == io_uring.notes(kernel(3)) == []


@pytest.mark.parametrize(
    "older",
    [
        kernel(7, file_get=4),  # 5.19: the request is no io_kiocb
        kernel(3, offsets={"io_ring_ctx.refs": 0}),  # 5.10: three arguments, others
        kernel(5),
    ],
)
def test_a_kernel_that_tells_otherwise_is_not_guessed_at(older):
    assert io_uring.defines(older) == {}
    [note] = io_uring.notes(older)
    assert "accepts in an io_uring are not seen" in note


def test_a_kernel_without_io_uring_lacks_nothing():
    none = Kernel({}, {})
    assert io_uring.defines(none) == {}
    assert io_uring.notes(none) == []
