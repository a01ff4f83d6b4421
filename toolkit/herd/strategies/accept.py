"""Every worker blocks in ``accept`` on one inherited socket."""

from __future__ import annotations

from herd.strategies._base import Prediction, Server, Strategy


class Accept(Strategy):
    """The classic prefork server."""

    name = "accept"
    summary = "every worker blocks in accept(2) on one shared socket"
    waits_on_pipes = True
    blocks_in_accept = True

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One wakeup: waiters in accept are exclusive."""
        return Prediction.exactly(
            1.0,
            who="in turn (FIFO): even shares",
            why="inet_csk_wait_for_connect() (net/ipv4/inet_connection_sock.c) and for unix sockets"
            " __skb_wait_for_more_packets() (net/core/datagram.c) queue with prepare_to_wait_exclusive(),"
            " at the tail; a wakeup takes one exclusive waiter",
        )

    def serve(self, server: Server) -> None:
        """Accept forever."""
        while True:
            server.accept()
