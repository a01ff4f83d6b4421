"""``make servers``: start each real server, look at it, drive it, and write ``docs/servers.md``.

A column is one entry of :data:`COLUMNS`.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from herd.errors import HerdError
from herd.host.metadata import metadata
from herd.observe.inspect import facts, model
from herd.observe.inspect.findings import Finding, findings
from herd.observe.listeners import find
from herd.observe.servers import CLIENTS, Running, Server, every, running, until
from herd.observe.targets import Target
from herd.observe.waitqueue.prediction import predict
from herd.observe.waitqueue.xray import Xray

WORKERS: Final = 4
CONNECTIONS: Final = 400

_HEAD: Final = """# What real servers do

Each with {workers} workers on loopback, set up as its name says, otherwise as it comes; Linux {kernel},
{distribution}, {cpus} CPUs. Made by `make servers`
([the experiment](../toolkit/herd/observe/servers/__main__.py)), which anyone can run again.

"""
_TAIL: Final = """
- **sockets**, **waits**: what `herd inspect` says of the idle server.
- **next wakes**: whom the next connection wakes, as `herd waitqueue` predicts it from the kernel's own wait
  queue: threads of those that wait. Of a reuseport group the kernel chooses one socket first.
- **wakeups**: workers' wakeups per connection, as `herd observe` counts them while herd's client makes
  {connections} connections, one after the other: most workers sleep then. **wasted**: the share of them that
  brought no connection. **verdict**: what `herd observe` makes of that at a few hundred connections a second;
  a herd is worth fixing once it costs 1 % of one CPU, which depends on the machine and what else runs on it.
