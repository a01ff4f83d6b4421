"""Which server a process is, by its executable and its arguments."""

from __future__ import annotations

import re
from typing import Final

from herd.observe.processes import Process

#: What the executable's name, or one of the first words of the command line, must be.
_NAMES: Final = {
    "nginx": r"nginx|openresty|angie|tengine",
    "gunicorn": r"gunicorn\d*",
    "uwsgi": r"uwsgi(-core)?",
    "apache": r"apache2|httpd",
    "haproxy": r"haproxy",
    "node": r"node(js)?",
    "systemd": r"systemd",
}


def recognise(process: Process) -> str | None:
    """The server's name; ``None``: none that herd knows."""
    # An interpreter's program comes after it, and a title (nginx's, gunicorn's) begins with the name.
    title = process.arguments[0].split(":")[0] if process.arguments else ""
    words = [process.program or process.comm, *map(_base, (title, *process.arguments[1:4]))]
    for name, pattern in _NAMES.items():
        if any(re.fullmatch(pattern, word) for word in words):
            return name
    return None


def _base(word: str) -> str:
    return word.rpartition("/")[2]
