"""nginx: workers share a socket with EPOLLEXCLUSIVE; ``reuseport`` and ``accept_mutex`` change that."""

from __future__ import annotations

from typing import Final

from herd.observe.servers._base import Place, Server

_CONFIG: Final = """
daemon off;
user root;
worker_processes {workers};
pid {folder}/pid;
error_log {folder}/log;
events {{ worker_connections 256; {events} }}
http {{
    log_format pid "served $pid";
    access_log {folder}/log pid;
    keepalive_timeout 0;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fcgi;
    proxy_temp_path {folder}/proxy;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} {listen};
        location / {{ return 200 "hello\\n"; }}
    }}
}}
"""


class Nginx(Server):
    """A master and its workers.

    :param listen: more words for ``listen``
    :param events: more lines for ``events``
    """

    program = "nginx"
    package = "nginx-light"

    def __init__(self, name: str, listen: str = "", events: str = "") -> None:
        super().__init__(name)
        self._listen = listen
        self._events = events

    def command(self, place: Place) -> list[str]:
        """Its own configuration, prefix and error log, so that nothing under /var is touched."""
        text = _CONFIG.format(
            folder=place.folder,
            port=place.port,
            workers=place.workers,
            listen=self._listen,
            events=self._events,
        )
        config = place.write("nginx.conf", text)
        return [self.path(), "-c", config, "-p", str(place.folder), "-e", str(place.log)]


SERVERS = (
    Nginx("nginx"),
    Nginx("nginx-reuseport", listen="reuseport"),
    Nginx("nginx-accept-mutex", events="accept_mutex on;"),
)
