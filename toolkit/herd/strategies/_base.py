"""What a strategy is, and what it is given."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

from herd.families import find
from herd.options import Option


@dataclass(frozen=True)
class Prediction:
    """What a strategy should show with idle workers, written before it is run.

    :param low: fewest wakeups per connection that agree with the prediction
    :param expected: wakeups per connection
    :param high: most wakeups per connection that agree with it
    :param who: which workers wake
    :param why: the kernel's reason, with file and function
    """

    low: float
    expected: float
    high: float
    who: str
    why: str

    @classmethod
    def exactly(cls, expected: float, who: str, why: str) -> Prediction:
        """A prediction that holds within 2 %, which leaves room for a stray overlap of arrivals."""
        return cls(expected * 0.98, expected, expected * 1.02, who, why)


@dataclass(frozen=True)
class Listen:
    """Where a run listens.

    :param host: a loopback address, or the name of a unix socket
    :param port: 0 for a free one; a unix socket has none
    :param backlog: of ``listen(2)``; the kernel caps it at ``net.core.somaxconn``
    :param family: one of ``herd.families.FAMILIES``
    """

    host: str
    port: int
    backlog: int
    family: str = "inet"

    def __str__(self) -> str:
        return find(self.family).where(self.host, self.port)

    def on(self, sock: socket.socket) -> Listen:
        """The same, on the port that this socket got."""
        return replace(self, port=find(self.family).port(sock))

    def bound(self, *, reuseport: bool = False) -> socket.socket:
        """A bound socket that doesn't listen yet."""
        family = find(self.family)
        sock = socket.socket(family.number, socket.SOCK_STREAM)
        # Restart at once on a port with connections in TIME_WAIT; a live listener still refuses us.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuseport:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            sock.bind(family.address(self.host, self.port))
        except OSError:
            sock.close()
            raise
        return sock

    def listening(self, *, reuseport: bool = False) -> socket.socket:
        """A listening socket."""
        sock = self.bound(reuseport=reuseport)
        sock.listen(self.backlog)
        return sock


class Server(Protocol):
    """What a worker offers to the strategy that runs in it (``herd.pool.worker.Worker``)."""

    index: int
    workers: int
    listen: Listen
    listener: socket.socket
    work_us: float
    hold_s: float

    def accept(self) -> bool:
        """Accept one connection and serve it; ``False`` if there was none (EAGAIN)."""

    def drain(self, take: Callable[[], socket.socket | None] | None = None) -> None:
        """Accept and serve what is there, up to ``--batch`` connections.

        :param take: accepts one connection; by default :meth:`take`
        """

    def take(self) -> socket.socket | None:
        """Accept one connection, to be given to :meth:`handle`; ``None`` if there was none."""

    def accepted(self, peer: Any) -> None:
        """Write down a connection that was accepted without :meth:`take`.

        :param peer: the client's address, as ``getpeername`` tells it
        """

    def failed(self) -> None:
        """Count an accept without :meth:`take` that failed."""

    def handle(self, connection: socket.socket) -> None:
        """Serve a connection."""

    def signalled(self) -> None:
        """Count a signal that told of connections."""

    def timeout(self) -> float | None:
        """Seconds until a held connection must be closed; ``None`` without one."""

    def close_due(self) -> None:
        """Close the held connections whose time has come."""


class Strategy:
    """One way to wait for connections.

    A worker is made by ``fork``, or is a thread; :meth:`prepare` runs in it once, :meth:`serve` until it is
    stopped.

    :param chosen: by the name of the option; what isn't in it has its default
    """

    name: ClassVar[str]
    summary: ClassVar[str]  #: one line
    #: A worker that blocks in accept can't watch the clock: it sleeps while it holds a connection.
    blocks_in_accept: ClassVar[bool] = False
    #: The last worker begins to wait first.
    waits_in_reverse: ClassVar[bool] = False
    #: Workers write down what they accept. One that doesn't (it runs somebody else's program) is known by
    #: the probe alone, and SIGTERM itself may end it.
    logs: ClassVar[bool] = True
    #: What a client sends; it is answered by any bytes, and the connection is closed.
    request: ClassVar[bytes] = b""
    #: It waits on nothing but a descriptor, and takes with ``accept`` or ``drain``: a pipe will do, too.
    waits_on_pipes: ClassVar[bool] = False
    options: ClassVar[tuple[Option, ...]] = ()

    def __init__(self, chosen: Mapping[str, str] | None = None) -> None:
        self.chosen = {option.name: option.default for option in self.options} | dict(chosen or {})

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """What should be seen with ``workers`` idle workers and every option at its default."""
        raise NotImplementedError

    def prediction(self, workers: int) -> Prediction:
        """The same with what was chosen: overridden where an option changes what should be seen."""
        return self.predict(workers)

    @classmethod
    def unavailable(cls) -> str | None:
        """Why it cannot run on this host (tried, not guessed), or ``None`` if it can."""
        return None

    def why_not_threads(self) -> str | None:
        """Why workers that are threads of one process can't run it, with what was chosen, or ``None``.

        Each thread has a copy of the strategy as :meth:`open` left it.
        """
        return None

    @classmethod
    def unsuited(cls, family: str) -> str | None:
        """Why it can't wait on sockets of a family (``inet``, ``inet6``, ``unix``), or ``None`` if it can."""
        return None

    @classmethod
    def check(cls, chosen: Mapping[str, str]) -> None:
        """Look at what was chosen, before anything is started.

        :param chosen: a value for each option
        :raises UsageError: it can't be used
        """

    def bereaved(self) -> str | None:
        """Why the others may wait for ever once a worker was killed; ``None`` if they go on."""
        return None

    def open(self, listen: Listen) -> socket.socket:
        """In the parent, before any fork: the socket that the workers inherit.

        Its port is the run's port. By default it listens, and all workers share it.
        """
        return listen.listening()

    def prepare(self, server: Server) -> None:
        """In the worker, once it is there; what it waits on is registered here, in worker order."""

    def serve(self, server: Server) -> None:
        """In the worker: wait, accept, serve, until the worker is stopped."""
        raise NotImplementedError

    def close(self) -> None:
        """In the parent, after the workers have ended: remove what would outlive them."""
