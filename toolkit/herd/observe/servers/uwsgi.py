"""uWSGI: each process polls the shared socket; ``--thunder-lock`` lets only one of them do so at a time."""

from __future__ import annotations

from herd.observe.servers._base import Place, Server
from herd.observe.servers._wsgi import APPLICATION


class Uwsgi(Server):
    """A master and its workers.

    :param options: for its command line
    """

    program = "uwsgi"
    package = "uwsgi-core uwsgi-plugin-python3"
    version_option = "--version"

    def __init__(self, name: str, *options: str) -> None:
        super().__init__(name)
        self._options = options

    def command(self, place: Place) -> list[str]:
        """Debian's is without languages: Python is a plug-in."""
        application = place.write("application.py", APPLICATION)
        return [
            self.path(),
            "--plugins=python3",
            f"--http-socket=127.0.0.1:{place.port}",
            f"--processes={place.workers}",
            f"--wsgi-file={application}",
            "--log-format=served %(pid)",
            "--master",
            "--die-on-term",
            "--need-app",
            *self._options,
        ]


SERVERS = (Uwsgi("uwsgi"), Uwsgi("uwsgi-thunder-lock", "--thunder-lock"))
