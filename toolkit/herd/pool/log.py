"""What a worker writes down in its own shared memory."""

from __future__ import annotations

from typing import Final

from herd.area import Layout

#: ``state`` of a worker, in the order it goes through them.
STARTING, READY, SERVING, STOPPED = range(4)

USAGE: Final = ("user_us", "system_us", "voluntary", "involuntary")

#: Counters: see ``Worker``. A row: when accept returned (ns, CLOCK_MONOTONIC), peer's address and port.
LAYOUT: Final = Layout(
    [
        "pid",
        "state",
        "cookie",
        "accepts",
        "served",
        "closed",
        "eagain",
        "signals",
        "errors",
        "unlogged",
        *(f"before_{name}" for name in USAGE),
        *(f"after_{name}" for name in USAGE),
    ],
    [("accepted", "Q"), ("peer", "4s"), ("peer_port", "H")],
)
