"""The X-ray's own process: a compiler may abort it, and not the command.

It says ``attached`` when it can read. To each ``{"cookies": [...]}`` it answers ``queues``, with how many
nanoseconds reading them took, or ``failed``.
"""

from __future__ import annotations

import time

import msgspec

from herd.errors import HerdError
from herd.observe.waitqueue.programs import Programs
from herd.observe.waitqueue.reader import Reader
from herd.observe.waitqueue.symbols import Symbols
from herd.probes.btf import Btf
from herd.process import Channel, serve


def _serve(channel: Channel) -> None:
    btf = Btf.vmlinux()
    reader = Reader(Programs(btf), Symbols(), btf)
    channel.send({"event": "attached"})
    while (order := channel.receive(timeout=None)) is not None:
        begin = time.monotonic_ns()
        queues = reader.read(order["cookies"])
        took = time.monotonic_ns() - begin
        answer = {"time_ns": begin, "read_ns": took, "queues": msgspec.to_builtins(queues)}
        channel.send({"event": "queues", **answer})


def main() -> None:
    """Read whenever asked."""
    channel = serve()
    try:
        _serve(channel)
    except HerdError as error:
        channel.send({"event": "failed", **error.as_message()})
        channel.receive(timeout=None)


if __name__ == "__main__":
    main()
