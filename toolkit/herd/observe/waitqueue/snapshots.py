"""The wait queues of a run's own listeners, before, during and after its load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from herd.observe import listeners
from herd.observe.waitqueue.prediction import as_json
from herd.observe.waitqueue.xray import MODULE, reading
from herd.process import Child
from herd.recording import write
from herd.supervisor import Supervisor


class Snapshots:
    """Taken at the run's word; nothing is started or taken where none are wanted."""

    def __init__(self, wanted: bool, supervisor: Supervisor) -> None:
        self._wanted = wanted
        self._supervisor = supervisor
        self._taken: list[dict[str, Any]] = []
        self.children: list[Child] = []

    def start(self) -> None:
        """Begin to compile; :meth:`take` waits for that."""
        if self._wanted:
            self.children = [Child("X-ray", MODULE)]

    def take(self, when: str, cookies: list[int]) -> None:
        """Read the queues of these listeners, once for each ``when``."""
        if not self.children or any(taken["when"] == when for taken in self._taken):
            return
        if not self._taken:
            self._supervisor.expect("attached", self.children, [])
        found = [listener for listener in listeners.listening() if listener.cookie in cookies]
        self.children[0].channel.send({"cookies": [listener.cookie for listener in found]})
        [message] = self._supervisor.expect("queues", self.children, [])
        self._taken.append({"when": when, **as_json(reading(message), found)})

    def stop(self) -> None:
        """End the X-ray's process."""
        for child in self.children:
            child.stop()
        self.children = []

    def write(self, directory: Path) -> None:
        """Put what was taken into a recording."""
        if self._taken:
            write.write_json(directory / "waitqueue.json", self._taken)
