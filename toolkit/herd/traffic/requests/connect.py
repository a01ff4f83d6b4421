"""No request at all: the connection is the answer."""

from __future__ import annotations

from herd.traffic.requests._base import Request


class Connect(Request):
    """Done when the connection is established: what the kernel alone can do, without the server's program."""

    name = "connect"
    summary = "nothing is sent; done when the connection is established"
    answered = False
