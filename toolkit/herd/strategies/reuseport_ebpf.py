"""``SO_REUSEPORT``, the socket chosen by an eBPF program: BPF_PROG_TYPE_SK_REUSEPORT (Linux 4.19)."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct
from typing import Final

from herd import assembler, bpf
from herd.assembler import R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Instruction
from herd.errors import HostError
from herd.options import Option
from herd.strategies._base import Listen, Prediction, Server
from herd.strategies.reuseport import Reuseport

_SO_ATTACH_REUSEPORT_EBPF: Final = 52
_PROGRAM: Final = 21  # BPF_PROG_TYPE_SK_REUSEPORT
_SOCKETS: Final = 20  # BPF_MAP_TYPE_REUSEPORT_SOCKARRAY
_MMAPABLE: Final = 1 << 10  # BPF_F_MMAPABLE
_RANDOM: Final = 7  # bpf_get_prandom_u32()
_CPU: Final = 8  # bpf_get_smp_processor_id()
_SELECT: Final = 82  # bpf_sk_select_reuseport()
_SK_PASS: Final = 1

#: Room in the maps, which are made before the number of workers is known.
_ROOM: Final = 1024
#: What programs and workers share: whose turn it is, then the load of each worker; 64 bits each.
_TURN: Final = 0
_LOADS: Final = 8
_STATE_BYTES: Final = _LOADS + 8 * _ROOM

Program = list[Instruction | str]


_LOAD, _PLACE, _POINTER, _WHOSE, _WORKERS, _INDEX, _LEAST = R1, R3, R2, R5, R4, R8, R9

#: The least of ``load << 16 | places after the turn``, so that of equals the next in turn is taken. The turn
#: moves on to behind the worker that was chosen: one that did not yet come to say that it is busy is then
#: the last of its equals. Two CPUs that choose at once may choose the same worker.
_LEAST_LOADED: Final[Program] = [
    assembler.load(_WHOSE, R7, _TURN),
    assembler.do(_POINTER, "=", R7),
    assembler.do(_INDEX, "=", 0),
    assembler.do(_LEAST, "=", -1),
    "next",
    assembler.load(_LOAD, _POINTER, _LOADS),
    assembler.do(_LOAD, "<<=", 16),
    assembler.do(_PLACE, "=", _INDEX),
    assembler.do(_PLACE, "-=", _WHOSE),
    assembler.do(_PLACE, "&=", 0xFFFF),  # the workers before the turn come after all others
    assembler.do(_LOAD, "|=", _PLACE),
    assembler.jump_if(_LOAD, ">=", _LEAST, "not less"),
    assembler.do(_LEAST, "=", _LOAD),
    "not less",
    assembler.do(_POINTER, "+=", 8),
    assembler.do(_INDEX, "+=", 1),
    assembler.jump_if(_INDEX, "<", _WORKERS, "next"),
    assembler.do(_LEAST, "+=", _WHOSE),
    assembler.do(_LEAST, "&=", 0xFFFF),
    assembler.do(R0, "=", _LEAST),
    assembler.do(_LEAST, "+=", 1),
    assembler.store(R7, _TURN, _LEAST),
]

#: What leaves a number in r0, which modulo workers is the worker's. They find the state in r7.
_POLICIES: Final[dict[str, Program]] = {
    "cpu": [assembler.call(_CPU)],
    "round-robin": [assembler.do(R0, "=", 1), assembler.fetch_add(R7, _TURN, R0)],
    "random": [assembler.call(_RANDOM)],
    "least-loaded": _LEAST_LOADED,
}


def program(policy: str, workers: int, sockets: int, state: int) -> bytes:
    """The program of a policy.

    Where the chosen worker has no socket (it died), nothing is selected, and the kernel goes by its hash.

    :param sockets: descriptor of the map of the workers' sockets
    :param state: descriptor of the map of turn and loads
    """
    return assembler.assemble(
        [
            assembler.do(R6, "=", R1),
            *assembler.value_address(R7, state),
            assembler.do(_WORKERS, "=", workers),
            *_POLICIES[policy],
            assembler.do(R0, "%=", workers),
            assembler.store(R10, -4, R0, bits=32),
            assembler.do(R1, "=", R6),
            *assembler.map_address(R2, sockets),
            assembler.do(R3, "=", R10),
            assembler.do(R3, "+=", -4),
            assembler.do(R4, "=", 0),
            assembler.call(_SELECT),
            assembler.do(R0, "=", _SK_PASS),
            assembler.leave(),
        ]
    )


class Chooser:
    """The maps of one group of sockets, and its program.

    Nothing of it has a name in a file system: it goes with the processes that hold its descriptors.

    :raises OSError: the kernel refuses a map
    """

    def __init__(self) -> None:
        with contextlib.ExitStack() as undo:
            self._sockets = bpf.create_map("herd_sockets", _SOCKETS, value_bytes=8, entries=_ROOM)
            undo.callback(os.close, self._sockets)
            self._state = bpf.create_map(
                "herd_state", bpf.ARRAY, value_bytes=_STATE_BYTES, flags=_MMAPABLE
            )
            undo.callback(os.close, self._state)
            memory = undo.enter_context(mmap.mmap(self._state, _STATE_BYTES))
            self._words = undo.enter_context(memoryview(memory).cast("Q"))
            #: Let go of the maps.
            self.close = undo.pop_all().close

    def attach(self, sock: socket.socket, policy: str, workers: int) -> None:
        """Let the program of ``policy`` choose in the group that ``sock`` is in.

        :raises OSError: the kernel refuses it; the text has the verifier's reason
        """
        code = program(policy, workers, self._sockets, self._state)
        loaded = bpf.load(_PROGRAM, code, name="herd_reuseport")
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_EBPF, loaded)
        finally:
            os.close(loaded)  # the group holds it

    def put(self, sock: socket.socket, index: int) -> None:
        """Make a listening socket the one with this number; the kernel takes it out when it closes."""
        bpf.update(self._sockets, struct.pack("=I", index), struct.pack("=Q", sock.fileno()))

    def set_load(self, index: int, connections: int) -> None:
        """Say how many connections a worker has; a write to memory, no system call."""
        self._words[_LOADS // 8 + index] = connections


class ReuseportEbpf(Reuseport):
    """The program sees what a hash does not: whose turn it is, or who is busy (as Hermes, SIGCOMM 2025)."""

    name = "reuseport-ebpf"
    summary = "as reuseport, the socket chosen by an eBPF program, by --policy"
    options = (Option("policy", tuple(_POLICIES), "How reuseport-ebpf chooses the worker."),)

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One wakeup: each queue has one waiter."""
        return Prediction.exactly(
            1.0,
            who=f"by --policy: worker (CPU of the softirq) mod {workers}; in turn; at random;"
            " or the least loaded, in turn among equals",
            why="reuseport_select_sock() runs the program (net/core/sock_reuseport.c) and takes the socket"
            " that it found by sk_select_reuseport() (net/core/filter.c)",
        )

    @classmethod
    def unavailable(cls) -> str | None:
        """Try to attach a program and to put a socket into its map."""
        try:
            chooser = Chooser()
        except OSError as error:
            return f"this kernel refuses the maps of its eBPF program: {error.strerror}"
        try:
            with Listen("127.0.0.1", 0, 1).listening(reuseport=True) as sock:
                chooser.attach(sock, next(iter(_POLICIES)), 1)
                chooser.put(sock, 0)
        except OSError as error:
            return f"this kernel refuses its eBPF program: {error.strerror}"
        finally:
            chooser.close()
        return None

    def open(self, listen: Listen) -> socket.socket:
        """Make the maps that the workers inherit, and hold the port."""
        try:
            self._chooser = Chooser()
        except OSError as error:
            raise HostError(f"cannot make the maps of reuseport-ebpf: {error.strerror}") from error
        return super().open(listen)

    def prepare(self, server: Server) -> None:
        """Listen, and put the socket into the map; the first worker gives the group its program."""
        super().prepare(server)
        if server.index == 0:
            self._attach(server)
        self._chooser.put(server.listener, server.index)

    def _attach(self, server: Server) -> None:
        policy = self.chosen["policy"]
        try:
            self._chooser.attach(server.listener, policy, server.workers)
        except OSError as error:
            raise HostError(
                f"the kernel refuses the program of --policy {policy} for {server.workers} workers:"
                f" {error.strerror}"
            ) from error

    def serve(self, server: Server) -> None:
        """Accept forever, and say when busy."""
        while True:
            connection = server.take()
            if connection is not None:
                self._chooser.set_load(server.index, 1)
                server.handle(connection)
                self._chooser.set_load(server.index, 0)
