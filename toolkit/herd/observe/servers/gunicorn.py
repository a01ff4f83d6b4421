"""gunicorn: sync workers select on the socket, gthread's poll it; ``--reuse-port`` depends on the version."""

from __future__ import annotations

from typing import Final

from herd.observe.servers._base import Place, Server
from herd.observe.servers._wsgi import APPLICATION

# Older versions ignore what they don't know in a file, but not on the command line.
_CONFIG: Final = """
bind = "127.0.0.1:{port}"
workers = {workers}
keepalive = 0
accesslog = "-"
access_log_format = "served %(p)s"
control_socket_disable = True
"""


class Gunicorn(Server):
    """The one beside this Python, from PyPI.

    :param options: for its command line
    """

    program = "gunicorn"
    package = "gunicorn"
    version_option = "--version"

    def __init__(self, name: str, *options: str) -> None:
        super().__init__(name)
        self._options = options

    def command(self, place: Place) -> list[str]:
        """An application that answers at once."""
        place.write("application.py", APPLICATION)
        config = place.write("gunicorn.py", _CONFIG.format(port=place.port, workers=place.workers))
        return [self.path(), "--config", config, *self._options, "application"]


class DebianGunicorn(Gunicorn):
    """Debian's, which is older: the master binds one socket for all, whatever ``--reuse-port`` says."""

    program = "/usr/bin/gunicorn"


SERVERS = (
    Gunicorn("gunicorn"),
    Gunicorn("gunicorn-gthread", "--worker-class=gthread", "--threads=2"),
    Gunicorn("gunicorn-reuse-port", "--reuse-port"),
    DebianGunicorn("gunicorn-debian-reuse-port", "--reuse-port"),
)
