"""What only a socket itself tells: a copy of a holder's descriptor (pidfd_getfd(2)) is asked."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from herd.observe.holders import Holder

_PIDFD_GETFD: Final = 438  # on every machine, as all calls since Linux 5.2; this one is of 5.6
_SO_INCOMING_CPU: Final = 49


@dataclass(frozen=True)
class Options:
    """Options of a listening socket that decide who wakes."""

    reuseport: bool
    incoming_cpu: int  #: the CPU whose connections it prefers; -1: none was set
    defer_accept_s: (
        int | None
    )  #: it wakes nobody until data has come; of a Unix-domain socket: ``None``


def read(holders: Iterable[Holder]) -> Options | None:
    """Ask the socket by the first of its holders that can be asked; ``None``: there is none.

    :param holders: of one socket
    """
    for holder in holders:
        try:
            with _copy(holder) as sock:
                return _asked(sock)
        except OSError:  # it isn't ours to look into, or it has ended: another may do
            continue
    return None


def _copy(holder: Holder) -> socket.socket:
    process = os.pidfd_open(holder.pid)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        copied = libc.syscall(_PIDFD_GETFD, process, holder.fd, 0)
        if copied < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(process)
    if os.fstat(copied).st_ino != holder.inode:  # closed meanwhile, and the number given anew
        os.close(copied)
        raise OSError(f"descriptor {holder.fd} of process {holder.pid} is another by now")
    return socket.socket(fileno=copied)


def _asked(sock: socket.socket) -> Options:
    internet = sock.family in (socket.AF_INET, socket.AF_INET6)
    return Options(
        reuseport=bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)),
        incoming_cpu=sock.getsockopt(socket.SOL_SOCKET, _SO_INCOMING_CPU),
        defer_accept_s=sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT)
        if internet
        else None,
    )