- **busiest**: the share of connections that the busiest worker served, by the server's own log:
  {connections} one after the other (herd's client), {connections} four at once (`ab -c4`), and four without
  a pause (`wrk -c4`, for a second). An even share is {even} %. haproxy's workers are threads, which hand
  accepted connections on to one another.
- **findings**: those of `herd inspect` that are more than information, in full below.
"""


@dataclass
class Visit:
    """What was seen of one server."""

    server: Server
    version: str
    group: model.Group
    findings: list[Finding]
    wakes: str
    observed: dict[str, Any]  #: the summary of one by one
    shares: dict[str, Counter[int]]  #: connections by worker, by client


@dataclass(frozen=True)
class Column:
    """One of the table."""

    title: str
    value: Callable[[Visit], str]


def _sockets(visit: Visit) -> str:
    number, held = len(visit.group.sockets), len(visit.group.holders)
    kind = f"{number} by SO_REUSEPORT" if number > 1 else "one"
    who = f"{held} processes" if held > 1 else "one process"
    master = ", of which one is the master" if visit.group.holders - visit.group.workers else ""
    return f"{kind}, held by {who}{master}"


def _waits(visit: Visit) -> str:
    entries = [entry for socket in visit.group.sockets for entry in socket.used]
    counted = Counter(
        " ".join(
            [
                entry.kind,
                *entry.modes,
                *(["EPOLLEXCLUSIVE"] if entry.exclusive and entry.kind == "epoll" else []),
            ]
        )
        for entry in entries
    )
    return ", ".join(f"{number} × {how}" for how, number in counted.items())


def _wakeups(visit: Visit) -> str:
    return f"{visit.observed['wakeups']['per_connection']:.2f}"


def _wasted(visit: Visit) -> str:
    wakeups = visit.observed["wakeups"]
    return f"{100 * wakeups['wasted'] / wakeups['total']:.0f} %"


def _busiest(client: str) -> Callable[[Visit], str]:
    def value(visit: Visit) -> str:
        shares = visit.shares[client]
        return f"{100 * max(shares.values()) / shares.total():.0f} %"

    return value


def _serious(visit: Visit) -> list[Finding]:
    return [finding for finding in visit.findings if finding.level != "info"]


COLUMNS: Final = (
    Column("server", lambda visit: f"`{visit.server.name}`"),
    Column("version", lambda visit: visit.version),
    Column("sockets", _sockets),
    Column("waits", _waits),
    Column("next wakes", lambda visit: visit.wakes),
    Column("wakeups", _wakeups),
    Column("wasted", _wasted),
    Column("verdict", lambda visit: visit.observed["verdict"]["level"]),
    Column("busiest, one by one", _busiest("herd")),
    Column("by `ab`", _busiest("ab")),
    Column("by `wrk`", _busiest("wrk")),
    Column("findings", lambda visit: ", ".join(f"`{found.id}`" for found in _serious(visit))),
)


def main() -> None:
    """Write the page to stdout."""
    visits: list[Visit] = []
    absent: list[str] = []
    with Xray() as xray:
        for server in every():
            sys.stderr.write(f"{server.name}\n")
            if why := server.unavailable():
                absent.append(f"`{server.name}` ({why})")
            else:
                visits.append(visit(server, xray))
    sys.stdout.writelines(page(visits, absent))


def visit(server: Server, xray: Xray) -> Visit:
    """Start it, look, drive, stop."""
    with tempfile.TemporaryDirectory() as folder, running(server, Path(folder), WORKERS) as it:
        target = Target(port=it.port)
        [group] = model.groups(facts.collect(target))
        wakes = _wakes(xray, target)
        observed, one_by_one = _observed(it)
        shares = {client: _shares(it, client) for client in CLIENTS if client != "herd"}
        shares["herd"] = one_by_one
        return Visit(server, server.version(), group, findings([group]), wakes, observed, shares)


def _wakes(xray: Xray, target: Target) -> str:
    predictions = [predict(queue) for queue in xray.read(find(target)).queues]
    said = {f"{len(each.wakes)} of {each.waiting}" for each in predictions}
    return ", ".join(sorted(said))


def _observed(it: Running) -> tuple[dict[str, Any], Counter[int]]:
    """The summary of an observation while herd's client drives it, and who served."""
    output = str(it.place.folder / "observed")
    command = ["observe", f":{it.port}", "--duration", "0", "--json", "--output", output]
    with subprocess.Popen(
        [sys.executable, "-m", "herd", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as observer:
        assert observer.stderr is not None
        said = observer.stderr.readline()  # that it looks, or why it can't
        shares = _shares(it, "herd")
        observer.send_signal(signal.SIGINT)
        out, error = observer.communicate()
    if observer.returncode:
        raise HerdError(f"herd observe failed on {it.server.name}: {said}{error}")
    return json.loads(out), shares


def _shares(it: Running, client: str) -> Counter[int]:
    before = it.served()
    answers = CLIENTS[client](it.port, CONNECTIONS)
    until(lambda: (it.served() - before).total() >= answers, "all that was served is in the log")
    return it.served() - before


def page(visits: list[Visit], absent: list[str]) -> Iterator[str]:
    """The page in Markdown."""
    host = metadata()
    yield _HEAD.format(
        workers=WORKERS,
        kernel=platform.release().partition("-")[0],
        distribution=host["distribution"],
        cpus=os.cpu_count(),
    )
    yield _row(column.title for column in COLUMNS)
    yield _row("---" for _ in COLUMNS)
    for visit in visits:
        yield _row(column.value(visit) for column in COLUMNS)
    yield _TAIL.format(connections=CONNECTIONS, even=100 // WORKERS)
    if absent:
        yield f"\nNot installed: {', '.join(absent)}.\n"
    yield "\n## Findings\n"
    same: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for visit in visits:
        for finding in _serious(visit):
            same[finding.id, finding.meaning, finding.advice].append(f"`{visit.server.name}`")
    for (number, meaning, advice), names in same.items():
        yield f"\n**{number}** of {', '.join(names)}: {meaning}. To change it: {advice}.\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    try:
        main()
    except HerdError as error:
        sys.exit(f"herd: {error.message}\n  → {error.hint}")
