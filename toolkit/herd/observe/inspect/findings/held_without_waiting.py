"""A process holds the socket and never waits on it: most often the parent, and fine."""

from __future__ import annotations

from collections.abc import Iterator

from herd.observe.inspect.findings._base import Finding, named
from herd.observe.inspect.model import Group
from herd.observe.processes import INIT


def look(group: Group) -> Iterator[Finding]:
    """Parents are one finding; others, which are neither they nor fellow workers, another."""
    if not group.awaiting:
        return
    idle = group.holders - group.awaiting - {INIT}
    masters = {pid for pid in idle if group.is_parent(pid)}
    if masters:
        yield Finding(
            id="master-holds",
            address=group.name,
            level="info",
            sure="certain",
            evidence=f"process {named(masters)} holds the socket, doesn't wait on it, and is the parent"
            " of those that do",
            meaning="a master, which is fine: it is never woken. If all workers end, connections queue"
            " until it starts others",
            advice="",
        )
    if others := idle - masters - group.workers:
        yield _left_over(group, others)


def _left_over(group: Group, pids: set[int]) -> Finding:
    commands = {group.processes[pid].comm for pid in pids if pid in group.processes}
    return Finding(
        id="socket-leaked",
        address=group.name,
        level="warning",
        sure="possible",
        evidence=f"process {named(pids)} ({', '.join(sorted(commands)) or 'ended'}) holds the socket without"
        " waiting on it, and is neither parent nor fellow of those that wait",
        meaning="it may just have inherited the socket: as long as it lives the port stays taken when the"
        " server ends, and connections queue that nobody accepts",
        advice="close the socket after the fork, or set FD_CLOEXEC on it if the process executes another"
        " program",
    )
