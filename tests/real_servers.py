"""How each real server waits, idle, with four workers: what inspect must see; and facts of each, recorded.

``python -m tests.real_servers`` records them anew, on a host where the servers are installed.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from herd.observe import servers
from herd.observe.inspect import facts, model
from herd.observe.inspect.facts import Facts
from herd.observe.inspect.findings import findings
from herd.observe.targets import Target

RECORDED = Path(__file__).parent / "unit" / "facts"
WORKERS = 4


@dataclass(frozen=True)
class Expected:
    """The model of a server."""

    server: str | None
    wakes: int  #: at most, by a connection
    kind: str = "epoll"
    exclusive: bool = False
    sockets: int = 1
    entries: int = WORKERS  #: by which somebody waits, of all sockets
    holders: int = WORKERS + 1
    findings: frozenset[str] = frozenset()


def _herd(server: str, *findings: str, **more: Any) -> Expected:
    ids = frozenset({"everyone-wakes", "master-holds", *findings})
    return Expected(server, WORKERS, findings=ids, **more)


EXPECTED = {
    "apache-event": _herd("apache"),
    "apache-prefork": Expected(
        "apache", 1, "accept", exclusive=True, findings=frozenset({"master-holds"})
    ),
    "fcgistarter": Expected(None, 1, "accept", exclusive=True, holders=WORKERS),
    "gunicorn": _herd("gunicorn", kind="select"),
    "gunicorn-gthread": _herd("gunicorn"),
    "gunicorn-reuse-port": Expected("gunicorn", 1, "select", sockets=WORKERS, holders=WORKERS),
    "gunicorn-debian-reuse-port": _herd("gunicorn", "reuseport-without-effect", kind="select"),
    "haproxy": Expected("haproxy", WORKERS, holders=1, findings=frozenset({"everyone-wakes"})),
    "haproxy-shards": Expected("haproxy", 1, sockets=WORKERS, holders=1),
    "nginx": Expected(
        "nginx", 1, exclusive=True, findings=frozenset({"exclusive-order", "master-holds"})
    ),
    "nginx-reuseport": Expected("nginx", 1, sockets=WORKERS, findings=frozenset({"master-holds"})),
    "nginx-accept-mutex": Expected(
        "nginx", 1, entries=1, findings=frozenset({"master-holds", "one-waits-at-a-time"})
    ),
    "node-cluster": Expected(
        "node", 1, entries=1, holders=1, findings=frozenset({"one-process-accepts"})
    ),
    "node-cluster-shared": _herd("node"),
    "uwsgi": _herd("uwsgi", "backlog-short"),
    "uwsgi-thunder-lock": Expected(
        "uwsgi",
        1,
        entries=1,
        findings=frozenset({"backlog-short", "master-holds", "one-waits-at-a-time"}),
    ),
}
#: They depend on the host's net.core.somaxconn, too.
OF_THE_HOST = {"backlog-at-limit"}


def as_expected(name: str, seen: Facts) -> model.Group:
    """Check the model of a server, and its findings."""
    [group] = model.groups(seen)
    entries = [entry for socket in group.sockets for entry in socket.used]
    said = Expected(
        server=group.server,
        wakes=max(socket.wakes_at_most for socket in group.sockets),
        kind=" ".join({entry.kind for entry in entries}),
        exclusive=all(entry.exclusive for entry in entries),
        sockets=len(group.sockets),
        entries=len(entries),
        holders=len(group.holders),
        findings=frozenset(found.id for found in findings([group])) - OF_THE_HOST,
    )
    assert said == EXPECTED[name]
    return group


def load(name: str) -> Facts:
    """Facts as they were recorded."""
    raw = msgspec.json.decode((RECORDED / f"{name}.json").read_bytes())
    raw["sets"] = {(pid, fd): number for pid, fd, number in raw["sets"]}
    return msgspec.convert(raw, Facts, strict=False)


def _record(name: str) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        servers.running(servers.find(name), Path(folder), WORKERS) as it,
    ):
        seen = facts.collect(Target(port=it.port))
    seen = replace(seen, seen=replace(seen.seen, hidden=[]))
    raw = asdict(seen) | {"sets": [[*key, number] for key, number in (seen.sets or {}).items()]}
    (RECORDED / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(raw), indent=1))


if __name__ == "__main__":
    for wanted in sys.argv[1:] or EXPECTED:
        _record(wanted)
