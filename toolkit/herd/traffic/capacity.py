"""How much a server can take: a closed loop as fast as it answers, then open loops below that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from herd.errors import HerdError, UsageError
from herd.traffic import patterns
from herd.traffic.generator import generate
from herd.traffic.plan import Plan
from herd.traffic.result import Result

if TYPE_CHECKING:
    from herd.runner import Progress

SHARES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
_STEP_S: Final = 5.0
_CLOSED: Final = "closed"


@dataclass
class Capacity:
    """What was found.

    :param closed: the closed loop, whose rate is the capacity
    :param steps: share of the capacity, and what was measured there
    """

    closed: Result
    steps: list[tuple[float, Result]] = field(default_factory=list)

    @property
    def ended_by(self) -> HerdError | None:
        """What ended it before its time."""
        return next((part.ended_by for part in self.parts().values() if part.ended_by), None)

    def parts(self) -> dict[str, Result]:
        """Each result, and the folder that it is written to."""
        steps = {f"open-{share:.0%}".removesuffix("%"): result for share, result in self.steps}
        return {"closed": self.closed, **steps}

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        closed = self.closed.as_json()
        return {
            "capacity": closed["rate"],
            "closed": closed,
            "steps": [
                {"share": share, "offered": result.plan.rate} | result.as_json()
                for share, result in self.steps
            ],
        }


def find(plan: Plan, progress: Progress) -> Capacity:
    """Find it.

    :param plan: its duration is that of each step; its pattern, an open loop, that of the steps
    :raises UsageError: the plan is for something else
    """
    for given, flag in ((plan.connections, "--connections"), (plan.rate, "--rate")):
        if given is not None:
            raise UsageError(f"--find-capacity finds the rate: it takes no {flag}")
    if not patterns.find(plan.pattern).takes_rate:
        raise UsageError(
            f"--find-capacity sends at a rate, and --pattern {plan.pattern} has none",
            "leave it out, or take --pattern poisson",
        )
    fast, paced = _plans(plan)
    found = Capacity(generate(fast, progress, "closed loop"))
    for share in SHARES:
        if found.ended_by or not found.closed.rate:
            break
        step = msgspec.structs.replace(paced, rate=found.closed.rate * share)
        found.steps.append((share, generate(step, progress, f"{share:.0%}")))
    return found


def _plans(plan: Plan) -> tuple[Plan, Plan]:
    """The closed loop, and the open one, whose rate isn't known yet; what is wrong is said now."""
    of_closed = {option.name for option in patterns.find(_CLOSED).options}
    of_open = {option.name for option in patterns.find(plan.pattern).options}
    return _step(plan, _CLOSED, of_open), _step(plan, plan.pattern, of_closed)


def _step(plan: Plan, pattern: str, others: set[str]) -> Plan:
    """:param others: options that are for the other pattern"""
    options = {key: value for key, value in plan.options.items() if key not in others}
    seconds = plan.duration_s or _STEP_S
    changes: dict[str, Any] = {"pattern": pattern, "duration_s": seconds, "options": options}
    return msgspec.structs.replace(plan, **changes).resolved()
