"""Whether a claim holds, by the runs there are: held, failed, or not to be told here, and why.

A claim about one run's measure is judged at each point that it is about, by the mean over repeats and that
mean's bootstrap interval: it holds where all of the interval does, fails where none of it does, and in
between nothing can be told. It holds as a whole if it holds at every point, and fails if it fails at one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from herd.analysis import statistics
from herd.analysis.statistics import Interval
from herd.experiments import measures
from herd.experiments.sweep import matching
from herd.nested import flat

if TYPE_CHECKING:
    from herd.experiments.definition import Claim
    from herd.experiments.measures import Measure
    from herd.experiments.sweep import Point, Run
    from herd.recording.read import Recording

_WORDS: Final = {"==": "", "<=": "at most ", ">=": "at least ", "between": ""}


@dataclass(frozen=True)
class Outcome:
    """What came of a run: a recording that can be trusted, or why there is none."""

    run: Run
    recording: Recording | None
    why: str = ""


@dataclass(frozen=True)
class Verdict:
    """A claim, judged.

    :param held: ``None``: it can't be told here
    :param why: of a claim that held or failed what it rests on; else why it can't be told
    """

    name: str
    held: bool | None
    expected: str
    measured: str
    why: str
    statement: str

    def as_json(self) -> dict[str, Any]:
        """As ``herd experiment run --json`` prints it."""
        return {
            "name": self.name,
            "held": self.held,
            "expected": self.expected,
            "measured": self.measured,
            "why": self.why,
        }


class _Untold(Exception):
    """Why it can't be told."""


class Judge:
    """Judges claims by what came of the runs; measures each run once."""

    def __init__(self, points: Sequence[Point], outcomes: Iterable[Outcome]) -> None:
        self._points = points
        self._outcomes: dict[Point, dict[int, Outcome]] = {point: {} for point in points}
        for outcome in outcomes:
            self._outcomes[outcome.run.point][outcome.run.repeat] = outcome
        self._measured: dict[tuple[str, str], float | None] = {}

    def judge(self, claim: Claim) -> Verdict:
        """A claim's verdict."""
        measure = measures.find(claim.measure)
        try:
            parts = [self._part(claim, measure, *group) for group in self._groups(claim, measure)]
        except _Untold as error:
            return _verdict(claim, None, "unknown", str(error))
        return _together(claim, parts)

    def measured(self, measure: Measure, outcome: Outcome) -> float | None:
        """A measure of one run; ``None``: it can't be told."""
        key = measure.name, outcome.run.name
        if key not in self._measured:
            recording = outcome.recording
            self._measured[key] = measure.of([recording]) if recording else None
        return self._measured[key]

    def _groups(self, claim: Claim, measure: Measure) -> list[tuple[list[Point], list[Point]]]:
        """What is judged at a time: a point, and those that it is held against; or all points together."""
        mine = matching(self._points, claim.where)
        others = matching(self._points, claim.against or {}) if claim.of else []
        if not mine or (claim.of and not others):
            raise _Untold("this sweep has no such point")
        if measure.several:
            return [(mine, others)]
        apart = {*flat(claim.where), *flat(claim.against or {})}
        groups = [([p], [o for o in others if _alike(p, o, apart)]) for p in mine]
        if claim.of:
            groups = [group for group in groups if group[1]]
        if not groups:
            raise _Untold("no two points of this sweep differ in just that")
        return groups

    def _part(
        self, claim: Claim, measure: Measure, mine: list[Point], others: list[Point]
    ) -> _Part:
        label = mine[0].label if len(mine) == 1 else "all points"
        expected = _expected(claim, mine[0])
        try:
            values = self._values(claim, measure, mine)
            against = self._values(claim, measure, others) if claim.of else []
            interval, effect = _interval(claim, values, against)
        except _Untold as error:
            return _Part(label, None, None, "", str(error), math.inf)
        held = _holds(interval, *expected)
        why = "" if held is not None else _STRADDLES
        return _Part(label, held, interval, effect, why, _distance(interval.estimate, *expected))

    def _values(self, claim: Claim, measure: Measure, points: list[Point]) -> list[float]:
        """A measure's values, one a run; of a measure of several runs one a repeat.

        :raises _Untold: there are fewer than the claim needs
        """
        if measure.several:
            found, why = self._by_repeat(measure, points)
        else:
            found, why = self._by_run(measure, points)
        if len(found) < claim.repeats:
            raise _Untold(why or f"it takes {claim.repeats} repeats, and there are {len(found)}")
        return found

    def _by_run(self, measure: Measure, points: list[Point]) -> tuple[list[float], str]:
        found, why = [], ""
        for outcome in (o for p in points for o in self._outcomes[p].values()):
            value = self.measured(measure, outcome)
            if value is None:
                why = why or _missing(outcome, measure)
            else:
                found.append(value)
        return found, why

    def _by_repeat(self, measure: Measure, points: list[Point]) -> tuple[list[float], str]:
        found, why = [], ""
        for repeat in dict.fromkeys(k for p in points for k in self._outcomes[p]):
            outcomes = [o for p in points if (o := self._outcomes[p].get(repeat))]
            lacking = next((o for o in outcomes if o.recording is None), None)
            if lacking:
                why = why or _missing(lacking, measure)
                continue
            value = measure.of([o.recording for o in outcomes if o.recording])
            if value is None:
                why = why or f"{measure.name} could not be measured"
            else:
                found.append(value)
        return found, why


_STRADDLES: Final = "some of the interval would hold and some would not: more repeats would tell"


