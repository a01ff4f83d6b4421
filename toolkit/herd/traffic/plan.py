"""What ``herd load`` is to do: its flags, checked, and told to each load process."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from herd import families, limits
from herd.config import checked
from herd.errors import UsageError
from herd.observe import targets
from herd.traffic import patterns, requests
from herd.traffic.manners import Manners

_DEFAULT_RATE: Final = 1000.0
_DEFAULT_SECONDS: Final = 10.0
MOST_ROWS: Final = 20_000_000
#: More than one process can do in a second; a bound for its log, where only the time is given.
_FASTEST: Final = 60_000
_SPIN_NS: Final = 100_000
_LOOPBACK_ONLY: Final = "herd sends its load to 127.0.0.0/8, ::1 or a unix socket only"


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that decides a load."""

    target: str
    pattern: str = "constant"
    request: str = "connect"
    rate: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    connections: Annotated[int, Meta(ge=1, le=MOST_ROWS)] | None = None
    duration_s: Annotated[float, Meta(gt=0, le=86400)] | None = None
    processes: Annotated[int, Meta(ge=1, le=64)] = 1
    requests: Annotated[int, Meta(ge=1, le=65535)] = 1
    think_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    hold_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    closes: Literal["client", "server", "reset"] | None = None
    patience_s: Annotated[float, Meta(gt=0, le=3600)] = 5.0
    timeout_s: Annotated[float, Meta(gt=0, le=86400)] | None = None
    seed: int = 1
    options: dict[str, str] = {}

    @property
    def pattern_options(self) -> dict[str, str]:
        """Those of the arrival pattern."""
        return patterns.choose(self.pattern, self._chosen(patterns.options(), requests.options()))

    @property
    def request_options(self) -> dict[str, str]:
        """Those of the request."""
        return requests.choose(self.request, self._chosen(requests.options(), patterns.options()))

    def _chosen(self, mine: Any, others: Any) -> dict[str, str]:
        return {
            key: value for key, value in self.options.items() if key in mine or key not in others
        }

    @property
    def server_closes(self) -> bool:
        """Whether the server closes first."""
        if self.closes is None:
            return requests.find(self.request).server_closes
        return self.closes == "server"

    @property
    def clients(self) -> int | None:
        """How many clients there are in a closed loop; ``None``: it is an open one."""
        return patterns.find(self.pattern).clients(self.pattern_options)

    @property
    def limit(self) -> int:
        """Connections to make, all in all; if only the time is given, more than there is time for."""
        bounds = [self.connections, patterns.find(self.pattern).length(self.pattern_options)]
        if self.duration_s:
            fastest = self.rate or _FASTEST * self.processes
            bounds.append(min(MOST_ROWS, int(self.duration_s * fastest) + 1))
        return min(bound for bound in bounds if bound is not None)

    @property
    def open_at_once(self) -> int:
        """An estimate of the connections that are open at the same time, with room for a slow second."""
        if self.clients is not None:
            return min(self.clients, self.limit)
        stay_s = self.hold_s + self.requests * self.think_s + 1
        return min(self.limit, int((self.rate or _FASTEST) * stay_s) + 1)

    def resolved(self) -> Plan:
        """With every default filled in.

        :raises UsageError: values that are wrong, alone or together
        """
        address(self.target)
        pattern = patterns.find(self.pattern)
        if pattern.needs_workers:
            raise UsageError(
                f"--pattern {self.pattern} watches workers, and here herd has none",
                "use it with herd run, or take another one",
            )
        self._check_pattern()
        self._check_request()
        rate = self.rate or (_DEFAULT_RATE if pattern.takes_rate else None)
        endless = self.connections is None and self.duration_s is None
        seconds = _DEFAULT_SECONDS if endless and not self._length() else self.duration_s
        return msgspec.structs.replace(self, rate=rate, duration_s=seconds)

    def _length(self) -> int | None:
        return patterns.find(self.pattern).length(self.pattern_options)

    def _check_pattern(self) -> None:
        if self.rate and not patterns.find(self.pattern).takes_rate:
            raise UsageError(f"--pattern {self.pattern} has no --rate", "leave one of them out")
        if self.clients is not None and self.clients < self.processes:
            raise UsageError(
                f"{self.clients} clients can't be shared by {self.processes} processes",
                "fewer --processes, or more --clients",
            )

    def _check_request(self) -> None:
        request = requests.find(self.request)
        _ = self.request_options
        if self.requests > 1 and not request.repeats:
            again = [name for name in requests.names() if requests.find(name).repeats]
            raise UsageError(
                f"--request {self.request} can't be repeated on a connection",
                f"leave out --requests, or take --request {' or '.join(again)}",
            )
        if self.hold_s and self.server_closes:
            raise UsageError(
                "--hold keeps a connection open, and here the server closes it",
                "--closes client, with --hold",
            )


def address(target: str) -> tuple[families.Family, str, int]:
    """The family, host and port of what a user points at.

    :raises UsageError: it is not on this machine, or not understood
    """
    local = target.startswith("localhost:")
    meant = targets.parse(target.replace("localhost", "127.0.0.1", 1) if local else target)
    if meant.path is not None:
        return families.find("unix"), _socket_name(meant.path), 0
    assert meant.port is not None
    family = families.choose(None, meant.address)
    try:
        return family, str(family.host(meant.address, meant.port)), meant.port
    except UsageError as error:
        raise UsageError(f"{target}: {error.message}", _LOOPBACK_ONLY) from None


def _socket_name(path: str) -> str:
    return f"\0{path[1:]}" if path.startswith("@") else path


def parse(values: dict[str, Any]) -> Plan:
    """Check plain values one by one; together they are when the plan is resolved.

    :raises UsageError: a value that is wrong
    """
    return checked(values, Plan)


def check_host(plan: Plan) -> None:
    """Whether this host has room for it.

    :raises HostError: it has not
    """
    share = -(-plan.open_at_once // plan.processes)
    limits.check_descriptors(share, "take more --processes, or fewer --clients, --rate or --hold")
    limits.check_ports(address(plan.target)[0], plan.open_at_once, plan.seed)


def spec(plan: Plan, index: int, area_fd: int, capacity: int) -> dict[str, Any]:
    """What one load process is told (``herd.traffic.main``)."""
    family, host, port = address(plan.target)
    manners = Manners(
        requests=plan.requests,
        hold_ns=int(plan.hold_s * 1e9),
        think_ns=int(plan.think_s * 1e9),
        reset=plan.closes == "reset",
        patience_ns=int(plan.patience_s * 1e9),
    )
    return {
        "family": family.name,
        "host": host,
        "port": port,
        "sources": family.sources(plan.seed),
        "connections": len(range(index, plan.limit, plan.processes)),
        "duration": plan.duration_s,
        "hold_s": plan.hold_s,
        "pattern": plan.pattern,
        "pattern_options": plan.pattern_options,
        "rate": plan.rate or 0.0,
        "seed": plan.seed,
        "request": {
            "name": plan.request,
            "chosen": plan.request_options,
            "server_closes": plan.server_closes,
        },
        "manners": asdict(manners),
        "gives_up": True,
        "writes_ports": False,
        "spin_ns": _SPIN_NS,
        "logs": False,
        "pids": [],
        "index": index,
        "processes": plan.processes,
        "cpus": [],
        "area_fd": area_fd,
        "capacity": capacity,
    }
