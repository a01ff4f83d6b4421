"""What a user points at: ``:PORT``, ``ADDRESS:PORT``, ``unix:PATH`` or a process."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from herd.errors import UsageError

_HINT = "write :80, 127.0.0.1:80, [::1]:80, unix:/run/server.sock, unix:@abstract or --pid PID"


@dataclass(frozen=True)
class Target:
    """Which listening sockets are meant; what is ``None`` doesn't matter."""

    port: int | None = None
    address: str | None = None  #: as :mod:`ipaddress` writes it
    path: str | None = None  #: of a Unix-domain socket; an abstract name begins with ``@``
    pid: int | None = None  #: what this process and its descendants hold

    def __str__(self) -> str:
        if self.pid is not None:
            return f"--pid {self.pid}"
        if self.path is not None:
            return f"unix:{self.path}"
        return endpoint(self.address or "", self.port)


def endpoint(address: str, port: int | None) -> str:
    """``127.0.0.1:80`` or ``[::1]:80``."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def parse(text: str | None, pid: int | None = None) -> Target:
    """A command's argument and its ``--pid``, of which one must be given.

    :raises UsageError: neither, both, or not understood
    """
    if (text is None) == (pid is None):
        raise UsageError("say which sockets: one target or --pid", _HINT)
    if text is None:
        return Target(pid=pid)
    if text.startswith("unix:"):
        return Target(path=_path(text))
    address, colon, port = text.rpartition(":")
    if not colon:
        raise UsageError(f"not a target: {text!r}", _HINT)
    return Target(port=_port(text, port), address=_address(text, address))


def _path(text: str) -> str:
    path = text.removeprefix("unix:")
    if path in ("", "@"):
        raise UsageError(f"{text!r} names no socket", _HINT)
    return path


def _port(text: str, port: str) -> int:
    # isascii: str.isdecimal is true of other scripts' digits, too.
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        raise UsageError(f"{text!r}: a port is a number from 1 to 65535", _HINT)
    return int(port)


def _address(text: str, address: str) -> str | None:
    if not address:
        return None
    bracketed = address.startswith("[") and address.endswith("]")
    try:
        parsed = ipaddress.ip_address(address[1:-1] if bracketed else address)
    except ValueError:
        raise UsageError(f"{text!r}: {address!r} is no IP address", _HINT) from None
    if bracketed != (parsed.version == 6):
        raise UsageError(f"{text!r}: an IPv6 address, and no other, stands in brackets", _HINT)
    return str(parsed)
