"""A worker that takes tokens out of a pipe, and may pass them on."""

from __future__ import annotations

from collections.abc import Callable

from herd.area import Area
from herd.tokens.pipe import IGNORED, Pipe


class Bearer:
    """What ``Worker`` is for connections; of ``herd.strategies.Server`` what waiting takes.

    :param last: the token that ends the run: it isn't passed on
    :param end: called by who takes it
    :param passes: whether tokens are passed on at all
    """

    def __init__(
        self,
        index: int,
        workers: int,
        pipe: Pipe,
        area: Area,
        last: int,
        end: Callable[[], None],
        *,
        passes: bool,
    ) -> None:
        self.index = index
        self.workers = workers
        self.listener = pipe
        self.cookie = 0  #: a pipe has none
        self._area = area
        self._last = last
        self._end = end
        self._passes = passes
        self._taken = self._passed = self._eagain = 0

    def accept(self) -> bool:
        """Take one token and pass it on; ``False`` if there was none (EAGAIN)."""
        try:
            token = self.listener.take()
        except BlockingIOError:
            self._eagain += 1
            self._area["eagain"] = self._eagain
            return False
        if token != IGNORED:
            self._bear(token)
        return True

    #: One token at a time.
    drain = accept

    def _bear(self, token: int) -> None:
        self._taken += 1
        self._area["accepts"] = self._taken
        if token == self._last:
            self._end()
        elif self._passes:
            self._pass_on(token)

    def _pass_on(self, token: int) -> None:
        # Every other time one more that is to be ignored, as in the program of commit 0ddad21d3e99.
        self.listener.put(token + 1, *([IGNORED] if token % 2 else []))
        self._passed += 1
        self._area["served"] = self._passed

    def timeout(self) -> None:
        """It holds nothing that would be due."""

    def close_due(self) -> None:
        """Likewise."""
