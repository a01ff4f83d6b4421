"""One load process.

It is told ``{...spec}`` and ``{"do": "go", "begin": ns}``, and says ``ready`` and ``finished``.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import time
from typing import Final

from herd import area, families
from herd.pool import log as pool_log
from herd.process import Channel, Message, precise_timers, serve
from herd.traffic.client import Client
from herd.traffic.log import LAYOUT
from herd.traffic.patterns import Pattern, Situation, find

_ASK_AGAIN_S: Final = 0.0002
_GRACE_NS: Final = 5_000_000_000


class Load:
    """What one process sends.

    :param spec: where to and from, connections, duration, hold, rate, pattern, request, and the areas
    """

    def __init__(self, spec: Message, channel: Channel) -> None:
        self._spec = spec
        self._channel = channel
        areas = area.share(spec["area_fd"], LAYOUT, spec["capacity"], spec["processes"])
        family = families.find(spec["family"])
        self.client = Client(
            family.address(spec["host"], spec["port"]),
            spec["sources"],
            areas[spec["index"]],
            bytes.fromhex(spec["request"]),
            family,
        )

    def _pattern(self, begin: int) -> Pattern:
        spec = self._spec
        areas = (
            area.share(spec["pool_fd"], pool_log.LAYOUT, spec["pool_capacity"], len(spec["pids"]))
            if spec["logs"]
            else []
        )
        situation = Situation(
            begin, spec["rate"], spec["index"], spec["processes"], spec["pids"], areas
        )
        return find(spec["pattern"])(situation)

    def send(self, begin: int) -> None:
        """Start every connection when it is due, until all are started, time is up or we are told."""
        client, pattern = self.client, self._pattern(begin)
        duration = self._spec["duration"]
        end = begin + int(duration * 1e9) if duration else None
        while client.started < self._spec["connections"] and not self._told_to_stop():
            due, now = pattern.due(client), time.monotonic_ns()
            if end is not None and max(due or now, now) >= end:
                break
            if due is not None and due <= now:
                client.start(due)
                client.poll()
            else:
                self._wait(_ASK_AGAIN_S if due is None else (due - now) / 1e9)

    def finish(self) -> None:
        """See the open connections through."""
        deadline = time.monotonic_ns() + int(self._spec["hold_s"] * 1e9) + _GRACE_NS
        while self.client.open_now and not self._told_to_stop():
            if time.monotonic_ns() > deadline:
                self.client.give_up(errno.ETIMEDOUT)
            self._wait(0.05)
        self.client.give_up(errno.ECANCELED)

    def _told_to_stop(self) -> bool:
        return self._channel.closed or self._channel.receive() is not None

    def _wait(self, seconds: float) -> None:
        # select, not epoll, since its timeout is in microseconds.
        select.select([self.client.epoll.fileno(), self._channel.fileno()], [], [], seconds)
        self.client.poll()


def main() -> None:
    """Serve one run."""
    channel = serve()
    precise_timers()
    spec = channel.receive(timeout=None)
    if spec is None:
        return
    if spec["cpus"]:
        os.sched_setaffinity(0, spec["cpus"])
    load = Load(spec, channel)
    gc.freeze()
    channel.send({"event": "ready"})
    order = channel.receive(timeout=None)
    if order is None:
        return
    load.send(order["begin"])
    load.finish()
    channel.send({"event": "finished"})
    channel.receive(timeout=None)


if __name__ == "__main__":
    main()
