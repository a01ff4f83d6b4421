"""The X-ray, as the command uses it."""

from __future__ import annotations

from types import TracebackType
from typing import Final

import msgspec

from herd.observe.listeners import Listener
from herd.observe.waitqueue.queue import Queue
from herd.process import Child, Message

MODULE: Final = "herd.observe.waitqueue.main"
_PATIENCE_S: Final = 60.0


class Reading(msgspec.Struct, frozen=True):
    """What was in the queues at one time."""

    time_ns: int  #: CLOCK_MONOTONIC, when it began
    read_ns: int  #: how long it took
    queues: list[Queue]


def reading(message: Message) -> Reading:
    """An answer of the X-ray's process."""
    return msgspec.convert(message, Reading)


class Xray:
    """Reads wait queues; entered, it is compiled and loaded, about a second.

    :raises HostError: this host or user can't
    """

    def __enter__(self) -> Xray:
        self._child = Child("X-ray", MODULE)
        try:
            self._expect("attached")
        except BaseException:
            self._child.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.stop()

    def read(self, listeners: list[Listener]) -> Reading:
        """The queues of these; one that is gone is missing."""
        self._child.channel.send({"cookies": [listener.cookie for listener in listeners]})
        return reading(self._expect("queues"))

    def _expect(self, event: str) -> Message:
        message = self._child.channel.receive(_PATIENCE_S)
        if message is None:
            raise self._child.failure()
        if message["event"] == "failed":
            raise self._child.reported(message)
        assert message["event"] == event
        return message
