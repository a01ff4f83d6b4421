"""What a load process writes down in its own shared memory."""

from __future__ import annotations

from typing import Final

from herd.area import Layout

#: A row is a finished connection: times in ns of CLOCK_MONOTONIC, 0 = did not happen; the source's
#: address and port; errno, 0 = none, ENODATA = closed by the server before the first byte.
LAYOUT: Final = Layout(
    ["started", "established", "finished", "failed"],
    [
        ("intended", "Q"),
        ("started", "Q"),
        ("established", "Q"),
        ("first_byte", "Q"),
        ("closed", "Q"),
        ("source", "4s"),
        ("port", "H"),
        ("error", "H"),
    ],
)
