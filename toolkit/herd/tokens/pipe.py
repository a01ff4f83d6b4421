"""One pipe with both its ends, which strategies take for a listener."""

from __future__ import annotations

import os
import struct
from typing import Final

#: As in the program of commit 0ddad21d3e99: how often the token was passed; -1: to be ignored.
TOKEN: Final = struct.Struct("=i")
IGNORED: Final = -1


class Pipe:
    """What of a listening socket's methods a pipe has."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def fileno(self) -> int:
        """Where tokens come out."""
        return self._read

    def setblocking(self, blocking: bool) -> None:
        """Whether reading waits; for all who share the pipe."""
        os.set_blocking(self._read, blocking)

    def take(self) -> int:
        """Read one token.

        :raises BlockingIOError: there is none, and reading doesn't wait
        """
        [token] = TOKEN.unpack(os.read(self._read, TOKEN.size))
        return int(token)

    def put(self, *tokens: int) -> None:
        """Write tokens, at once."""
        os.write(self._write, b"".join(map(TOKEN.pack, tokens)))
