"""Waits for the processes of a run, and never for ever: signals, deaths and the deadline end each wait."""

from __future__ import annotations

import math
import select
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from herd.errors import Interrupted, RunTimeout
from herd.process import Child, Message
from herd.stall import Pauses

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK_S: Final = 0.1


def heed_interrupts() -> None:
    """From here on SIGINT and SIGTERM raise :exc:`KeyboardInterrupt` wherever no run takes them: a shell that
    starts a command in the background has it ignore SIGINT."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


class Supervisor:
    """Takes SIGINT, SIGTERM and SIGHUP while it is entered, and turns them into one orderly end.

    :param timeout: seconds until :class:`~herd.errors.RunTimeout`, of time in which this process could run
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._pauses = Pauses()
        self._signal: int | None = None
        self._forgiving = False
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
        #: Said before somebody waited for it.
        self._said: dict[tuple[Child, str], Message] = {}
        #: Called with the news that come unasked: a worker's death.
        self.on_death: Callable[[Message], None] = lambda message: None

    def __enter__(self) -> Supervisor:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._note)
        self._wakeup_before = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._wake.close()
        self._woken.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self._forgiving:
            self._signal = self._signal or number

    def forgive(self, seconds: float) -> None:
        """From here on the run is being put in order: no signal ends that, only a new deadline."""
        self._signal = None
        self._forgiving = True
        self._deadline = time.monotonic() + seconds

    def check(self) -> None:
        """Raise if a signal came or time is up."""
        if self._signal is not None:
            raise Interrupted(f"interrupted by {signal.Signals(self._signal).name}")
        self._deadline += self._pauses.look() / 1e9
        if time.monotonic() > self._deadline:
            raise RunTimeout(
                f"the run took longer than {self._timeout:g} s",
                "give it longer with --timeout, or less to do with -c or --rate",
            )

    def expect(
        self,
        event: str,
        children: list[Child],
        watched: list[Child],
        tick: Callable[[], None] = lambda: None,
    ) -> list[Message]:
        """Wait until each of ``children`` has said ``event``.

        :param watched: these must go on living meanwhile
        :param tick: called about ten times a second
        :returns: the messages, in the order of ``children``
        :raises HerdError: a child failed or died, a signal came, or time is up
        """
        everyone = list(dict.fromkeys([*children, *watched]))
        while any((child, event) not in self._said for child in children):
            self._wait(everyone)
            for child in everyone:
                self._take_in(child)
                if child.channel.closed and (child, event) not in self._said:
                    raise child.failure()
            self.check()
            tick()
        return [self._said.pop((child, event)) for child in children]

    def watch(self, watched: list[Child], seconds: float | None, tick: Callable[[], None]) -> None:
        """Let time pass while ``watched`` go on living.

        :param seconds: ``None``: until something is raised
        :raises HerdError: a child failed or died, a signal came, or ``tick`` says so
        """
        self._deadline = math.inf
        end = math.inf if seconds is None else time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._wait(watched, min(_TICK_S, left))
            for child in watched:
                self._take_in(child)
                if child.channel.closed:
                    raise child.failure()
            self.check()
            tick()

    def _wait(self, children: list[Child], seconds: float = _TICK_S) -> None:
        channels = [child.channel.fileno() for child in children if not child.channel.closed]
        ready, _, _ = select.select([self._woken.fileno(), *channels], [], [], seconds)
        if self._woken.fileno() in ready:
            self._woken.recv(4096)

    def _take_in(self, child: Child) -> None:
        while (message := child.channel.receive()) is not None:
            if message["event"] == "failed":
                raise child.reported(message)
            if message["event"] == "died":
                self.on_death(message)
            else:
                self._said[child, message["event"]] = message
