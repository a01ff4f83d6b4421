"""Whether this process may load BPF programs: capabilities decide, not the user's name."""

from __future__ import annotations

import os
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
PID_NAMESPACE = Path("/proc/self/ns/pid")

_FIRST_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO, include/linux/proc_ns.h

_CAP_SYS_ADMIN = 21
_CAP_PERFMON = 38
_CAP_BPF = 39


def may_load_bpf() -> bool:
    """CAP_SYS_ADMIN, or CAP_BPF with CAP_PERFMON (since Linux 5.8), is effective here."""
    held = _capabilities()
    return _holds(held, _CAP_SYS_ADMIN) or (_holds(held, _CAP_BPF) and _holds(held, _CAP_PERFMON))


def sees_all_processes() -> bool:
    """Whether process ids are the kernel's own here, as probes tell them; not in a container's namespace."""
    return PID_NAMESPACE.stat().st_ino == _FIRST_PID_NAMESPACE


def who() -> str:
    """``root`` or ``user 1000``."""
    return "root" if os.geteuid() == 0 else f"user {os.geteuid()}"


#: What a user types who is in another one.
ON_THE_HOST = "run herd on the host, or start the container with --pid=host"


def how_to_get_them(command: str = "run") -> str:
    """What a user who lacks them types.

    :param command: herd's, that needs them
    """
    # Root without them is in a container that was given none; sudo would not help.
    if os.geteuid() == 0:
        return "restart the container with --privileged"
    return f"sudo {sys.executable} -m herd {command}"


def _capabilities() -> int:
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)


def _holds(capabilities: int, number: int) -> bool:
    return bool(capabilities >> number & 1)
