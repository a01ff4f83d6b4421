"""The model in words, and as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from herd.observe.inspect.findings import listed, named
from herd.observe.inspect.model import Entry, Group, Socket

_FLAGS: Final = {"edge": "EPOLLET", "oneshot": "EPOLLONESHOT"}


def describe(group: Group) -> Iterator[str]:
    """A group, line by line, indented; sockets that are alike are told together."""
    yield f"{group.name}: {_headline(group)}"
    alike: defaultdict[object, list[Socket]] = defaultdict(list)
    for socket in group.sockets:
        waits = tuple(_shape(entry) for entry in socket.entries)
        alike[tuple(_settings(socket)), waits, socket.complete].append(socket)
    for sockets in alike.values():
        yield from (f"  {line}" for line in _told(group, sockets))
    if group.program:
        yield f"  a BPF program ({group.program.kind}) chooses among them"
    elif group.reuseport and not group.programs_seen:
        yield "  whether a BPF program chooses among them is unknown"


def as_json(group: Group) -> list[dict[str, Any]]:
    """The sockets of a group as ``--json`` prints them; what couldn't be seen is ``None``."""
    return [_socket_json(group, socket) for socket in group.sockets]


def _headline(group: Group) -> str:
    server = f" of {group.server}" if group.server else ""
    number = len(group.holders)
    who = f"{number} process{'es' if number != 1 else ''}{server}"
    if len(group.sockets) == 1:
        return f"one socket, {'shared by' if number > 1 else 'held by'} {who}"
    return f"a reuseport group of {len(group.sockets)} sockets, held by {who}"


def _told(group: Group, sockets: list[Socket]) -> Iterator[str]:
    """Sockets that are alike, but for whose they are."""
    first = sockets[0]
    each = ", each" if len(sockets) > 1 else ""
    cookies = listed(f"{socket.listener.cookie:x}" for socket in sockets)
    yield f"socket{'s' if each else ''} {cookies}{each}: {', '.join(_settings(first))}"
    yield f"  held by {_held(group, sockets)}"
    entries = [entry for socket in sockets for entry in socket.entries]
    yield from (f"  {line}" for line in _waits(entries))
    if not entries:
        yield "  awaited by nobody now" if first.complete else "  who waits is unknown"
    yield f"  {_wakes(sockets)}"


def _settings(socket: Socket) -> Iterator[str]:
    listener, options = socket.listener, socket.options
    yield f"backlog {listener.backlog}, {listener.queue} queued"
    if options is None:
        yield "SO_REUSEPORT unknown"
        return
    yield f"SO_REUSEPORT {'set' if options.reuseport else 'not set'}"
    if options.incoming_cpu >= 0:
        yield f"SO_INCOMING_CPU {options.incoming_cpu}"
    if options.defer_accept_s:
        yield f"TCP_DEFER_ACCEPT {options.defer_accept_s} s"


def _held(group: Group, sockets: list[Socket]) -> str:
    holders = {socket.holders for socket in sockets}
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    for pid in sorted({pid for held in holders for pid in held}):
        process = group.processes.get(pid)
        by_name[process.comm if process else "(ended)"].append(pid)
    names = "; ".join(f"{name} {named(pids)}" for name, pids in by_name.items())
    return f"one of {names}" if len(holders) > 1 else names or "nobody seen"


def _waits(entries: list[Entry]) -> Iterator[str]:
    """Entries that are alike, on one line."""
    alike: defaultdict[object, list[Entry]] = defaultdict(list)
    for entry in entries:
        alike[_shape(entry)].append(entry)
    for same in alike.values():
        first = same[0]
        verb = "awaited" if first.used else "registered, but not awaited,"
        sets = f"{len(same)} set{'s' if len(same) > 1 else ''} of "
        shared = "shared by " if len(first.pids) > 1 else ""
        who = named({pid for entry in same for pid in entry.pids})
        awake = sum(not entry.sleepers for entry in same) if first.used else 0
        now = f"; {awake} awake now" if awake else ""
        yield f"{verb} in {_how(first)}: {sets if first.kind == 'epoll' else ''}{shared}{who}{now}"


def _shape(entry: Entry) -> tuple[object, ...]:
    return entry.kind, entry.exclusive, entry.modes, len(entry.pids) > 1, entry.used


def _how(entry: Entry) -> str:
    said = [_FLAGS[mode] for mode in entry.modes]
    if entry.kind == "epoll":
        said = [*(said or ["level-triggered"]), *(["EPOLLEXCLUSIVE"] if entry.exclusive else [])]
    if not entry.exclusive:
        said.append("not exclusively")
    return ", ".join([entry.kind, *said])


def _wakes(sockets: list[Socket]) -> str:
    most = [socket.wakes_at_most for socket in sockets]
    if None in most:
        return "how many the next connection wakes is unknown"
    asleep = max(len(socket.sleepers) for socket in sockets)
    return f"the next connection wakes at most {max(m or 0 for m in most)} of {asleep} asleep"


def _socket_json(group: Group, socket: Socket) -> dict[str, Any]:
    listener, options = socket.listener, socket.options
    return {
        "cookie": listener.cookie,
        "inode": listener.inode,
        "netns": listener.netns,
        "family": listener.family,
        "address": listener.name,
        "server": group.server,
        "shared_by": list(socket.holders),
        "reuseport": options.reuseport if options else None,
        "group_of": len(group.sockets),
        "program": _program_json(group),
        "backlog": listener.backlog,
        "queued": listener.queue,
        "incoming_cpu": options.incoming_cpu if options and options.incoming_cpu >= 0 else None,
        "defer_accept_s": options.defer_accept_s if options else None,
        "waiters": [asdict(entry) | {"modes": list(entry.modes)} for entry in socket.entries],
        "wakes_at_most": socket.wakes_at_most,
        "complete": socket.complete,
    }


def _program_json(group: Group) -> dict[str, Any] | bool | None:
    """``False``: there is none; ``None``: it couldn't be looked for."""
    if group.program:
        return asdict(group.program)
    return False if group.programs_seen else None
