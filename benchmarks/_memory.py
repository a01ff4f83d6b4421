"""Watches what memory the processes of a run have, and draws it."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EVERY_S: Final = 1.0
_LOOK_S: Final = 0.1
#: What a process runs, and what it is called.
_ROLES: Final = {
    "herd.probes.main": "probe",
    "herd.traffic.main": "load",
    "herd.pool.main": "pool's parent",
}
WORKERS: Final = "workers, all"
CONTROLLER: Final = "controller"
#: Last quarter's median ÷ second quarter's, at the most.
FLAT: Final = 1.1


@dataclass
class Watched:
    """What a run's processes had, in MiB, each second.

    :param own: of each role: private memory (Pss_Anon), its children's by fork shared out among them
    :param logs: what all have written down in shared memory (Pss_Shmem), for which room was made before
    :param during: how many samples were taken before the load had ended
    :param peak: the most that the controller ever had (VmHWM), shared memory that it has read included
    """

    output: str = ""
    own: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    logs: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    during: int = 0
    peak: float = 0.0

    def quarters(self, role: str) -> tuple[float, float]:
        """The median of the second and that of the last quarter of the load's time."""
        values = self.own[role][: self.during]
        quarter = max(1, len(values) // 4)
        return statistics.median(values[quarter : 2 * quarter]), statistics.median(
            values[-quarter:]
        )

    def growth(self, role: str) -> float:
        """The last quarter's memory ÷ the second one's."""
        second, last = self.quarters(role)
        return last / second

    @property
    def roles(self) -> list[str]:
        """Whose memory is known while the load ran, the controller first."""
        return [role for role, values in self.own.items() if any(values[: self.during])]

    @property
    def flat(self) -> bool:
        """Whether nobody's memory grew."""
        return all(self.growth(role) <= FLAT for role in self.roles)


def watch(command: list[str]) -> Watched:
    """Run a command of herd's in a network namespace of its own, and look at its processes each second."""
    inside = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    found, begin = Watched(), time.monotonic()
    with subprocess.Popen(
        [*inside, sys.executable, "-m", "herd", *command], stdout=subprocess.PIPE, text=True
    ) as run:
        while run.poll() is None:
            time.sleep(_LOOK_S)
            peak = _kib(Path(f"/proc/{run.pid}/status"))["VmHWM"]
            found.peak = max(found.peak, peak / 1024)
            if time.monotonic() - begin >= _EVERY_S * len(found.seconds):
                _sample(found, run.pid, time.monotonic() - begin)
        assert run.stdout is not None
        found.output = run.stdout.read()
    if run.returncode:
        raise SystemExit(f"herd {' '.join(command)} ended with exit code {run.returncode}")
    return found


def _kib(file: Path) -> dict[str, int]:
    """The amounts in one of /proc's files; 0 of a process that has ended meanwhile."""
    try:
        text = file.read_text()
    except OSError:
        text = ""
    lines = re.findall(r"^(\w+):\s*(\d+) kB", text, re.MULTILINE)
    return defaultdict(int, {name: int(amount) for name, amount in lines})


def rollup(pid: int) -> dict[str, int]:
    """What a process has, by kind, KiB (``/proc/PID/smaps_rollup``)."""
    return _kib(Path(f"/proc/{pid}/smaps_rollup"))


def _sample(found: Watched, root: int, seconds: float) -> None:
    own: dict[str, float] = defaultdict(float)
    logs = 0.0
    for pid, role in roles(root).items():
        has = rollup(pid)
        own[role] += has["Pss_Anon"] / 1024
        logs += has["Pss_Shmem"] / 1024
    found.seconds.append(seconds)
    found.logs.append(logs)
    for role in {*own, *found.own}:
        values = found.own[role]
        values += [0.0] * (len(found.seconds) - 1 - len(values))
        values.append(own[role])
    if own.get("load"):
        found.during = len(found.seconds)


def roles(root: int) -> dict[int, str]:
    """The processes of the run whose controller is ``root``, and what each does in it."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(process.name)] = int(
                (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
            )
        except OSError:
            continue
    found = {root: CONTROLLER}
    for pid in (pid for pid, parent in parents.items() if parent == root):
        role = _role(pid)
        if role:
            found[pid] = role
            found |= {child: WORKERS for child, parent in parents.items() if parent == pid}
    return found


def _role(pid: int) -> str | None:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return None
    return next((role for module, role in _ROLES.items() if module in words), None)


def draw(run: Watched, title: str, note: str) -> Figure:
    """What each role's processes had, over time."""
    from herd.plots import _style

    figure = _style.figure(13, 6)
    axes = figure.add_subplot()
    worst = max(run.growth(role) for role in run.roles)
    who = "no process's" if run.flat else "a process's"
    says = f"While the load runs, {who} own memory grows"
    _style.headline(figure, f"{says} (last ÷ second quarter: {worst:.2f} at the most)", note)
    _style.dress(axes, title, "seconds", "MiB")
    _panel(axes, run)
    _style.grid(axes, "y")
    _style.legend(axes, 4)
    return figure


def _panel(axes: Axes, run: Watched) -> None:
    from herd.plots import _style

    for number, role in enumerate(sorted(run.roles)):
        values = run.own[role]
        shown = [value or float("nan") for value in values]
        axes.plot(
            run.seconds[: len(shown)], shown, label=role, linewidth=2.2, **_style.line(number)
        )
    axes.plot(
        run.seconds,
        run.logs,
        color="black",
        linestyle=":",
        linewidth=2,
        label="their logs (shared memory)",
    )
    axes.axvspan(
        run.seconds[run.during - 1],
        run.seconds[-1],
        color=_style.background(),
        zorder=0,
        label="load has ended: the recording is written",
    )
    axes.set_xlim(0, run.seconds[-1])
    axes.set_ylim(bottom=0)
