"""Own ring per worker; one request accepts again and again (Linux 5.19)."""

from __future__ import annotations

from herd.strategies._base import Prediction
from herd.strategies.io_uring import IoUring


class IoUringMultishot(IoUring):
    """The request stays, and so does its place in the queue: no other worker is ever told."""

    name = "io-uring-multishot"
    summary = "own io_uring per worker, one multishot accept that stays"
    accept_by = "io_uring_prep_multishot_accept"

    @classmethod
    def predict(cls, workers: int) -> Prediction:
        """One wakeup, always of the same worker."""
        return Prediction.exactly(
            1.0,
            who="always the first that submitted, idle or busy: the others get nothing",
            why="the poll is queued once, exclusive and at the tail (__io_queue_proc(), io_uring/poll.c);"
            " io_poll_wake() leaves one that isn't one-shot where it is, and returns 1 even if its worker"
            " is awake, so __wake_up_common() (kernel/sched/wait.c) never goes on to the next",
        )
