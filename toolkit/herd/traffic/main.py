"""One load process.

It is told ``{...spec}`` and ``{"do": "go", "begin": ns}``, and says ``ready`` and ``finished``, or
``failed``.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import time
from typing import TYPE_CHECKING, Final

from herd import area, families
from herd.errors import HerdError, HostError
from herd.host.packages import install_command
from herd.pool import log as pool_log
from herd.process import Channel, Message, precise_timers, serve
from herd.stall import Pauses
from herd.traffic import requests
from herd.traffic.log import LAYOUT
from herd.traffic.manners import Manners
from herd.traffic.patterns import NEVER, Pattern, Situation, find
from herd.traffic.requests.first_byte import FirstByte

if TYPE_CHECKING:
    from herd.traffic.client import Client

_GRACE_NS: Final = 5_000_000_000
_MS: Final = 1_000_000
#: Between two looks at connections while others are overdue.
_POLL_NS: Final = 100_000
#: Between two looks at the channel and at the clock of those that wait for an answer.
_LOOK_NS: Final = 10_000_000
#: The longest sleep: who sleeps for longer can't tell it from a pause.
_SLEEP_NS: Final = 500_000_000
#: A server is gone if so many connections have failed one after the other, and before if none ever succeeded.
_GONE: Final = 1000
_NEVER_THERE: Final = 10


class Load:
    """What one process sends.

    :param spec: where to and from, connections, duration, hold, rate, pattern, request, and the areas
    """

    def __init__(self, spec: Message, channel: Channel) -> None:
        self._spec = spec
        self._channel = channel
        self._polled = self._looked = self._looked_for_late = 0
        #: Why it ended before its time; ``None``: it did not.
        self.stopped: str | None = None
        manners = Manners(**spec.get("manners", {}))
        self._patience = manners.patience_ns
        self._pauses = Pauses()
        self._resumed = 0
        self._gives_up = spec.get("gives_up", False)
        self._spin_ns = spec.get("spin_ns", 0)
        areas = area.share(spec["area_fd"], LAYOUT, spec["capacity"], spec["processes"])
        family = families.find(spec["family"])
        self.client = _client_type()(
            family.address(spec["host"], spec["port"]),
            spec["sources"],
            areas[spec["index"]],
            _request(spec),
            family,
            manners,
            writes_ports=spec.get("writes_ports", True),
        )
        self.client.epoll.register(channel.fileno(), select.EPOLLIN)  # an order ends each wait

    def _pattern(self, begin: int) -> Pattern:
        spec = self._spec
        areas = (
            area.share(spec["pool_fd"], pool_log.LAYOUT, spec["pool_capacity"], len(spec["pids"]))
            if spec["logs"]
            else []
        )
        situation = Situation(
            begin,
            spec["rate"],
            spec["index"],
            spec["processes"],
            spec["pids"],
            areas,
            spec["pattern_options"],
            spec["seed"],
        )
        return find(spec["pattern"])(situation)

    def send(self, begin: int) -> None:
        """Start every connection when it is due, until all are started, time is up or we are told."""
        client, pattern, limit = self.client, self._pattern(begin), self._spec["connections"]
        duration = self._spec["duration"]
        self._pauses.look()  # until it was told to begin it had nothing to do
        end = begin + int(duration * 1e9) if duration else NEVER
        while client.started < limit and not self.stopped:
            due, now = pattern.due(client), time.monotonic_ns()
            if max(due or now, now) >= end:
                client.close_after_answer()
                break
            if now - self._looked > _LOOK_NS:
                self._look(now)
            if due is not None and due <= now:
                client.start(due)
                if client.open_now and now - self._polled > _POLL_NS:
                    self._polled = now
                    client.poll()
            else:
                self._wait(due or now + int(pattern.ask_again_s * 1e9), now)
        client.area["missed"] = pattern.missed(client, limit, min(end, time.monotonic_ns()))

    def finish(self) -> None:
        """See the open connections through."""
        client, now = self.client, time.monotonic_ns()
        deadline = NEVER if self._patience else now + int(self._spec["hold_s"] * 1e9) + _GRACE_NS
        while client.unfinished and not self.stopped:
            now = time.monotonic_ns()
            self._look(now)
            if now > max(deadline, self._resumed + _GRACE_NS):
                client.give_up(errno.ETIMEDOUT)
            self._wait(now + 5 * _LOOK_NS, now)
        client.give_up(errno.ECANCELED)

    def _look(self, now: int) -> None:
        """What needn't be looked at for each connection."""
        self._looked = now
        client = self.client
        if self._channel.closed or self._channel.receive() is not None:
            self.stopped = "told to stop"
        elif client.area.full:
            self.stopped = "no more fits into its log"
        elif self._gives_up and client.failed_in_a_row >= (
            _GONE if client.failed < client.finished else _NEVER_THERE
        ):
            self.stopped = "one connection after the other failed"
        if pause := self._pauses.look():
            client.area["paused_ns"] += pause
            self._resumed = now
        if self._patience and now - self._looked_for_late > self._patience // 10:
            self._looked_for_late = now
            # The server may have stood still, too: it gets as long again.
            if now - self._resumed > self._patience:
                client.give_up(errno.ETIMEDOUT, before=now - self._patience)

    def _wait(self, until: int, now: int) -> None:
        """Until something happens, but no longer than that."""
        wake = self.client.next_wake()
        sleep_ns = min(min(until, wake or until) - now - self._spin_ns, _SLEEP_NS)
        if 0 < sleep_ns < _MS:
            # select, whose timeout is in microseconds.
            select.select([self.client.epoll], [], [], sleep_ns / 1e9)
            sleep_ns = 0
        self._polled = now
        self.client.poll(max(0, sleep_ns // _MS) / 1000)


def _client_type() -> type[Client]:
    """Built as herd was installed, if that could be done."""
    try:
        from herd.traffic.client import Client
    except ImportError as error:
        raise HostError(
            f"herd's client, which is in C, wasn't built for this Python ({error})",
            f"{install_command('compiler')}, then install herd again",
        ) from error
    return Client


def _request(spec: Message) -> requests.Request:
    if "request" not in spec:
        return FirstByte(payload=bytes.fromhex(spec["payload"]))
    asks = spec["request"]
    return requests.find(asks["name"])(asks["chosen"], server_closes=asks["server_closes"])


def main() -> None:
    """Serve one run."""
    channel = serve()
    precise_timers()
    spec = channel.receive(timeout=None)
    if spec is None:
        return
    if spec["cpus"]:
        os.sched_setaffinity(0, spec["cpus"])
    try:
        load = Load(spec, channel)
    except HerdError as error:
        channel.send({"event": "failed", **error.as_message()})
        channel.receive(timeout=None)
        return
    gc.freeze()
    gc.disable()
    channel.send({"event": "ready"})
    order = channel.receive(timeout=None)
    if order is None:
        return
    load.send(order["begin"])
    load.finish()
    channel.send({"event": "finished", "stopped": load.stopped})
    channel.receive(timeout=None)


if __name__ == "__main__":
    main()
