"""The assembler against LLVM's encodings, and what is said of a program that is refused."""

from __future__ import annotations

import errno
import platform
import sys

import pytest

from herd import assembler, bpf
from herd.assembler import R0, R1, R2, R3, R5, R6, R7, R8, R9, R10
from herd.strategies import reuseport_ebpf

little = pytest.mark.skipif(sys.byteorder != "little", reason="the encodings are little-endian")

#: By llvm-mc -triple bpfel -mcpu=v3 -show-encoding, but for %= and the atomic, which its dialect lacks:
#: those two by `bpftool prog dump xlated`.
KNOWN = {
    "r6 = r1": (assembler.do(R6, "=", R1), "bf16000000000000"),
    "r0 = 1": (assembler.do(R0, "=", 1), "b700000001000000"),
    "r9 = -1": (assembler.do(R9, "=", -1), "b7090000ffffffff"),
    "r3 += -4": (assembler.do(R3, "+=", -4), "07030000fcffffff"),
    "r1 <<= 16": (assembler.do(R1, "<<=", 16), "6701000010000000"),
    "r3 -= r5": (assembler.do(R3, "-=", R5), "1f53000000000000"),
    "r3 &= 65535": (assembler.do(R3, "&=", 65535), "57030000ffff0000"),
    "r1 |= r3": (assembler.do(R1, "|=", R3), "4f31000000000000"),
    "r0 %= 2": (assembler.do(R0, "%=", 2), "9700000002000000"),
    "r1 = *(u64 *)(r2 + 8)": (assembler.load(R1, R2, 8), "7921080000000000"),
    "*(u64 *)(r7 + 0) = r9": (assembler.store(R7, 0, R9), "7b97000000000000"),
    "*(u32 *)(r10 - 4) = r0": (assembler.store(R10, -4, R0, bits=32), "630afcff00000000"),
    "r0 = atomic64_fetch_add((u64 *)(r7 + 0), r0)": (
        assembler.fetch_add(R7, 0, R0),
        "db07000001000000",
    ),
    "r1 == 0": (assembler.jump_if(R1, "==", 0, ""), "1501000000000000"),
    "r1 != 10": (assembler.jump_if(R1, "!=", 10, ""), "550100000a000000"),
    "call 82": (assembler.call(82), "8500000052000000"),
    "exit": (assembler.leave(), "9500000000000000"),
}


@little
@pytest.mark.parametrize("text", KNOWN)
def test_an_instruction_is_encoded_as_llvm_does(text):
    instruction, known = KNOWN[text]
    assert instruction.encoded().hex() == known


@little
def test_an_address_takes_two_instructions():
    """``r1 = 17 ll``, with the kind of address in the place of the second register."""
    assert assembler.assemble(assembler.map_address(R1, 17)).hex() == "1811000011000000" + "00" * 8
    assert (
        assembler.assemble(assembler.value_address(R1, 17)).hex() == "1821000011000000" + "00" * 8
    )


@little
def test_labels_become_distances_forth_and_back():
    """As LLVM has ``if r1 >= r9 goto +1`` and ``if r8 < 1024 goto -9``."""
    nothing = assembler.do(R0, "=", R0)
    forth = [assembler.jump_if(R1, ">=", R9, "there"), nothing, "there", assembler.leave()]
    assert assembler.assemble(forth)[:8].hex() == "3d91010000000000"
    back = ["again", *[nothing] * 8, assembler.jump_if(R8, "<", 1024, "again")]
    assert assembler.assemble(back)[-8:].hex() == "a508f7ff00040000"


def test_a_label_that_is_not_there_is_an_error():
    with pytest.raises(KeyError, match="nowhere"):
        assembler.assemble([assembler.jump_if(R1, "<", 1, "nowhere")])


@pytest.mark.parametrize("policy", reuseport_ebpf.ReuseportEbpf.options[0].choices)
def test_a_program_is_as_long_for_one_worker_as_for_1024(policy):
    one, many = (reuseport_ebpf.program(policy, n, sockets=3, state=4) for n in (1, 1024))
    assert len(one) == len(many) < 64 * 8
    assert one != many


def test_on_a_big_endian_machine_the_registers_change_places(monkeypatch):
    monkeypatch.setattr(sys, "byteorder", "big")
    assert assembler.do(R6, "=", R1).encoded()[:2].hex() == "bf61"


# --- refusals


def test_the_verifiers_reason_is_its_last_line_before_the_statistics():
    log = (
        "0: (95) exit\nR0 !read_ok\nverification time 26 usec\nstack depth 0\n"
        "processed 1 insns (limit 1000000) max_states_per_insn 0 total_states 0\n\n"
    )
    assert bpf.verdict(log) == "R0 !read_ok"
    assert bpf.verdict("") == bpf.verdict("processed 0 insns (limit 1000000)\n") == ""


def test_a_machine_whose_number_of_the_call_is_unknown_is_named(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(OSError, match=r"bpf\(2\) is unknown on pdp11") as caught:
        bpf.create_map("any", 2, value_bytes=8)
    assert caught.value.errno == errno.ENOSYS
