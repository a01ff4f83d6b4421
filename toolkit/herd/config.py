"""From flags and TOML to one frozen :class:`RunConfig`; strict, and round-trips."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from herd import families
from herd.discover import unknown
from herd.errors import Unfit, UsageError
from herd.strangers import guarded

if TYPE_CHECKING:
    from herd.strategies import Strategy

S = TypeVar("S", bound=msgspec.Struct)

MAX_WORKERS: Final = 1024
SETTLED: Final = "settled"
AUTO: Final = "auto"
_MAX_CONNECTIONS: Final = 10_000_000
_MAX_SECONDS: Final = 365 * 86400

# Roughly what one connection and one wakeup keep a machine busy for; leaves workers idle in between.
_CONNECTION_US: Final = 200.0
_WAKEUP_US: Final = 10.0
#: One of the workers that a token may wake.
_TOKEN_S: Final = 20e-6
#: How much slower an emulated guest is: measured 10 to 20.
_EMULATED: Final = 20.0
_FASTEST_DEFAULT: Final = 500.0


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """CPU lists such as ``0-1,3``; empty: wherever the scheduler likes."""

    workers: str = ""
    load: str = ""


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides a run. Also the keys of a config file."""

    strategy: str = "accept"
    workers: Annotated[int, Meta(ge=1, le=MAX_WORKERS)] = 8
    pool: Literal["processes", "threads"] = "processes"
    tokens: Annotated[int, Meta(ge=1, le=_MAX_CONNECTIONS)] | None = None
    connections: Annotated[int, Meta(ge=1, le=_MAX_CONNECTIONS)] | None = None
    rate: Annotated[float, Meta(gt=0, le=1e6)] | str = AUTO
    pattern: str = AUTO
    pattern_options: dict[str, str] = {}
    duration_s: Annotated[float, Meta(gt=0, le=_MAX_SECONDS)] | None = None
    load_processes: Annotated[int, Meta(ge=1, le=64)] = 1
    backlog: Annotated[int, Meta(ge=1, le=65535)] = 1024
    family: str | None = None
    host: str | None = None
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    work_us: Annotated[float, Meta(ge=0, le=1e7)] = 0.0
    hold_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    block_s: Annotated[float, Meta(ge=0, le=60)] = 0.0
    block_every: Annotated[int, Meta(ge=1, le=_MAX_CONNECTIONS)] = 100
    batch: Annotated[int, Meta(ge=1, le=65536)] = 1
    seed: int = 1
    probe: str = AUTO
    snapshot: bool = False
    kernel: str = "host"
    options: dict[str, str] = {}
    output: str | None = None
    timeout_s: Annotated[float, Meta(gt=0, le=_MAX_SECONDS)] | None = None
    pin: Pin = Pin()

    def resolved(self) -> RunConfig:
        """The effective config: every default that depends on another value is filled in.

        :raises UsageError: values that are wrong, alone or together
        """
        from herd.strategies import choose, predict, reference
        from herd.traffic import patterns

        reference(self.strategy)
        check_names(self)
        family = families.choose(self.family, self.host)
        host = family.host(self.host, self.port)
        cpus(self.pin.workers), cpus(self.pin.load)
        options = choose(self.strategy, self.options)
        pattern = self._pattern()
        chosen = patterns.choose(pattern, self.pattern_options)
        rate = self._rate(predict(self.strategy, options, self.workers).expected, pattern)
        self._check_fit(options, family.name)
        changes: dict[str, Any] = {
            "family": family.name,
            "host": host,
            "rate": rate,
            "pattern": pattern,
            "pattern_options": chosen,
            "connections": self._connections(rate, patterns.find(pattern).length(chosen)),
            "options": options,
        }
        if self.tokens:
            self._check_tokens()
            changes |= {"connections": None, "probe": "none"}
        resolved = msgspec.structs.replace(self, **changes)
        if self.timeout_s is None:
            resolved = msgspec.structs.replace(resolved, timeout_s=resolved._patience())
        return resolved

    def _check_fit(self, options: dict[str, str], family: str) -> None:
        from herd.strategies import find

        with guarded(f"strategy {self.strategy} cannot be used"):
            strategy = find(self.strategy)(options)
            self._check_family(strategy, family)
            self._check_pool(strategy)
            self._check_block(strategy)

    def _check_family(self, strategy: Strategy, family: str) -> None:
        not_there = strategy.unsuited(family)
        if not_there:
            raise Unfit(
                f"strategy {self.strategy} cannot wait on {family} sockets: {not_there}",
                "choose another --family, or another --strategy",
            )

    def _check_pool(self, strategy: Strategy) -> None:
        not_so = strategy.why_not_threads() if self.pool == "threads" else None
        if not_so:
            raise Unfit(
                f"strategy {self.strategy} cannot run in threads: {not_so}",
                "leave out --pool threads",
            )

    def _check_block(self, strategy: Strategy) -> None:
        if self.block_s and not strategy.logs:
            raise Unfit(
                f"strategy {self.strategy} cannot block: its workers run another program",
                "leave out --block",
            )

    def _check_tokens(self) -> None:
        from herd.strategies import find

        if not find(self.strategy).waits_on_pipes or self.pool != "processes":
            raise Unfit(
                f"strategy {self.strategy} in {self.pool} cannot wait for tokens",
                "tokens are passed by processes that wait as accept, select, poll or epoll do",
            )
        if self.connections:
            raise UsageError(
                "a run has tokens or connections, not both", "leave out tokens, or connections"
            )

    def _pattern(self) -> str:
        """The arrival pattern that was asked for, by its name or by the rate."""
        from herd.traffic import patterns

        if self.rate == SETTLED and self.pattern in (AUTO, SETTLED):
            return SETTLED
        if self.pattern == AUTO:
            return "constant"
        if self.rate != AUTO and not patterns.find(self.pattern).takes_rate:
            raise UsageError(f"--pattern {self.pattern} has no --rate", "leave one of them out")
        if self.rate == SETTLED:
            raise UsageError(
                f"--rate settled is a pattern, and so is {self.pattern}", "leave one of them out"
            )
        return self.pattern

    def _rate(self, wakeups: float, pattern: str) -> float | str:
        from herd.traffic import patterns

        if pattern == SETTLED and self.load_processes > 1:
            raise UsageError(
                "--rate settled sends one connection at a time, so it takes one load process",
                "leave out --load-processes",
            )
        if not patterns.find(pattern).takes_rate:
            return SETTLED if pattern == SETTLED else AUTO
        if self.rate != AUTO:
            return self.rate
        slower = 1.0 if self.kernel == "host" else _EMULATED
        busy_us = (
            slower * (_CONNECTION_US + _WAKEUP_US * wakeups)
            + self.work_us
            + (self.hold_s + self.block_s / self.block_every) * 1e6
        )
        return float(f"{min(_FASTEST_DEFAULT, 0.5e6 / busy_us):.3g}")

    def _connections(self, rate: float | str, length: int | None) -> int:
        """:param length: how many there are in the arrival pattern"""
        if self.connections is not None:
            return min(self.connections, length or self.connections)
        if length is not None:
            return length
        if self.duration_s is None:
            return 1000
        # A bound for the logs; what ends the run is the duration.
        per_second = rate if isinstance(rate, float) else 10_000.0
        return min(_MAX_CONNECTIONS, int(self.duration_s * per_second) + 1)

    def _patience(self) -> float:
        """Generous: only a run that hangs should meet it."""
        slower = 1.0 if self.kernel == "host" else _EMULATED
        held = self.hold_s + self.block_s
        per_connection = 1 / self.rate if isinstance(self.rate, float) else slower * 0.05 + held
        load = self.duration_s or (self.connections or 0) * per_connection
        load += (self.tokens or 0) * slower * _TOKEN_S * (1 + self.workers)
        return float(round(30 * slower**0.5 + 2 * load + held + 0.05 * slower * self.workers))

    @property
    def label(self) -> str:
        """What tells its recording from another's: strategy, workers, and an unusual pool or kernel."""
        kind = "" if self.pool == "processes" else f"-{self.pool}"
        where = "" if self.kernel == "host" else f"-linux{self.kernel}"
        return f"{self.strategy}-n{self.workers}{kind}{where}"

    @property
    def probes(self) -> list[str]:
        """The probes to start: the first one records, the others judge it."""
        return [] if self.probe == "none" else self.probe.split(",")

    @property
    def rate_number(self) -> float:
        """The rate where there is one; 0 when the run paces itself."""
        return self.rate if isinstance(self.rate, float) else 0.0


