"""The backlog is shorter than it was meant to be, or than bursts need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from herd.observe.inspect.findings._base import Finding, advised
from herd.observe.inspect.model import Group

_SHORT: Final = 128
_ADVICE: Final = {
    "nginx": "`listen … backlog=1024`",
    "gunicorn": "--backlog 1024",
    "uwsgi": "uwsgi --listen 1024",
    "apache": "ListenBacklog 1024",
    "haproxy": "`backlog 1024` in the frontend",
    "node": "server.listen({backlog: 1024, …})",
    "systemd": "Backlog=1024 in the .socket unit",
}


def look(group: Group) -> Iterator[Finding]:
    """Once for a group."""
    backlog = min(socket.listener.backlog for socket in group.sockets)
    if backlog == group.somaxconn:
        yield Finding(
            id="backlog-at-limit",
            address=group.name,
            level="info",
            sure="possible",
            evidence=f"the backlog is {backlog}, as net.core.somaxconn is",
            meaning="the server may have asked for more: listen(2) cuts it down without a word"
            " (__sys_listen(), net/socket.c)",
            advice="raise net.core.somaxconn if bursts are dropped (nstat TcpExtListenOverflows)",
        )
    elif backlog < _SHORT:
        longer = advised(group, _ADVICE, "listen with a longer one")
        yield Finding(
            id="backlog-short",
            address=group.name,
            level="info",
            sure="possible",
            evidence=f"the backlog is {backlog}",
            meaning=f"more than {backlog + 1} connections within the time that workers need are dropped",
            advice=f"{longer}, if bursts are dropped (nstat TcpExtListenOverflows)",
        )
