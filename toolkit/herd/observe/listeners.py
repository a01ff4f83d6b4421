"""The listening sockets of a network namespace, as the kernel tells them (sock_diag(7), as for ``ss``)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from herd.errors import UsageError
from herd.observe import holders, netns
from herd.observe.targets import Target, endpoint

_LISTEN: Final = 10  # TCP_LISTEN, include/net/tcp_states.h; a Unix-domain socket says so, too
_SHOW_NAME_FILE_QUEUE: Final = 0x01 | 0x02 | 0x10  # UDIAG_SHOW_*, include/uapi/linux/unix_diag.h


@dataclass(frozen=True)
class Listener:
    """A listening socket."""

    cookie: int
    inode: int
    family: str  #: ``inet``, ``inet6`` or ``unix``
    address: str  #: IP address or path; an abstract name begins with ``@``
    port: int | None  #: of a Unix-domain socket: ``None``
    backlog: int
    queue: int  #: connections that wait to be accepted
    netns: int  #: inode of its network namespace

    @property
    def name(self) -> str:
        """``127.0.0.1:80``, ``[::]:80``, ``unix:/run/server.sock``."""
        return f"unix:{self.address}" if self.port is None else endpoint(self.address, self.port)


def listening() -> list[Listener]:
    """All that listen in this thread's network namespace: TCP over IPv4 and IPv6, Unix-domain."""
    # pyroute2 runs asyncio's loop, and a notebook's thread already does that: a thread of its own looks,
    # which shares the namespace of the thread that starts it.
    with ThreadPoolExecutor(1, "herd-listening") as pool:
        return pool.submit(_ask_kernel).result()


def _ask_kernel() -> list[Listener]:
    from pyroute2 import DiagSocket  # 0.1 s that `herd --help` should not pay

    here = netns.inode("thread-self")
    with DiagSocket() as diag:
        return [
            *(
                _inet(message, family, here)
                for family in (socket.AF_INET, socket.AF_INET6)
                for message in diag.get_sock_stats(family=family, states=1 << _LISTEN)
            ),
            *(
                _unix(message, here)
                for message in diag.get_sock_stats(
                    family=socket.AF_UNIX, states=1 << _LISTEN, show=_SHOW_NAME_FILE_QUEUE
                )
            ),
        ]


def find(target: Target) -> list[Listener]:
    """The listening sockets that are meant, at least one.

    With ``pid`` they are looked for in that process's network namespace, else in this one.

    :raises UsageError: there is none, or no such process; the message lists those that there are
    :raises HostError: this user may not look there
    """
    if target.pid is None:
        there = listening()
        found = [listener for listener in there if _meant(target, listener)]
    else:
        there = netns.inside(target.pid, listening)
        found = list(_held(target.pid, there))
    if not found:
        raise _nobody(target, there)
    return found


def _meant(target: Target, listener: Listener) -> bool:
    if target.path is not None:
        return listener.port is None and listener.address == target.path
    return listener.port == target.port and (
        target.address is None or _same(target.address, listener.address)
    )


def _same(one: str, other: str) -> bool:
    # Parsed: an IPv4-mapped address can be written in two ways.
    return ipaddress.ip_address(one) == ipaddress.ip_address(other)


def _held(pid: int, there: list[Listener]) -> Iterator[Listener]:
    seen = holders.look({listener.inode for listener in there}, holders.family(pid))
    held = {holder.inode for holder in seen.holders}
    return (listener for listener in there if listener.inode in held)


def _nobody(target: Target, there: list[Listener]) -> UsageError:
    message = f"nothing listens on {target}"
    if not there:
        return UsageError(message, "nothing at all listens in that network namespace")
    seen = holders.look({listener.inode for listener in there})
    holder_of = {holder.inode: holder for holder in seen.holders}
    listed = "; ".join(_listed(listener, holder_of.get(listener.inode)) for listener in there)
    unseen = " (whose the others are takes root to see)" if seen.hidden else ""
    return UsageError(message, f"there are: {listed}{unseen}")


def _listed(listener: Listener, holder: holders.Holder | None) -> str:
    return f"{listener.name} ({holder.comm} {holder.pid})" if holder else listener.name


def _inet(message: Any, family: socket.AddressFamily, here: int) -> Listener:
    return Listener(
        cookie=message["idiag_cookie"],
        inode=message["idiag_inode"],
        family="inet6" if family == socket.AF_INET6 else "inet",
        address=message["idiag_src"],
        port=message["idiag_sport"],
        backlog=message["idiag_wqueue"],
        queue=message["idiag_rqueue"],
        netns=here,
    )


def _unix(message: Any, here: int) -> Listener:
    attributes = dict(message["attrs"])
    queue = attributes["UNIX_DIAG_RQLEN"]
    return Listener(
        cookie=message["udiag_cookie"],
        inode=message["udiag_ino"],
        family="unix",
        address=_path(attributes),
        port=None,
        backlog=queue["udiag_wqueue"],
        queue=queue["udiag_rqueue"],
        netns=here,
    )


def _path(attributes: dict[str, Any]) -> str:
    name = attributes.get("UNIX_DIAG_NAME", "")
    text = name if isinstance(name, str) else name.decode(errors="backslashreplace")
    # An abstract name's first byte is 0, which the library drops; only a path has an inode.
    return text if "UNIX_DIAG_VFS" in attributes else f"@{text}"
