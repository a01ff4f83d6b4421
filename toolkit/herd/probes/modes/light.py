"""Light mode: tracepoint mode that ceases to look at system calls, which costs most of it, once it can."""

from __future__ import annotations

from typing import Final

from herd.loader.loaded import Loaded
from herd.probes import marks
from herd.probes.modes._base import ENTRIES, EXITS
from herd.probes.modes.tracepoints import Tracepoints

#: So many accepts that all asked for the client's address show that the server's do.
_ENOUGH: Final = 20


class Light(Tracepoints):
    """Accepts by the address that they ask for, the way to user space by marks of the task.

    An accept that asks for no address shows in its system call only, as all that happens on a unix listener.
    So system calls are looked at, too, until it is seen that the server's accepts ask.
    """

    name = "light"
    summary = "raw tracepoints, and none on system calls once accepts are seen without"
    rank = 20
    weight = 10
    sources = (*Tracepoints.sources, "names.c")
    offsets = Tracepoints.offsets | {"TASK_FLAGS": ("task_struct", "thread_info.flags")}

    def defines(self) -> dict[str, str]:
        """What marks a task."""
        found = super().defines()
        return found | {"MARKS": hex(marks.measured(int(found["TASK_FLAGS"])))}

    def begin(self, loaded: Loaded) -> None:
        """Look at system calls again."""
        loaded.attach(EXITS)

    def tick(self, loaded: Loaded) -> None:
        """Detach what isn't needed."""
        if EXITS not in loaded.links or ENTRIES in loaded.links:
            return
        seen = loaded.maps["sightings"][0]
        if seen["named"] >= _ENOUGH and not seen["nameless"]:
            loaded.detach(EXITS)

    def findings(self, loaded: Loaded) -> list[str]:
        """Whether that was possible."""
        nameless = int(loaded.maps["sightings"][0]["nameless"])
        if not nameless or ENTRIES in loaded.links:
            return []
        why = f"{nameless} accepts asked for no address"
        return [f"{why}, so the light probe looked at system calls, as --probe tracepoints does"]
