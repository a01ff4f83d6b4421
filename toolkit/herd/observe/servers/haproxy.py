"""haproxy: one process; each of its threads has an epoll set of its own with the shared socket in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from herd.observe.servers._base import Place, Server

_CONFIG: Final = """
global
    nbthread {workers}
    log stdout format raw local0
    pidfile {folder}/pid
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
    option httpclose
frontend hello
    bind 127.0.0.1:{port}
    log global
    log-format "served %pid"
    http-request return status 200 content-type text/plain string hello
"""


class Haproxy(Server):
    """Its workers are threads."""

    program = "haproxy"
    package = "haproxy"

    def command(self, place: Place) -> list[str]:
        """It answers by itself, without a server behind it."""
        text = _CONFIG.format(folder=place.folder, port=place.port, workers=place.workers)
        return [self.path(), "-db", "-f", place.write("haproxy.cfg", text)]

    def workers(self, pid: int, port: int) -> list[int]:
        """The one process."""
        return [pid]

    def complete(self, place: Place, workers: list[int]) -> bool:
        """One process with all its threads."""
        return len(list(Path(f"/proc/{workers[0]}/task").iterdir())) == place.workers


SERVERS = (Haproxy("haproxy"),)
