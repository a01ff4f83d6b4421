"""Latencies as HdrHistograms, in the files that its own tools open (http://hdrhistogram.org)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    import numpy as np
    from hdrh.histogram import HdrHistogram
    from numpy.typing import NDArray

    from herd.traffic.result import Result, Times

_DIGITS: Final = 3
#: Binary digits that three decimal ones need: HdrHistogram has 2048 sub-buckets then.
_BITS: Final = 11
_SECOND_NS: Final = 1_000_000_000


def histogram(nanoseconds: NDArray[np.int64]) -> HdrHistogram:
    """A histogram of latencies from 1 ns up, exact to three digits."""
    import numpy as np
    from hdrh.histogram import HdrHistogram

    # No wider than it must be: hdrh walks through all that is empty, too, in Python.
    found = HdrHistogram(1, max(2, int(nanoseconds.max(initial=0))), _DIGITS)
    # Recorded one by one, a million values take seconds: those that fall into one sub-bucket go together.
    inside = np.maximum(nanoseconds, 1)
    coarse = np.maximum(np.frexp(inside.astype("f8"))[1] - _BITS, 0)
    for value, count in zip(
        *np.unique(inside >> coarse << coarse, return_counts=True), strict=True
    ):
        found.record_value(int(value), int(count))
    return found


def write(result: Result, folder: Path) -> None:
    """Write the latencies of each phase, and how late connections were started.

    Each gets a ``.hgrm`` with percentiles and a ``.hlog`` with a histogram a second; both in ns.
    """
    for name, times in {**result.phases(), "schedule_error": result.schedule_error()}.items():
        with (folder / f"{name}.hgrm").open("wb") as file:
            histogram(times.took).output_percentile_distribution(file, 1.0)
        with (folder / f"{name}.hlog").open("w") as log:
            _write_log(log, name, times, result)


def _write_log(file: TextIO, name: str, times: Times, result: Result) -> None:
    from hdrh.log import HistogramLogWriter

    log = HistogramLogWriter(file)
    log.output_log_format_version()
    log.output_comment(
        f"[herd load {result.plan.target}: {name}, ns, by the second it was intended in]"
    )
    log.output_comment(f"[StartTime: {result.began_s:.3f} (seconds since epoch)]")
    log.output_legend()
    seconds = (times.intended - result.begin) // _SECOND_NS
    for second in range(int(seconds.max(initial=-1)) + 1):
        interval = histogram(times.took[seconds == second])
        interval.set_start_time_stamp(1000 * second)
        interval.set_end_time_stamp(1000 * (second + 1))
        log.output_interval_histogram(interval)
