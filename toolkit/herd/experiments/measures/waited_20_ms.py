"""Share of connections whose client had its answer 20 ms or more after it should have started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from herd.analysis.metrics import until_first_byte

if TYPE_CHECKING:
    from herd.recording.read import Recording


def measure(recording: Recording) -> float | None:
    """Of one run."""
    waits = until_first_byte(recording)
    return None if waits.empty else float((waits >= 20_000_000).mean())
