"""Whether a run fits this host, and the kernel's own counters."""

from __future__ import annotations

import ipaddress
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

from herd import counters, limits
from herd.config import RunConfig, parse
from herd.errors import HostError

PORTS = "/proc/sys/net/ipv4/ip_local_port_range"


def config(**values) -> RunConfig:
    return parse(values).resolved()


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Says what files hold, instead of the host's own."""

    def place(path: str) -> Path:
        fake = tmp_path / path.lstrip("/")
        return fake if fake.exists() else Path(path)

    def write(path: str, text: str) -> None:
        fake = tmp_path / path.lstrip("/")
        fake.parent.mkdir(parents=True, exist_ok=True)
        fake.write_text(text)

    monkeypatch.setattr(limits, "Path", place)
    monkeypatch.setattr(counters, "Path", place)
    return write


@pytest.fixture
def descriptors(monkeypatch):
    """Pretends limits of descriptors; returns what was set."""
    given = {"limits": (1024, 4096)}
    monkeypatch.setattr(resource, "getrlimit", lambda which: given["limits"])
    monkeypatch.setattr(
        resource, "setrlimit", lambda which, limits: given.update(limits=limits, which=which)
    )
    return given


# --- source addresses


def test_sources_are_sixteen_loopback_addresses_that_the_seed_chooses():
    first, again, other = (limits.sources(config(seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) == 16
    assert all(ipaddress.ip_address(address).is_loopback for address in first)
    assert not {"127.0.0.0", "127.0.0.1", "127.0.0.255"} & set(first)


def test_ipv6_has_one_loopback_address():
    assert limits.sources(config(host="::1")) == ["::1"]


# --- what is open at once


@pytest.mark.parametrize(
    ("values", "most"),
    [
        ({"rate": "settled", "hold_s": 5.0}, 1),
        ({"rate": 100.0, "connections": 5}, 5),
        ({"rate": 100.0, "connections": 10_000}, 101),
        ({"rate": 100.0, "connections": 10_000, "hold_s": 2.0}, 301),
    ],
)
def test_connections_open_at_once_are_a_second_more_than_they_are_held(values, most):
    assert limits.open_at_once(config(**values)) == most


# --- limits


def test_a_soft_limit_that_is_enough_is_left_alone(descriptors):
    limits.check(config(rate=100.0, connections=500))
    assert descriptors == {"limits": (1024, 4096)}


def test_a_soft_limit_is_raised_as_far_as_needed_and_the_hard_one_kept(descriptors):
    limits.check(config(rate=2000.0, connections=5000))
    assert descriptors == {"limits": (2065, 4096), "which": resource.RLIMIT_NOFILE}


def test_many_workers_need_descriptors_too(descriptors):
    limits.check(config(workers=1024, rate="settled"))
    assert descriptors["limits"][0] == 1024 + 64


def test_threads_have_all_their_descriptors_in_one_process(descriptors):
    limits.check(config(workers=1024, rate=100.0, connections=500, pool="threads"))
    assert descriptors["limits"][0] == 2 * 1024 + 101 + 64


def test_root_may_raise_a_hard_limit(descriptors):
    limits.check(config(rate=10_000.0, connections=50_000))
    assert descriptors["limits"] == (10_065, 10_065)


def test_a_hard_limit_that_is_too_low_is_this_hosts_fault_and_says_what_to_do(
    descriptors, monkeypatch
):
    def refused_to_all_but_root(which, limits):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refused_to_all_but_root)
    with pytest.raises(HostError, match=r"up to 10065 descriptors .* limit is 4096") as refused:
        limits.check(config(rate=10_000.0, connections=50_000))
    assert "ulimit -Hn 10065" in (refused.value.hint or "")
    assert refused.value.exit_code == 3
    assert descriptors == {"limits": (1024, 4096)}


def test_no_limit_is_enough_for_everyone(descriptors):
    descriptors["limits"] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    limits.check(config(rate=10_000.0, connections=50_000))
    assert "which" not in descriptors


@pytest.mark.parametrize("name", ["pid_max", "threads-max"])
def test_room_for_processes_is_asked_of_the_kernel(name, files):
    files(f"/proc/sys/kernel/{name}", "222\n")
    limits.check(config(workers=108))  # 108 workers, one load, parent and probe: half of 222
    with pytest.raises(
        HostError, match=f"needs 112 processes, and kernel.{name} is 222"
    ) as refused:
        limits.check(config(workers=109))
    assert f"sysctl kernel.{name}=" in (refused.value.hint or "")


def test_client_ports_are_counted_for_every_source(files, descriptors):
    descriptors["limits"] = (1 << 20, 1 << 20)
    files(PORTS, "60000\t60009\n")
    limits.check(config(rate=159.0, connections=5000))
    with pytest.raises(HostError, match=r"up to 161 connections .* 160 client ports .*60000-60009"):
        limits.check(config(rate=160.0, connections=5000))
    with pytest.raises(HostError, match="10 client ports"):
        limits.check(config(rate=159.0, connections=5000, host="::1"))


# --- counters


def test_counters_are_found_wherever_the_kernel_puts_them(files):
    netstat = [
        "TcpExt: SyncookiesSent TW ListenOverflows NewOne ListenDrops",
        "TcpExt: 1 2 3 4 5",
        "IpExt: InNoRoutes TW2",
        "IpExt: 6 7",
    ]
    files("/proc/net/netstat", "\n".join(netstat) + "\n")
    sockstat = ["sockets: used 9", "TCP: inuse 1 tw 33 orphan 2 alloc 4 mem 5", "UDP: inuse 6"]
    files("/proc/net/sockstat", "\n".join(sockstat) + "\n")
    assert counters.snapshot() == {
        "ListenOverflows": 3,
        "ListenDrops": 5,
        "TW": 2,
        "TIME_WAIT": 33,
    }


def test_counters_agree_with_nstat():
    nstat = shutil.which("nstat")
    if nstat is None:
        pytest.skip("nstat (iproute2) is not installed")
    names = ("ListenOverflows", "ListenDrops", "TW")
    before = counters.snapshot()
    command = [nstat, "-asz", *(f"TcpExt{name}" for name in names)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    after = counters.snapshot()
    lines = [line.split() for line in answer.stdout.splitlines() if line.startswith("TcpExt")]
    theirs = {name.removeprefix("TcpExt"): int(value) for name, value, *_ in lines}
    assert theirs.keys() == set(names)
    for name in names:  # others on this host may add to them meanwhile
        assert before[name] <= theirs[name] <= after[name]
