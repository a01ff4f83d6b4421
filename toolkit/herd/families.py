"""The address families that a run can listen in: all in which they differ is here."""

from __future__ import annotations

import ipaddress
import os
import random
import socket
import struct
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from herd.discover import unknown
from herd.errors import UsageError

_IPV4_SOURCES: Final = 16
_LOOPBACK_ONLY: Final = "herd sends its load to 127.0.0.0/8 or ::1 only"


class Family:
    """How sockets of one family are addressed."""

    name: ClassVar[str]
    number: ClassVar[socket.AddressFamily]
    #: Whether clients need ports, and the kernel's counters of TCP tell what became of them.
    tcp: ClassVar[bool]

    def host(self, asked: str | None, port: int) -> str | None:
        """Where a run listens: the host that was asked for, else the family's own; ``None``: it has none.

        :raises UsageError: this family has no such host or port
        """
        raise NotImplementedError

    def address(self, host: str, port: int) -> Any:
        """What ``bind`` and ``connect`` take."""
        raise NotImplementedError

    def where(self, host: str, port: int) -> str:
        """The same, for people."""
        raise NotImplementedError

    def port(self, sock: socket.SocketType) -> int:
        """The port that a socket is bound to; 0 where there are none."""
        raise NotImplementedError

    def sockaddr(self, address: Any) -> bytes:
        """What they take in C: ``struct sockaddr_in`` and so on."""
        raise NotImplementedError

    def sources(self, seed: int) -> list[str]:
        """The addresses to connect from."""
        raise NotImplementedError

    def pack(self, address: Any) -> tuple[bytes, int]:
        """The last four bytes of a client's address, and its port, as the logs keep them."""
        raise NotImplementedError

    def text(self, packed: int) -> str | None:
        """What four such bytes mean; ``None`` where clients have no address."""
        raise NotImplementedError


class Inet(Family):
    """TCP over IPv4."""

    name = "inet"
    number = socket.AF_INET
    tcp = True
    _loopback: ClassVar[str] = "127.0.0.1"
    _version: ClassVar[int] = 4

    def host(self, asked: str | None, port: int) -> str:
        """A loopback address."""
        if asked is None:
            return self._loopback
        try:
            address = ipaddress.ip_address(asked)
        except ValueError:
            address = None
        if address is None or not address.is_loopback:
            raise UsageError(f"{asked!r} is not a loopback address", _LOOPBACK_ONLY)
        if address.version != self._version:
            raise UsageError(
                f"--host {asked} is not an address of --family {self.name}",
                "leave one of them out: the one follows from the other",
            )
        return asked

    def address(self, host: str, port: int) -> tuple[str, int]:
        """Both."""
        return host, port

    def where(self, host: str, port: int) -> str:
        """Both."""
        return f"{host} port {port}"

    def port(self, sock: socket.SocketType) -> int:
        """Its own, or the one that the kernel chose."""
        return int(sock.getsockname()[1])

    def sockaddr(self, address: tuple[str, int]) -> bytes:
        """Family, port, address, zeros."""
        return struct.pack("=H", self.number) + self._in_network_order(*address)

    def _in_network_order(self, host: str, port: int) -> bytes:
        return struct.pack("!H4s8x", port, socket.inet_pton(self.number, host))

    def sources(self, seed: int) -> list[str]:
        """16 of 127.0.0.0/8, chosen by the seed."""
        choice = random.Random(seed)
        return [f"127.0.0.{last}" for last in choice.sample(range(2, 255), _IPV4_SOURCES)]

    def pack(self, address: Any) -> tuple[bytes, int]:
        """All of an IPv4 address."""
        return socket.inet_pton(self.number, address[0])[-4:], address[1]

    def text(self, packed: int) -> str:
        """With dots."""
        return socket.inet_ntoa(packed.to_bytes(4, "big"))


class Inet6(Inet):
    """TCP over IPv6, whose loopback range has just one address."""

    name = "inet6"
    number = socket.AF_INET6
    _loopback = "::1"
    _version = 6

    def sources(self, seed: int) -> list[str]:
        """The only one there is."""
        return [self._loopback]

    def _in_network_order(self, host: str, port: int) -> bytes:
        """With flow before the address, and scope after it."""
        return struct.pack("!H4x16s4x", port, socket.inet_pton(self.number, host))

    def text(self, packed: int) -> str:
        """The first twelve bytes of a loopback address are 0."""
        return f"::{packed:x}"


class Unix(Family):
    """Streams on an abstract address, which leaves no file behind; clients have no name."""

    name = "unix"
    number = socket.AF_UNIX
    tcp = False

    def host(self, asked: str | None, port: int) -> None:
        """There is nothing to ask for."""
        if asked is not None or port:
            raise UsageError(
                "--family unix has neither host nor port: herd chooses an abstract name",
                f"leave out --{'port' if asked is None else 'host'}",
            )

    def address(self, host: str, port: int) -> str:
        """The name."""
        return host

    def where(self, host: str, port: int) -> str:
        """The name, as ``ss -xl`` writes it."""
        return host.replace("\0", "@")

    def port(self, sock: socket.SocketType) -> int:
        """None."""
        return 0

    def sockaddr(self, address: str) -> bytes:
        """Family and name; a path ends with a 0."""
        path = b"" if address.startswith("\0") else b"\0"
        return struct.pack("=H", self.number) + os.fsencode(address) + path

    def sources(self, seed: int) -> list[str]:
        """The name of a socket that has none."""
        return [""]

    def pack(self, address: str) -> tuple[bytes, int]:
        """An unnamed socket has nothing to keep."""
        return bytes(4), 0

    def text(self, packed: int) -> None:
        """Nor to tell."""


INET: Final = Inet()
FAMILIES: Final[dict[str, Family]] = {family.name: family for family in (INET, Inet6(), Unix())}


def find(name: str) -> Family:
    """The family called ``name``.

    :raises UsageError: there is none
    """
    if name not in FAMILIES:
        raise unknown("family", name, list(FAMILIES))
    return FAMILIES[name]


def of(config: Mapping[str, Any]) -> Family:
    """The family of a run, from its recording; one that doesn't say was made when there was TCP only."""
    return find(config.get("family", INET.name))


def mention(config: Mapping[str, Any]) -> str:
    """A word for a run's title, or none for the family that everybody expects."""
    family = of(config)
    return "" if family is INET else f" on {family.name} sockets"


def choose(name: str | None, host: str | None) -> Family:
    """The family that was asked for; if none was, that of the host."""
    return find(name or ("inet6" if ":" in (host or "") else "inet"))


def abstract_name() -> str:
    """A name for a unix socket that no other run has; ``ss -xl`` shows it with an @."""
    return f"\0herd-{os.getpid()}-{os.urandom(4).hex()}"
