"""Who a process is, and who its relatives are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from herd.observe import holders
from herd.observe.holders import PROC

#: It is systemd, where there is systemd.
INIT: Final = 1


@dataclass(frozen=True)
class Process:
    """What ``/proc`` tells of a process."""

    pid: int
    parent: int
    comm: str
    program: str | None  #: its executable's name; ``None``: another user's, or the kernel's
    arguments: tuple[str, ...]  #: as shown now: a server may have written a title over them


def related(pids: Iterable[int], proc: Path = PROC) -> dict[int, Process]:
    """These processes, their parents and their descendants; those that have ended are left out."""
    given = set(pids)
    parents = {pid: holders.parent(pid, proc) for pid in holders.processes(proc)}
    # Everybody descends from init, which may hold a socket for others.
    ancestors = given - {INIT}
    wanted = {pid for pid in parents if ancestors.intersection(_line(pid, parents))}
    wanted |= given | {parents.get(pid, -1) for pid in given}
    found = (_read(pid, proc) for pid in sorted(wanted))
    return {process.pid: process for process in found if process}


def _line(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid > 0:
        yield pid
        pid = parents.get(pid, -1)


def _read(pid: int, proc: Path) -> Process | None:
    folder = proc / str(pid)
    try:
        line = (folder / "cmdline").read_bytes().rstrip(b"\0")
    except OSError:
        return None
    words = tuple(os.fsdecode(word) for word in line.split(b"\0"))
    return Process(pid, holders.parent(pid, proc), holders.comm(pid, proc), _program(folder), words)


def _program(folder: Path) -> str | None:
    try:
        # A program that was replaced, as by an upgrade, is "… (deleted)".
        return (folder / "exe").readlink().name.removesuffix(" (deleted)")
    except OSError:
        return None
