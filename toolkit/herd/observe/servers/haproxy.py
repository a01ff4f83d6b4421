"""haproxy: one process; each of its threads has an epoll set of its own with the shared socket in it."""

from __future__ import annotations

import contextlib
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
    bind 127.0.0.1:{port} {bind}
    log global
    log-format "served %[thread]"
    http-request return status 200 content-type text/plain string hello
"""


class Haproxy(Server):
    """Its workers are threads.

    :param bind: more words for ``bind``
    """

    program = "haproxy"
    package = "haproxy"

    def __init__(self, name: str, bind: str = "") -> None:
        super().__init__(name)
        self._bind = bind

    def command(self, place: Place) -> list[str]:
        """It answers by itself, without a server behind it."""
        text = _CONFIG.format(
            folder=place.folder, port=place.port, workers=place.workers, bind=self._bind
        )
        return [self.path(), "-db", "-f", place.write("haproxy.cfg", text)]

    def workers(self, pid: int, port: int) -> list[int]:
        """Its threads, in the order of their numbers."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(int(task.name) for task in Path(f"/proc/{pid}/task").iterdir())
        return []

    def worker(self, logged: int, workers: list[int]) -> int:
        """Its log has a thread's number."""
        return workers[logged]


SERVERS = (Haproxy("haproxy"), Haproxy("haproxy-shards", "shards by-thread"))
