"""What a run must record about the host. Light: no package is imported for its version."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from herd import __version__
from herd.host.bcc import bcc_version, find_bcc

PROC = Path("/proc")
SYS = Path("/sys")

_SYSCTLS = (
    "net.core.somaxconn",
    "net.core.netdev_max_backlog",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_migrate_req",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_tw_reuse",
)
_PACKAGES = ("numpy", "pandas", "pyarrow")


def metadata() -> dict[str, object]:
    """The kernel, machine, clock, settings and versions of this host; what is unknown is None.

    Only JSON types. Memory is in bytes, frequencies in kHz, times in nanoseconds.
    """
    return {
        "kernel": platform.release(),
        "kernel_version": platform.version(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "memory_bytes": _memory_bytes(),
        "distribution": _distribution(),
        "python": platform.python_version(),
        "versions": _versions(),
        "clock": _clock(),
        "sysctls": _sysctls(),
        "load_average": list(os.getloadavg()),
    }


def _cpu() -> dict[str, object]:
    info = _text(PROC / "cpuinfo") or ""
    cpufreq = SYS / "devices/system/cpu/cpu0/cpufreq"
    return {
        "model": _field(info, "model name") or _field(info, "Model"),
        "count": os.cpu_count(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "hypervisor": _hypervisor(info),
        "governor": _text(cpufreq / "scaling_governor"),
        "max_khz": _number(_text(cpufreq / "cpuinfo_max_freq")),
    }


def _hypervisor(cpuinfo: str) -> bool | None:
    # Only x86 says so among its flags.
    flags = _field(cpuinfo, "flags")
    return None if flags is None else "hypervisor" in flags.split()


def _memory_bytes() -> int | None:
    total = _field(_text(PROC / "meminfo") or "", "MemTotal")
    return None if total is None else int(total.split()[0]) * 1024


def _distribution() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _versions() -> dict[str, str | None]:
    folder = find_bcc()
    own = {"herd": __version__, "bcc": None if folder is None else bcc_version(folder)}
    return own | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _clock() -> dict[str, object]:
    """What ties the recording's ``CLOCK_MONOTONIC`` to wall time and to the boot."""
    monotonic = time.monotonic_ns()
    source = SYS / "devices/system/clocksource/clocksource0/current_clocksource"
    return {
        "monotonic_ns": monotonic,
        "realtime_ns": time.time_ns(),
        "boottime_ns": time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        "boot_id": _text(PROC / "sys/kernel/random/boot_id"),
        "resolution_s": time.get_clock_info("monotonic").resolution,
        "source": _text(source),
    }


def _sysctls() -> dict[str, str | None]:
    root = PROC / "sys"
    scheduler = (path for path in sorted((root / "kernel").glob("sched_*")) if path.is_file())
    named = {name: root / name.replace(".", "/") for name in _SYSCTLS}
    named |= {f"kernel.{path.name}": path for path in scheduler}
    return {name: _one_line(_text(path)) for name, path in named.items()}


def _one_line(text: str | None) -> str | None:
    return None if text is None else " ".join(text.split())


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _field(text: str, name: str) -> str | None:
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and key.strip() == name:
            return value.strip()
    return None
