"""The table that is redrawn while a server is observed."""

from __future__ import annotations

from typing import Final

from rich.table import Table

from herd.observe.observer import Frame
from herd.observe.tail import Tally
from herd.observe.usage import Usage

_ROWS: Final = 30


class Board:
    """Keeps what the last second's figures need of the one before."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._before: dict[int, Usage] = {}

    def table(self, frame: Frame) -> Table:
        """A row a worker, the most woken first."""
        table = Table(
            title=f"{frame.server} on {self._title}, {frame.passed_s:.0f} s",
            title_justify="left",
            box=None,
        )
        table.add_column("worker", no_wrap=True)
        for name in ("accepts/s", "wakeups/s", "wasted", "wake latency", "CPU"):
            table.add_column(name, justify="right", no_wrap=True)
        if not frame.passed_s:
            self._before |= {m.tid: m.after for m in frame.crowd.members.values() if m.after}
        busy = sorted(frame.tallies, key=lambda tid: (-frame.tallies[tid].wakeups, tid))
        for tid in busy[:_ROWS]:
            table.add_row(*self._row(frame, tid, frame.tallies[tid]))
        if len(busy) > _ROWS:
            table.caption = f"and {len(busy) - _ROWS} more"
        return table

    def _row(self, frame: Frame, tid: int, tally: Tally) -> list[str]:
        member = frame.crowd.members[tid]
        latency = tally.wake_latency_us()
        return [
            f"{member.comm or '?'} {tid}",
            f"{tally.accepts / frame.seconds:.0f}",
            f"{tally.wakeups / frame.seconds:.0f}",
            f"{tally.wasted / tally.wakeups:.0%}" if tally.wakeups else "-",
            "-" if latency is None else f"{latency:.0f} µs",
            self._cpu(tid, member.after, frame.seconds),
        ]

    def _cpu(self, tid: int, now: Usage | None, seconds: float) -> str:
        before = self._before.get(tid)
        if now is None:
            return "-"
        self._before[tid] = now
        return f"{(now.cpu_ns - before.cpu_ns) / 1e9 / seconds:.1%}" if before else "-"
