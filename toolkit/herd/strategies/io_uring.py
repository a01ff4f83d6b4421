"""Every worker has a ring of its own, with one accept in it: the kernel accepts, and says what came of it."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from herd.strategies._base import Listen, Prediction, Server, Strategy

if TYPE_CHECKING:
    from types import ModuleType

#: Room for twice as many completions. Those of a multishot accept may come faster than they are taken: one
#: that finds no room ends the request, which is then submitted anew.
_ENTRIES: Final = 256
_INSTALL: Final = "pip install 'herd[io-uring]'"
_DISABLED: Final = Path("/proc/sys/kernel/io_uring_disabled")
#: A wait that ended without a completion: its time was over, or a signal came.
_NOTHING: Final = frozenset({errno.ETIME, errno.EINTR})


class IoUring(Strategy):
    """One shot: an accept completes once, and is submitted anew when its connection was served."""

    name = "io-uring"
    summary = "own io_uring per worker, an accept submitted anew for each connection"
    #: liburing's function that fills in the request.
    request_accept: ClassVar[str] = "io_uring_prep_accept"

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One wakeup, of each in turn, as with accept(2)."""
        return Prediction.exactly(
            1.0,
            who="in turn (FIFO): even shares",
            why="an accept that finds nothing arms a poll with EPOLLEXCLUSIVE (poll_exclusive of"
            " IORING_OP_ACCEPT, io_uring/opdef.c), and __io_queue_proc() (io_uring/poll.c) queues that with"
            " add_wait_queue_exclusive(), at the tail; io_poll_wake() unqueues a one-shot poll, so who was"
            " served queues behind the others",
        )

    @classmethod
    def unavailable(cls) -> str | None:
        """Try to submit the accept to a ring; one that isn't refused waits."""
        try:
            strategy = cls()
            with strategy.open(Listen("127.0.0.1", 0, 1)) as listener:
                strategy.make_ring()
                return strategy._refusal(listener)
        except ImportError as error:
            return f"Python's liburing cannot be imported ({error}): {_INSTALL}"
        except OSError as error:
            return _explain(error)

    def _refusal(self, listener: socket.socket) -> str | None:
        self.submit(listener.fileno())
        self.uring.io_uring_submit(self.ring)
        try:
            self.completion()
        except OSError as error:
            return f"this kernel's io_uring refuses {self.name}: {os.strerror(error.errno or 0)}"
        finally:
            self.uring.io_uring_queue_exit(self.ring)
        return None

    def open(self, listen: Listen) -> socket.socket:
        """Listen. liburing is imported here: before the fork, and not where it isn't used."""
        import liburing

        self.uring: ModuleType = liburing
        return super().open(listen)

    def prepare(self, server: Server) -> None:
        """A ring of this worker's own."""
        self.make_ring()

    def make_ring(self) -> None:
        """As io_uring_setup(2) makes it: completions come by task work of the worker, wherever it runs."""
        self.ring = self.uring.Ring()
        self.uring.io_uring_queue_init(_ENTRIES, self.ring)
        self.completed = self.uring.Cqe()
        self.armed = False

    def serve(self, server: Server) -> None:
        """Wait, serve what was accepted, wait again."""
        listener = server.listener.fileno()
        while True:
            self.wait(listener, server.timeout())
            server.drain(lambda: self.take(server))
            server.close_due()

    def wait(self, listener: int, timeout: float | None) -> None:
        """Until there is a completion, or the time is over."""
        if not self.armed:
            self.submit(listener)
        uring: Any = self.uring
        try:
            if timeout is None:
                uring.io_uring_submit_and_wait(self.ring, 1)
            else:  # without a limit this one would wait on after a signal, if it had submitted something
                limit = uring.timespec(timeout)
                uring.io_uring_submit_and_wait_timeout(self.ring, self.completed, 1, limit)
        except OSError as error:
            if error.errno not in _NOTHING:
                raise

    def take(self, server: Server) -> socket.socket | None:
        """A connection that the kernel accepted; beyond the first of a batch it takes a new request to know."""
        if not self.armed:
            self.submit(server.listener.fileno())
            self.uring.io_uring_submit(self.ring)
        try:
            descriptor = self.completion()
            if descriptor is None:
                return None
            connection = socket.socket(server.listen.family, fileno=descriptor)
            server.accepted(connection.getpeername())
        except OSError:
            server.failed()
            return None
        return connection

    def submit(self, listener: int) -> None:
        """Put the accept into the submission queue; the next system call takes it from there."""
        entry = self.uring.io_uring_get_sqe(self.ring)
        getattr(self.uring, self.request_accept)(entry, listener, None, socket.SOCK_CLOEXEC)
        self.armed = True

    def completion(self) -> int | None:
        """The descriptor of an accepted connection; ``None`` without a completion.

        :raises OSError: the accept failed
        """
        uring: Any = self.uring
        try:
            uring.io_uring_peek_cqe(self.ring, self.completed)
        except BlockingIOError:
            return None
        entry = self.completed[0]
        self.armed = bool(entry.flags & uring.IORING_CQE_F_MORE)
        try:
            return int(entry.res)
        finally:
            uring.io_uring_cqe_seen(self.ring, entry)


def _explain(error: OSError) -> str:
    """Why a ring was refused: io_uring_setup(2), and io_uring_allowed() in io_uring/io_uring.c."""
    if error.errno == errno.ENOSYS:
        return "this kernel has no io_uring: Function not implemented"
    said = f"this kernel refuses io_uring: {os.strerror(error.errno or 0)}"
    try:
        disabled = _DISABLED.read_text().strip()
    except OSError:
        return said
    return said if disabled == "0" else f"{said}: kernel.io_uring_disabled = {disabled}"
