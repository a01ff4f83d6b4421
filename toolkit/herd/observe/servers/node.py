"""node's cluster: the primary accepts and hands connections on in turn, or all workers poll its socket."""

from __future__ import annotations

from typing import Final

from herd.observe.servers._base import Place, Server

_PROGRAM: Final = """
const cluster = require("node:cluster");
cluster.schedulingPolicy = cluster.{policy};
if (cluster.isPrimary) {{
  for (let i = 0; i < {workers}; i++) cluster.fork();
  cluster.on("listening", () => console.log("listening"));
  process.on("SIGTERM", () => {{
    for (const worker of Object.values(cluster.workers)) worker.kill();
    process.exit();
  }});
}} else {{
  const server = require("node:http").createServer((request, response) => {{
    response.setHeader("Connection", "close");
    response.end("hello\\n");
  }});
  server.on("connection", () => console.log("served " + process.pid));
  server.listen({port}, "127.0.0.1");
}}
"""


class Node(Server):
    """A primary and its workers.

    :param policy: ``SCHED_RR``, node's default, or ``SCHED_NONE``
    """

    program = "node"
    package = "nodejs"

    def __init__(self, name: str, policy: str) -> None:
        super().__init__(name)
        self._policy = policy

    def command(self, place: Place) -> list[str]:
        """A program of ours, as cluster is a library."""
        text = _PROGRAM.format(policy=self._policy, workers=place.workers, port=place.port)
        return [self.path(), place.write("server.js", text)]

    def complete(self, place: Place, workers: list[int]) -> bool:
        """A worker that has started doesn't listen yet."""
        return place.log.read_text().count("listening\n") >= place.workers


SERVERS = (Node("node-cluster", "SCHED_RR"), Node("node-cluster-shared", "SCHED_NONE"))
