"""HTTP clients that drive a server, each in its own way; what they return are answers that they got."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Final

from herd import area
from herd.errors import HerdError, HostError
from herd.traffic.client import Client
from herd.traffic.log import LAYOUT
from herd.traffic.requests.first_byte import FirstByte

_REQUEST: Final = b"GET / HTTP/1.0\r\n\r\n"
_PACKAGES: Final = {"ab": "apache2-utils", "wrk": "wrk"}
_PATIENCE_S: Final = 30.0


def ab(port: int, number: int) -> int:
    """ApacheBench, four at once. At its end it may open a few connections more than it asks on."""
    return _counted(r"Complete requests:\s+(\d+)", "ab", "-q", "-n", str(number), "-c4", _url(port))


def wrk(port: int, _number: int) -> int:
    """wrk, for a second: it can't be told how many; at the end some connections have no answer yet."""
    return _counted(r"(\d+) requests in", "wrk", "-t1", "-c4", "-d1s", _url(port))


def herd(port: int, number: int) -> int:
    """Our own, one connection after the other."""
    memory = area.create("herd-client", LAYOUT, number, 1)
    [log] = area.share(memory, LAYOUT, number, 1)
    os.close(memory)
    client = Client(("127.0.0.1", port), ["127.0.0.1"], log, FirstByte(payload=_REQUEST))
    deadline = time.monotonic() + _PATIENCE_S
    while client.finished < number and time.monotonic() < deadline:
        if not client.open_now:
            client.start(time.monotonic_ns())
        select.select([client.epoll], [], [], 0.1)
        client.poll()
    client.epoll.close()
    return client.finished - client.failed


CLIENTS: Final[dict[str, Callable[[int, int], int]]] = {"ab": ab, "wrk": wrk, "herd": herd}


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/"


def _counted(pattern: str, program: str, *options: str) -> int:
    if shutil.which(program) is None:
        raise HostError(f"{program} is not installed", f"apt-get install {_PACKAGES[program]}")
    done = subprocess.run(
        [program, *options], capture_output=True, text=True, check=False, timeout=_PATIENCE_S
    )
    found = re.search(pattern, done.stdout)
    if done.returncode or not found:
        raise HerdError(f"{program} failed: {done.stderr.strip() or done.stdout.strip()}")
    return int(found[1])