@dataclass(frozen=True)
class _Part:
    """A claim at one point."""

    label: str
    held: bool | None
    interval: Interval | None
    effect: str
    why: str
    distance: float  #: how far the estimate is from what was claimed; 0: within


def _missing(outcome: Outcome, measure: Measure) -> str:
    if outcome.recording is None:
        return f"{outcome.run.name}: {outcome.why}"
    notes = "; ".join(outcome.recording.run["notes"])
    return (
        f"{outcome.run.name}: {measure.name} could not be measured{f': {notes}' if notes else ''}"
    )


def _alike(one: Point, other: Point, apart: set[str]) -> bool:
    """Whether two points differ in nothing but these keys, of those that both have."""
    shared = (one.settings.keys() & other.settings.keys()) - apart
    return all(one.settings[key] == other.settings[key] for key in shared)


def _interval(claim: Claim, values: list[float], against: list[float]) -> tuple[Interval, str]:
    if claim.of is None:
        return statistics.mean(values), ""
    if claim.of == "ratio" and not min(map(abs, against)):
        raise _Untold("there is no ratio to nothing: it was 0")
    compared = {"ratio": statistics.ratio, "difference": statistics.difference}[claim.of]
    return compared(against, values), f"Cliff's δ {statistics.cliffs_delta(against, values):.2g}"


def _expected(claim: Claim, point: Point) -> tuple[float, float]:
    """From where to where it would hold."""
    if isinstance(claim.expected, list):
        low, high = claim.expected
    else:
        value = claim.expected
        low = high = float(point.value(value) if isinstance(value, str) else value)
    low, high = low - claim.slack(low), high + claim.slack(high)
    return (-math.inf if claim.compare == "<=" else low), (
        math.inf if claim.compare == ">=" else high
    )


def _holds(interval: Interval, low: float, high: float) -> bool | None:
    if not interval.overlaps(low, high):
        return False
    first, last = interval.ends
    return True if low <= first and last <= high else None


def _distance(value: float, low: float, high: float) -> float:
    return max(low - value, value - high, 0.0)


def _together(claim: Claim, parts: list[_Part]) -> Verdict:
    verdicts = [part.held for part in parts]
    held = False if False in verdicts else None if None in verdicts else True
    why = claim.why
    if held is None:
        untold = [part for part in parts if part.held is None]
        more = f" (and at {len(untold) - 1} more points)" if len(untold) > 1 else ""
        where = f"{untold[0].label}: " if len(parts) > 1 and untold[0].interval else ""
        why = f"{where}{untold[0].why}{more}"
    return _verdict(claim, held, _measured(parts, unit(claim)), why)


def _measured(parts: list[_Part], unit: str) -> str:
    told = [(part, part.interval) for part in parts if part.interval]
    if not told:
        return "unknown"
    if len(told) == 1:
        return _figure(*told[0], unit)
    estimates = [interval.estimate for _, interval in told]
    text = f"{_span(min(estimates), max(estimates))}{_spaced(unit)} at {len(told)} points"
    worst, interval = max(told, key=lambda each: (each[0].held is not True, each[0].distance))
    return text if worst.held else f"{text}; {worst.label}: {_figure(worst, interval, unit)}"


def _figure(part: _Part, interval: Interval, unit: str) -> str:
    spread = "one run"
    if interval.low is not None and interval.high is not None:
        ends = _span(interval.low, interval.high)
        spread = f"{statistics.CONFIDENCE:.0%}: {ends}, {interval.count} repeats"
    effect = f"; {part.effect}" if part.effect else ""
    return f"{_number(interval.estimate)}{_spaced(unit)} ({spread}{effect})"


def _span(low: float, high: float) -> str:
    ends = dict.fromkeys((_number(low), _number(high)))
    return " to ".join(ends)


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _spaced(unit: str) -> str:
    return f" {unit}" if unit else ""


def unit(claim: Claim) -> str:
    """Of a claim's figures."""
    return "times" if claim.of == "ratio" else measures.find(claim.measure).unit


def _verdict(claim: Claim, held: bool | None, measured: str, why: str) -> Verdict:
    return Verdict(claim.name, held, expectation(claim), measured, why, claim.statement)


def expectation(claim: Claim) -> str:
    """What a claim says, short: ``cpu-per-connection, strategy poll ÷ strategy accept: at least 2 times``."""
    ends = claim.expected if isinstance(claim.expected, list) else [claim.expected]
    value = " to ".join(v if isinstance(v, str) else _number(v) for v in ends)
    subject = f"{claim.measure}, {_subject(claim)}" if _subject(claim) else claim.measure
    return f"{subject}: {_WORDS[claim.compare]}{value}{_tolerance(claim)}{_spaced(unit(claim))}"


def _tolerance(claim: Claim) -> str:
    if not claim.tolerance:
        return ""
    sign = {"<=": "+", ">=": "−"}.get(claim.compare, "±")
    text = claim.tolerance if isinstance(claim.tolerance, str) else f"{claim.tolerance:g}"
    return f" {sign} {text}"


def _subject(claim: Claim) -> str:
    mine = _filter(claim.where)
    if claim.of is None:
        return mine
    return f"{mine} {'÷' if claim.of == 'ratio' else '−'} {_filter(claim.against or {})}"


def _filter(where: Mapping[str, Any]) -> str:
    parts = []
    for key, value in flat(where).items():
        values = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        parts.append(f"{key.rpartition('.')[2]} {values}")
    return " ".join(parts)
