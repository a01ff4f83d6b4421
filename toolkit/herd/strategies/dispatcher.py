"""One worker accepts and passes each connection to another, as a descriptor (``SCM_RIGHTS``)."""

from __future__ import annotations

import array
import mmap
import os
import socket

from herd.options import Option
from herd.strategies._base import Listen, Prediction, Server, Strategy


class Dispatcher(Strategy):
    """Only worker 0 waits for connections; the others, for what it gives them."""

    name = "dispatcher"
    summary = "worker 0 accepts and passes descriptors to the others (SCM_RIGHTS)"
    blocks_in_accept = True
    options = (
        Option(
            "policy",
            ("round-robin", "least-connections"),
            "Strategy dispatcher: in turn, or who has the fewest; of equals the first.",
        ),
    )

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One by the arrival; the handoff's own is counted apart."""
        return Prediction.exactly(
            1.0,
            who="always worker 0; a handoff wakes whoever gets the connection, and is counted apart",
            why="only one worker waits for the listener (do_accept(), net/socket.c); the others"
            " sleep in recvmsg, each on a socket of its own (unix_dgram_sendmsg(), net/unix/af_unix.c)",
        )

    def bereaved(self) -> str | None:
        """Without the dispatcher there are none."""
        return "only worker 0 accepts, and nobody takes its place"

    def open(self, listen: Listen) -> socket.socket:
        """Listen, and make what all inherit: a name for the workers' sockets, and a page to count on."""
        self.name_of_all = f"\0herd-dispatcher-{os.urandom(8).hex()}"
        self.counters = os.memfd_create("herd-dispatcher")
        return super().open(listen)

    def prepare(self, server: Server) -> None:
        """A socket of this worker's own; the kernel removes its name, which is in no file system."""
        os.ftruncate(self.counters, 8 * server.workers)
        #: Connections served, by worker; each writes its own only.
        self.served = memoryview(mmap.mmap(self.counters, 8 * server.workers)).cast("Q")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self._address(server.index))

    def _address(self, worker: int) -> str:
        return f"{self.name_of_all}-{worker}"

    def serve(self, server: Server) -> None:
        """Worker 0 dispatches, the others serve."""
        if server.index == 0:
            self._dispatch(server)
        else:
            self._serve_given(server)

    def _dispatch(self, server: Server) -> None:
        self.others = list(range(1, server.workers))
        self.given = [0] * server.workers
        self.turn = -1
        while True:
            connection = server.take()
            if connection is not None and not self._hand_over(connection):
                server.handle(connection)

    def _hand_over(self, connection: socket.socket) -> bool:
        """Give it to another; ``False`` if there is none. Waits while the chosen one's queue is full."""
        rights = array.array("i", [connection.fileno()])
        while self.others:
            worker = self._choose()
            try:
                self.socket.sendmsg(
                    [b"c"],
                    [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)],
                    0,
                    self._address(worker),
                )
            except ConnectionRefusedError:  # that worker has ended
                self.others.remove(worker)
                continue
            self.given[worker] += 1
            connection.close()
            return True
        return False

    def _choose(self) -> int:
        if self.chosen["policy"] == "round-robin":
            self.turn += 1
            return self.others[self.turn % len(self.others)]
        return min(self.others, key=lambda worker: self.given[worker] - self.served[worker])

    def _serve_given(self, server: Server) -> None:
        while True:
            _, [descriptor], _, _ = socket.recv_fds(self.socket, 1, 1)
            server.handle(socket.socket(fileno=descriptor))
            self.served[server.index] += 1
