"""Apache's fcgistarter: N detached processes, each with the listening socket as descriptor 0."""

from __future__ import annotations

import sys
from typing import Final

from herd.observe import holders, listeners
from herd.observe.servers._base import Place, Server
from herd.observe.servers.apache import Apache

#: Any program that accepts on descriptor 0 will do: this one speaks HTTP, as the clients do.
_PROGRAM: Final = """#!{python} -IS
import os, socket
listener = socket.socket(fileno=0)
log = open({log!r}, "a", buffering=1)
while True:
    connection, _ = listener.accept()
    with connection:
        print("served", os.getpid(), file=log)
        connection.recv(65536)
        connection.send(b"HTTP/1.0 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nhello\\n")
"""


class Fcgistarter(Server):
    """It ends when the processes are there."""

    program = "fcgistarter"
    package = "apache2-utils"

    def command(self, place: Place) -> list[str]:
        """Its program takes no arguments, so that they are written into it."""
        text = _PROGRAM.format(python=sys.executable, log=str(place.log))
        program = place.write("program", text, 0o755)
        port, number = str(place.port), str(place.workers)
        return [self.path(), "-c", program, "-p", port, "-i", "127.0.0.1", "-N", number]

    def workers(self, pid: int, port: int) -> list[int]:
        """Who holds the socket: they are init's children."""
        ours = {listener.inode for listener in listeners.listening() if listener.port == port}
        return sorted({holder.pid for holder in holders.look(ours).holders})

    def version(self) -> str:
        """It says none; it comes with Apache, which may not be installed."""
        apache = Apache("event")
        return "unknown" if apache.unavailable() else apache.version()


SERVERS = (Fcgistarter("fcgistarter"),)
