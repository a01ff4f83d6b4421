"""systemd made the socket, and handed it over."""

from __future__ import annotations

from collections.abc import Iterator

from herd.observe.inspect.findings._base import Finding
from herd.observe.inspect.model import Group
from herd.observe.inspect.programs import recognise
from herd.observe.processes import INIT


def look(group: Group) -> Iterator[Finding]:
    """In a group that process 1, if that is systemd, holds."""
    init = group.processes.get(INIT)
    if INIT in group.holders and init and recognise(init) == "systemd":
        yield Finding(
            id="socket-activation",
            address=group.name,
            level="info",
            sure="certain",
            evidence="systemd (process 1) holds the socket, too",
            meaning="it bound the socket and handed it over: a server's own backlog and reuseport settings"
            " don't apply, and all its workers share this one",
            advice="set Backlog= and ReusePort= in the .socket unit (systemctl list-sockets)",
        )
