"""``SO_REUSEPORT``, the socket chosen by a classic BPF program: by the CPU that the connection came in on."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from typing import Final

from herd.strategies._base import Prediction, Server
from herd.strategies.reuseport import Reuseport

_SO_ATTACH_REUSEPORT_CBPF: Final = 51
_LOAD_WORD: Final = 0x20
_MODULO: Final = 0x94
_RETURN_A: Final = 0x16
#: SKF_AD_OFF + SKF_AD_CPU: where classic BPF finds the number of the CPU (include/uapi/linux/filter.h).
_CPU: Final = 0xFFFFF000 + 36


def attach(sock: socket.socket, sockets: int) -> None:
    """Choose the socket with number ``CPU mod sockets`` of the group that ``sock`` is in."""
    instructions = [(_LOAD_WORD, 0, 0, _CPU), (_MODULO, 0, 0, sockets), (_RETURN_A, 0, 0, 0)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *i) for i in instructions))
    program = struct.pack("@HP", len(instructions), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)


class ReuseportCbpf(Reuseport):
    """Keeps a connection on the CPU of its softirq, if each worker is pinned to its own."""

    name = "reuseport-cbpf"
    summary = "as reuseport, the socket chosen by classic BPF: number of the CPU modulo workers"

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One wakeup: each queue has one waiter."""
        return Prediction.exactly(
            1.0,
            who=f"worker (CPU of the softirq) mod {workers}",
            why="reuseport_select_sock() runs the program and takes the socket that it names"
            " (net/core/sock_reuseport.c)",
        )

    @classmethod
    def unavailable(cls) -> str | None:
        """Try to attach a program."""
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(("127.0.0.1", 0))
            try:
                attach(sock, 1)
            except OSError as error:
                name = errno.errorcode.get(error.errno or 0, os.strerror(error.errno or 0))
                return f"this kernel refuses SO_ATTACH_REUSEPORT_CBPF: {name}"
        return None

    def prepare(self, server: Server) -> None:
        """Join the group; a socket's number is its place in the order of listening."""
        super().prepare(server)
        attach(server.listener, server.workers)
