"""Whether this host has room for a run: descriptors, processes, ports. Asked before anything starts."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final

from herd import families
from herd.config import RunConfig
from herd.errors import HostError
from herd.traffic import patterns

_SPARE_DESCRIPTORS: Final = 64
#: What a thread opens for itself in the process of all: an epoll set, a socket, a lock; two at the most.
_PER_THREAD: Final = 2


def sources(config: RunConfig) -> list[str]:
    """The addresses to connect from."""
    return _family(config).sources(config.seed)


def _family(config: RunConfig) -> families.Family:
    assert config.family is not None
    return families.find(config.family)


def open_at_once(config: RunConfig) -> int:
    """An estimate of the connections that are open at the same time, with room for a slow second."""
    assert config.connections is not None
    pattern = patterns.find(config.pattern)
    if pattern.needs_workers:
        return 1
    if not pattern.takes_rate:
        return min(
            config.connections, pattern.clients(config.pattern_options) or config.connections
        )
    return min(config.connections, int(config.rate_number * (config.hold_s + 1)) + 1)


def check(config: RunConfig) -> None:
    """Raise this process's soft descriptor limit, which its children inherit, and check the rest.

    :raises HostError: the run can't fit
    """
    _check_descriptors(config)
    _check_processes(config)
    _check_ports(config)


def _check_descriptors(config: RunConfig) -> None:
    of_workers = _PER_THREAD * config.workers if config.pool == "threads" else 0
    need = max(open_at_once(config) + of_workers, config.workers)
    check_descriptors(need, "lower --rate, --hold or --workers")


def check_descriptors(need: int, instead: str) -> None:
    """Raise this process's descriptor limit, which its children inherit, as far as one of them needs.

    :param need: what is open at once in one process, besides what each process has
    :param instead: what a user can do who may not raise it
    :raises HostError: that many are not allowed
    """
    need += _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < need:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (need, need))  # root may
        except (ValueError, OSError):
            raise HostError(
                f"this run needs up to {need} descriptors in one process, and the limit is {hard}",
                f"raise it (ulimit -Hn {need}), or {instead}",
            ) from None
    elif soft != resource.RLIM_INFINITY and soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


def _check_processes(config: RunConfig) -> None:
    need = config.workers + config.load_processes + 2
    for name in ("pid_max", "threads-max"):
        have = int(Path(f"/proc/sys/kernel/{name}").read_text())
        if have < 2 * need:
            raise HostError(
                f"this run needs {need} processes, and kernel.{name} is {have}",
                f"raise it: sysctl kernel.{name}={4 * need}",
            )


def _check_ports(config: RunConfig) -> None:
    check_ports(_family(config), open_at_once(config), config.seed)


def check_ports(family: families.Family, need: int, seed: int) -> None:
    """Whether clients have ports enough.

    :param need: connections that are open at once, of all processes
    :raises HostError: they have not
    """
    if not family.tcp:
        return
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if need > (last - first + 1) * len(family.sources(seed)):
        raise HostError(
            f"up to {need} connections would be open at once, and there are"
            f" {(last - first + 1) * len(family.sources(seed))}"
            f" client ports (net.ipv4.ip_local_port_range {first}-{last})",
            "lower --rate or --hold, or widen the range",
        )