def cpus(text: str) -> list[int]:
    """``0-1,3`` → [0, 1, 3]; each must be a CPU that this process may use."""
    import os

    found: set[int] = set()
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        span = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
        if not span:
            raise UsageError(f"{text!r} is not a CPU list", "write it like 0-1,3")
        found.update(span)
    missing = found - os.sched_getaffinity(0)
    if missing:
        have = ",".join(map(str, sorted(os.sched_getaffinity(0))))
        raise UsageError(f"no such CPU: {min(missing)} (this process may use {have})")
    return sorted(found)


def check_names(config: RunConfig) -> None:
    """Whether there is a probe and a rate of these names.

    :raises UsageError: with the nearest one
    """
    from herd.probes import modes

    known = modes.names()
    if config.probe not in (AUTO, "none"):
        for name in config.probes:
            if name not in known:
                raise unknown("probe", name, [AUTO, "none", *known])
        if len(set(config.probes)) < len(config.probes):
            raise UsageError(f"probe {config.probe!r} names one twice")
    if isinstance(config.rate, str) and config.rate not in (AUTO, SETTLED):
        raise UsageError(
            f"{config.rate!r} is not a rate", "give connections per second, or settled"
        )


def parse(values: dict[str, Any]) -> RunConfig:
    """Check plain values, such as a TOML file's or keyword arguments.

    :raises UsageError: an unknown key (with the nearest one) or a value out of range
    """
    return checked(values, RunConfig)


def checked(values: dict[str, Any], kind: type[S]) -> S:
    """The same, for any such struct."""
    fields = [field.name for field in msgspec.structs.fields(kind)]
    for key in values:
        if key not in fields:
            raise unknown("config key", key, fields)
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"config: {_readable(str(error))}") from None


def _readable(text: str) -> str:
    """msgspec's "Expected `int` <= 1024 - at `$.workers`" → "workers: expected int <= 1024"."""
    what, _, where = text.partition(" - at ")
    key = where.strip("`").removeprefix("$.")
    what = what.replace("`", "")
    return f"{key}: {what[0].lower()}{what[1:]}" if key else what


def read(path: Path) -> dict[str, Any]:
    """A config file's values."""
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def as_dict(config: RunConfig) -> dict[str, Any]:
    """Plain values, null where unset."""
    return dict(msgspec.to_builtins(config))


def to_toml(config: RunConfig) -> str:
    """TOML that :func:`parse` turns into the same config; what is unset is left out."""
    import tomli_w

    values = {key: value for key, value in as_dict(config).items() if value is not None}
    return tomli_w.dumps(values)
