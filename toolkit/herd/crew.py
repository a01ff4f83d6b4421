"""The probe processes: compiled and attached once, for one run or for several that follow each other."""

from __future__ import annotations

from herd.process import Child, Message


class Crew:
    """Starts them; each records a run after the other.

    :param names: of the probe modes, or ``auto``; none: wakeups stay unknown
    :param capacity: how many workers a run may have
    :param follow: track what workers fork, too
    """

    def __init__(self, names: list[str], capacity: int, *, follow: bool = False) -> None:
        self.names = names
        self._spec = {"capacity": capacity, "follow": follow}
        self.children: list[Child] = []
        #: What each said of itself when it had attached.
        self.attached: list[Message] = []

    def start(self) -> None:
        """Start them, unless they live: attaching takes a while, so that others can start meanwhile."""
        if self.children and all(child.process.poll() is None for child in self.children):
            return
        self.stop()
        for name in self.names:
            child = Child(f"{name} probe", "herd.probes.main")
            child.channel.send({"probe": name, **self._spec})
            self.children.append(child)

    def stop(self) -> None:
        """End them; the kernel detaches their programs."""
        for child in self.children:
            child.stop()
        self.children.clear()
        self.attached.clear()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
