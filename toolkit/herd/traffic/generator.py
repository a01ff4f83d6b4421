"""``herd load``: load processes, started, watched and ended; what they wrote down is the result."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Final

from herd import area
from herd.errors import HerdError
from herd.process import Child
from herd.supervisor import Supervisor
from herd.traffic import plan as plans
from herd.traffic.log import LAYOUT
from herd.traffic.plan import Plan
from herd.traffic.result import Result

if TYPE_CHECKING:
    from herd.runner import Progress

_START_DELAY_NS: Final = 5_000_000
_COLLECT_S: Final = 10.0
_FOREVER_S: Final = 1e9
_NOBODY_THERE: Final = {"ECONNREFUSED", "ENOENT"}


def generate(
    plan: Plan, progress: Progress = lambda what, done, total: None, what: str | None = None
) -> Result:
    """Send a load.

    :param what: names it in the progress
    :returns: what was measured, also where something ended it early (``result.ended_by``)
    :raises UsageError: the plan's values don't fit together
    :raises HerdError: nothing was sent
    """
    plan = plan.resolved()
    plans.check_host(plan)
    rows = min(-(-plan.limit // plan.processes) * plan.requests, plans.MOST_ROWS)
    memory = area.create("herd-load", LAYOUT, rows, plan.processes)
    areas = area.share(memory, LAYOUT, rows, plan.processes)
    children: list[Child] = []
    with Supervisor(plan.timeout_s or _FOREVER_S) as supervisor:
        try:
            for index in range(plan.processes):
                children.append(Child(f"load {index}", "herd.traffic.main", [memory]))
                children[-1].channel.send(plans.spec(plan, index, memory, rows))
            supervisor.expect("ready", children, children)
            return _send(plan, supervisor, children, areas, _Shown(plan, areas, progress, what))
        finally:
            for child in children:
                child.stop()
            os.close(memory)


class _Shown:
    """Tells how far it is."""

    def __init__(
        self, plan: Plan, areas: list[area.Area], progress: Progress, what: str | None
    ) -> None:
        self._plan, self._areas, self._progress, self._what = plan, areas, progress, what
        self.begin = 0

    def __call__(self) -> None:
        seconds = self._plan.duration_s
        if seconds:
            passed = max(0.0, min(seconds, (time.monotonic_ns() - self.begin) / 1e9))
            self._progress(self._what or "seconds", int(passed), int(seconds))
        else:
            done = sum(load["finished"] for load in self._areas)
            self._progress(self._what or "connections", done, self._plan.limit)


def _send(
    plan: Plan,
    supervisor: Supervisor,
    children: list[Child],
    areas: list[area.Area],
    shown: _Shown,
) -> Result:
    begin = shown.begin = time.monotonic_ns() + _START_DELAY_NS
    for child in children:
        child.channel.send({"do": "go", "begin": begin})
    ended_by: HerdError | None = None
    try:
        finished = supervisor.expect("finished", children, children, shown)
    except HerdError as error:
        ended_by, finished = error, _stop(supervisor, children)
    result = Result.of(plan, areas, begin)
    stopped = next((said["stopped"] for said in finished if said["stopped"]), None)
    in_vain = result.attempted and not result.completed
    result.ended_by = ended_by or (_failed(plan, result, stopped) if stopped or in_vain else None)
    return result


def _stop(supervisor: Supervisor, children: list[Child]) -> list[dict[str, str]]:
    """Have those that live write down what is still open."""
    supervisor.forgive(_COLLECT_S)
    living = [child for child in children if not child.channel.closed]
    for child in living:
        child.channel.send({"do": "stop"})
    with contextlib.suppress(HerdError):  # one that dies now has written what it has written
        supervisor.expect("finished", living, living)
    return []


def _failed(plan: Plan, result: Result, why: str | None) -> HerdError:
    errors = ", ".join(f"{name} {count}" for name, count in result.errors.items())
    if result.completed:
        return HerdError(f"ended early: {why} ({errors})", "is the server still there?")
    if set(result.errors) <= _NOBODY_THERE:
        return HerdError(
            f"nothing answers on {plan.target}: all {result.attempted} connections failed ({errors})",
            "is it the right address, and does the server run? ss -tlnp and ss -xlp list listeners",
        )
    return HerdError(
        f"{plan.target}: all {result.attempted} connections failed ({errors})",
        "does the server answer to such a --request, within --patience?",
    )
