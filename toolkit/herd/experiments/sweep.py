"""From a sweep to its points, and from points to runs in random order."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from herd.compare import ALL
from herd.config import SETTLED, RunConfig, as_dict, parse
from herd.errors import Unfit
from herd.nested import flat, nested
from herd.strategies import find, names, predict

#: Of a sweep, and no key of a run: how often each point is run, and what decides the order.
DEFAULTS: Final = {"repeats": 3, "seed": 1}

# Measured on two CPUs: a run's processes start and end, a settled connection is made, probes are compiled.
_RUN_S: Final = 1.0
_WORKER_S: Final = 0.004
_CONNECTION_S: Final = 0.002
_WAKEUP_S: Final = 30e-6
_PROBES_S: Final = 3.0
_BOOT_S: Final = 60.0


@dataclass(frozen=True, eq=False)
class Point:
    """One combination of the sweep's values.

    :param settings: each swept key → its value here; without the options that this strategy doesn't have
    """

    label: str
    settings: Mapping[str, Any]
    config: RunConfig

    def value(self, key: str) -> Any:
        """Of a config key, swept or not; ``None``: it isn't set."""
        return self.settings.get(key, flat(as_dict(self.config)).get(key))


@dataclass(frozen=True)
class Run:
    """A point's repeat, from 1."""

    point: Point
    repeat: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.point.label}-r{self.repeat}"


@dataclass(frozen=True)
class Design:
    """What is to be run."""

    points: tuple[Point, ...]
    repeats: int
    seed: int

    def runs(self) -> list[Run]:
        """In random order, so that what drifts meanwhile falls on all points alike; the seed decides it.

        Runs of the same kernel and probe follow each other: they share a boot, and compiled probes.
        """
        found = [Run(p, k) for p in self.points for k in range(1, self.repeats + 1)]
        random.Random(self.seed).shuffle(found)
        groups = list(dict.fromkeys(kind(run) for run in found))
        return sorted(found, key=lambda run: groups.index(kind(run)))

    def seconds(self) -> float:
        """How long it takes, very roughly."""
        kinds = {kind(run) for run in self.runs()}
        starts = sum(_PROBES_S if kernel == "host" else _BOOT_S for kernel, _ in kinds)
        return starts + self.repeats * sum(_seconds(point.config) for point in self.points)


def kind(run: Run) -> tuple[str, str]:
    """Runs that are alike in it can share what takes long to start: kernel and probe."""
    return run.point.config.kernel, run.point.config.probe


def _seconds(config: RunConfig) -> float:
    wakeups = predict(config.strategy, config.options, config.workers).expected
    if config.tokens:
        each = _CONNECTION_S + _WAKEUP_S * wakeups if config.rate == SETTLED else 2 * _WAKEUP_S
        return _RUN_S + _WORKER_S * config.workers + config.tokens * each
    if config.duration_s:
        load = config.duration_s
    elif isinstance(config.rate, float):
        load = (config.connections or 0) / config.rate
    else:
        load = (config.connections or 0) * (_CONNECTION_S + _WAKEUP_S * wakeups + config.hold_s)
    return _RUN_S + _WORKER_S * config.workers + load


def design(sweep: Mapping[str, Any], fixed: Mapping[str, Any]) -> Design:
    """Every combination, once.

    :param sweep: config keys → lists of values, and those of :data:`DEFAULTS`
    :param fixed: the other config keys
    :raises UsageError: a combination that can't be
    """
    plain = DEFAULTS | {key: sweep[key] for key in DEFAULTS if key in sweep}
    axes = swept(sweep)
    points: dict[str, Point] = {}
    for values in itertools.product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        if _has_choices(flat(fixed) | settings):
            point = _point(settings, flat(fixed))
            points.setdefault(point.label, point)
    return Design(tuple(points.values()), plain["repeats"], plain["seed"])


def swept(sweep: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Config keys → their values; of strategies ``all`` is every one."""
    axes = flat({key: value for key, value in sweep.items() if key not in DEFAULTS})
    if axes.get("strategy") == ALL:
        axes["strategy"] = names()
    return axes


def _has_choices(settings: Mapping[str, Any]) -> bool:
    """Whether what is chosen can be chosen of this strategy: two may have an option with other choices."""
    options = find(settings.get("strategy", RunConfig().strategy)).options
    chosen = {option: settings.get(f"options.{option.name}") for option in options}
    return all(
        value is None or not option.choices or value in option.choices
        for option, value in chosen.items()
    )


def _point(settings: dict[str, Any], fixed: dict[str, Any]) -> Point:
    config = parse(nested(fixed | settings))
    takes = {option.name for option in find(config.strategy).options}
    options = {name: value for name, value in config.options.items() if name in takes}
    meant = {
        key: value
        for key, value in settings.items()
        if not key.startswith("options.") or key.removeprefix("options.") in takes
    }
    config = msgspec.structs.replace(config, options=options)
    with contextlib.suppress(Unfit):  # its runs will say so, and the others go on
        config = config.resolved()
    return Point(_label(meant), meant, config)


def _label(settings: Mapping[str, Any]) -> str:
    """As short as it can be told apart: ``epoll-n16-rate500``."""
    parts = [_part(key, value) for key, value in settings.items()]
    return re.sub(r"[^\w.+-]", "_", "-".join(parts)) or "run"


def _part(key: str, value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    prefixes = {"strategy": "", "workers": "n", "kernel": "linux" if text != "host" else ""}
    short = key.rpartition(".")[2]
    return prefixes.get(key, short if isinstance(value, int | float) else f"{short}-") + text


def configured(run: Run, output: str) -> RunConfig:
    """A run's config: each repeat has a seed of its own."""
    config = run.point.config
    return msgspec.structs.replace(config, output=output, seed=config.seed + run.repeat - 1)


def matching(points: Iterable[Point], where: Mapping[str, Any]) -> list[Point]:
    """The points whose values are those of ``where``; a list there means any of them."""
    wanted = {k: v if isinstance(v, list) else [v] for k, v in flat(where).items()}
    return [p for p in points if all(p.value(key) in any_of for key, any_of in wanted.items())]
