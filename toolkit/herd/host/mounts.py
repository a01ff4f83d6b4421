"""The three kernel file systems that tracing tools read, and mounting them."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

MOUNTS = {
    "tracefs": "/sys/kernel/tracing",
    "debugfs": "/sys/kernel/debug",
    "bpf": "/sys/fs/bpf",
}
"""File-system type to mount point."""

MOUNTINFO = Path("/proc/self/mountinfo")
FILESYSTEMS = Path("/proc/filesystems")


def mounted(path: str | Path) -> bool:
    """Whether something is mounted at exactly this path, as this process sees it."""
    return str(path) in {_unescape(line.split(" ")[4]) for line in _lines(MOUNTINFO)}


def supported(kind: str) -> bool:
    """Whether the running kernel knows this file-system type."""
    return kind in {line.split("\t")[-1] for line in _lines(FILESYSTEMS)}


def ensure_mounts() -> list[str]:
    """Mount what is not mounted yet; returns the mount points that it mounted.

    One that the kernel refuses (no privileges, not built in) is left as it was.
    """
    missing = [(kind, path) for kind, path in MOUNTS.items() if not mounted(path)]
    return [path for kind, path in missing if _mount(kind, path)]


def mount_command(kind: str) -> str:
    """What a user types to mount one of ``MOUNTS``."""
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}mount -t {kind} {kind} {MOUNTS[kind]}"


def _mount(kind: str, path: str) -> bool:
    source, target = kind.encode(), path.encode()
    refused: int = ctypes.CDLL(None).mount(source, target, source, ctypes.c_ulong(0), None)
    return refused == 0


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _unescape(field: str) -> str:
    # proc(5): a space, tab, newline or backslash in a path is written in octal.
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
