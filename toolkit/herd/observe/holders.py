"""Which processes hold a socket, and which epoll sets watch it, by ``/proc``.

What belongs to another user can't be seen without root; how many processes that were is told.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

#: include/uapi/linux/eventpoll.h
EPOLLEXCLUSIVE: Final = 1 << 28
EPOLLONESHOT: Final = 1 << 30
EPOLLET: Final = 1 << 31

#: Places in ``/proc/PID/stat`` after the name.
_PARENT: Final = 1
_GROUP: Final = 2

_EPOLL: Final = "anon_inode:[eventpoll]"


@dataclass(frozen=True)
class Holder:
    """A descriptor that refers to a socket."""

    pid: int
    comm: str
    fd: int
    inode: int  #: the socket's


@dataclass(frozen=True)
class EpollItem:
    """A socket in a process's epoll set."""

    pid: int
    comm: str
    epoll_fd: int
    fd: int  #: as it was registered; that descriptor may be closed by now
    inode: int  #: the socket's
    events: int  #: the mask, modes included


@dataclass
class Seen:
    """What a look through ``/proc`` found."""

    holders: list[Holder] = field(default_factory=list)
    epoll_items: list[EpollItem] = field(default_factory=list)
    hidden: list[int] = field(default_factory=list)  #: processes whose descriptors we may not see


def modes(events: int) -> list[str]:
    """The modes in an epoll event mask; none is level-triggered."""
    names = ((EPOLLEXCLUSIVE, "exclusive"), (EPOLLET, "edge"), (EPOLLONESHOT, "oneshot"))
    return [name for bit, name in names if events & bit]


def look(inodes: Container[int], pids: list[int] | None = None, proc: Path = PROC) -> Seen:
    """Find who holds these sockets.

    A process that ends meanwhile is left out. Threads that share their process's descriptors, as nearly
    all do, are not looked at.

    :param inodes: of the sockets
    :param pids: processes to look at; by default all
    """
    seen = Seen()
    for pid in processes(proc) if pids is None else pids:
        _look_at(pid, inodes, proc, seen)
    return seen


def processes(proc: Path = PROC) -> list[int]:
    """The ids of all processes."""
    return sorted(int(entry.name) for entry in os.scandir(proc) if entry.name.isdecimal())


def family(pid: int, proc: Path = PROC) -> list[int]:
    """A process that lives, and its descendants."""
    children: dict[int, list[int]] = {}
    for other in processes(proc):
        children.setdefault(_stat(other, proc, _PARENT), []).append(other)
    found = [pid]
    for member in found:  # grows while it is gone through
        found += children.get(member, [])
    return found


def process_group(number: int, proc: Path = PROC) -> list[int]:
    """The members of a process group."""
    return [pid for pid in processes(proc) if _stat(pid, proc, _GROUP) == number]


def parent(pid: int, proc: Path = PROC) -> int:
    """Who started a process, or has taken it over; -1 if it is gone."""
    return _stat(pid, proc, _PARENT)


def comm(pid: int, proc: Path = PROC) -> str:
    """A process's name, or nothing if it is gone."""
    try:
        return (proc / str(pid) / "comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return ""


def _look_at(pid: int, inodes: Container[int], proc: Path, seen: Seen) -> None:
    folder = proc / str(pid)
    name: str | None = None
    try:
        for fd, link in _links(folder):
            if link != _EPOLL and _inode(link) not in inodes:
                continue
            name = comm(pid, proc) if name is None else name
            if link == _EPOLL:
                seen.epoll_items += _items(folder, pid, name, fd, inodes)
            else:
                seen.holders.append(Holder(pid, name, fd, _inode(link)))
    except PermissionError:
        seen.hidden.append(pid)
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended


def _links(folder: Path) -> Iterator[tuple[int, str]]:
    with os.scandir(folder / "fd") as entries:
        for entry in entries:
            try:
                yield int(entry.name), os.readlink(entry.path)  # noqa: PTH115
            except FileNotFoundError:
                continue  # closed meanwhile


def _inode(link: str) -> int:
    """``socket:[4711]`` → 4711; -1 of anything else."""
    return int(link[8:-1]) if link.startswith("socket:[") else -1


def _items(
    folder: Path, pid: int, name: str, epoll_fd: int, inodes: Container[int]
) -> Iterator[EpollItem]:
    """Lines such as ``tfd: 3 events: 90000019 data: 3 pos:0 ino:125c79 sdev:9`` (ep_show_fdinfo())."""
    try:
        lines = (folder / "fdinfo" / str(epoll_fd)).read_text().splitlines()
    except FileNotFoundError:
        return  # closed meanwhile
    for line in lines:
        if not line.startswith("tfd:"):
            continue
        words = line.replace(":", " ").split()
        said = dict(zip(words[::2], words[1::2], strict=False))
        inode = int(said["ino"], 16)
        if inode in inodes:
            yield EpollItem(pid, name, epoll_fd, int(said["tfd"]), inode, int(said["events"], 16))


def _stat(pid: int, proc: Path, place: int) -> int:
    """A number of ``/proc/PID/stat``; -1 if the process is gone."""
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return -1
    # The name, in parentheses, may itself hold spaces and parentheses.
    return int(text.rpartition(")")[2].split()[place])
