"""What a load process writes down in its own shared memory."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Final

from herd.area import Area, Layout

#: Added to the status of an HTTP answer that is an error, to tell it from an errno.
HTTP: Final = 10_000

#: A row is a finished connection, or one more request on it: times in ns of CLOCK_MONOTONIC, 0 = did not
#: happen; the source's address and port; which request of the connection it was; errno, 0 = none, ENODATA =
#: closed by the server before the first byte.
LAYOUT: Final = Layout(
    ["started", "established", "finished", "failed", "missed", "paused_ns"],
    [
        ("intended", "Q"),
        ("started", "Q"),
        ("established", "Q"),
        ("first_byte", "Q"),
        ("done", "Q"),
        ("closed", "Q"),
        ("source", "4s"),
        ("port", "H"),
        ("turn", "H"),
        ("error", "H"),
    ],
)


def name_of(error: int) -> str:
    """``ECONNREFUSED`` or ``HTTP 503``."""
    if error > HTTP:
        return f"HTTP {error - HTTP}"
    return errno.errorcode.get(error, str(error))


def paused_s(loads: Iterable[Area]) -> float:
    """For how many seconds a load process stood still; of several, the longest."""
    return max(load["paused_ns"] for load in loads) / 1e9


def pause_note(seconds: float) -> str:
    """What a reader must know of it."""
    return (
        f"the load stood still for {seconds:.1f} s: this machine was paused, or had no CPU left for it;"
        " times in which that falls say nothing about the server"
    )
