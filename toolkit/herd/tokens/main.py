"""The parent of workers that pass tokens: as ``herd.pool.main``, and told ``{"do": "put", "token": 0}``.

Who takes the last token says ``finished``.
"""

from __future__ import annotations

from typing import Any

from herd.config import SETTLED
from herd.pool.main import Pool, main
from herd.process import Message
from herd.tokens.bearer import Bearer
from herd.tokens.pipe import Pipe


class TokenPool(Pool):
    """Its workers share a pipe."""

    def open(self) -> Any:
        """The pipe."""
        self._pipe = Pipe()
        return self._pipe

    def make_worker(self, index: int) -> Any:
        """One that passes tokens."""
        spec, area = self._spec, self._areas[index]
        passes = spec["rate"] != SETTLED
        return Bearer(
            index, spec["workers"], self._pipe, area, spec["tokens"] - 1, self._end, passes=passes
        )

    def _end(self) -> None:
        """In a worker."""
        self._channel.send({"event": "finished"})

    def obey(self, order: Message) -> None:
        """Do what the controller says."""
        if order["do"] == "put":
            self._pipe.put(order["token"])
            self._channel.send({"event": "put"})
        else:
            super().obey(order)


if __name__ == "__main__":
    main(TokenPool)
