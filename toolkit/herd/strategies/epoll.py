"""Every worker has its own epoll set, level-triggered, with the shared socket in it."""

from __future__ import annotations

import select

from herd.strategies._base import Prediction, Server, Strategy


class Epoll(Strategy):
    """The thundering herd: an epoll item is not an exclusive waiter."""

    name = "epoll"
    summary = "own epoll set per worker, level-triggered, on one shared socket"
    waits_on_pipes = True
    events = select.EPOLLIN

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """Everyone wakes."""
        return Prediction.exactly(
            float(workers),
            who="everyone, the newest registration first",
            why="ep_ptable_queue_proc() queues an item with add_wait_queue(), at the head and not"
            " exclusive (fs/eventpoll.c); a wakeup takes them all",
        )

    def prepare(self, server: Server) -> None:
        """Register the listener in a set of this worker's own."""
        server.listener.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(server.listener.fileno(), self.events)

    def serve(self, server: Server) -> None:
        """Wait, take what is there, wait again."""
        listener = server.listener.fileno()
        while True:
            for fd, _ in self.epoll.poll(server.timeout()):
                if fd == listener:
                    self.ready(server)
            server.close_due()

    def ready(self, server: Server) -> None:
        """An event came: accept a batch; the set tells again of what is left."""
        server.drain()
