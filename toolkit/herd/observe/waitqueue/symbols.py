"""Names of kernel functions, from ``/proc/kallsyms``."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

from herd.errors import HostError

KALLSYMS = Path("/proc/kallsyms")


class Symbols:
    """Every function of the kernel and its modules; about 0.1 s.

    :raises HostError: the kernel hides the addresses
    """

    def __init__(self, file: Path = KALLSYMS) -> None:
        rows = (line.split(None, 3) for line in file.read_text().splitlines())
        found = sorted((int(row[0], 16), row[2]) for row in rows if row[1] in "tTwW")
        if not found or not found[-1][0]:
            raise HostError(
                f"the kernel hides its functions' addresses ({file})",
                "sysctl -w kernel.kptr_restrict=1",
            )
        self._addresses = [address for address, _ in found]
        self._names = [name for _, name in found]

    def name(self, address: int) -> str:
        """The function at an address; an unknown one's address as a number."""
        at = bisect_right(self._addresses, address) - 1
        # __pfx_NAME, the padding before NAME, lies lower; at one address aliases are rare.
        if at < 0 or self._addresses[at] != address:
            return hex(address)
        return self._names[at]
