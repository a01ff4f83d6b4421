"""Loaded and attached probes. Only the probe process imports this: to compile them can kill it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from herd import bpf
from herd.errors import HerdError, HostError
from herd.host import privileges
from herd.loader import cache
from herd.loader.loaded import Loaded
from herd.loader.maps import possible_cpus
from herd.probes.btf import Btf
from herd.probes.cost import Cost
from herd.probes.events import EVENT, still_open
from herd.probes.lanes import Lanes
from herd.probes.modes import ENTRIES, EXITS, SOURCES, Probe

_BPF: Final = Path(__file__).parent / "bpf"
#: Of the places for records that a CPU has: 16 MiB of them, or a megabyte where there are many CPUs.
_MOST_BITS, _LEAST_BITS = 18, 14
_ALL_BITS: Final = 19  # 32 MiB, if each CPU can have the least
#: A kretprobe keeps this many calls in mind beside one for each worker: by default it forgets returns once
#: more tasks sleep in the function than 2 x CPUs, and accept's sleepers are the workers.
_SPARE_RETURNS: Final = 64
#: Maps that each run begins with empty.
_OF_A_RUN: Final = ("listeners", "requests", "sequence", "sightings", "turn")


def lane_bits(cpus: int) -> int:
    """How many places each CPU has for records that the reader hasn't taken yet: two to this."""
    return max(_LEAST_BITS, min(_MOST_BITS, _ALL_BITS - (cpus - 1).bit_length()))


def _slot_words() -> int:
    return int(Path("/proc/sys/kernel/pid_max").read_text()) // 4 + 1


class Session:
    """One probe mode, loaded and attached; sees nothing until :meth:`watch` names workers.

    :param capacity: how many workers and listeners there may be
    :param follow: track the children and threads of workers, too, and have the kernel measure what the
        programs cost
    """

    def __init__(self, mode: type[Probe], btf: Btf, capacity: int, *, follow: bool = False) -> None:
        if not privileges.may_load_bpf():
            raise HostError(
                f"the {mode.name} probe: {privileges.who()} may not load BPF programs"
                " (CAP_BPF and CAP_PERFMON)",
                privileges.how_to_get_them("observe TARGET" if follow else "run"),
            )
        if not privileges.sees_all_processes():
            raise HostError(
                f"the {mode.name} probe: this process has a PID namespace of its own, and the kernel tells"
                " other numbers",
                privileges.ON_THE_HOST,
            )
        self.probe = mode(btf)
        cpus = possible_cpus()
        defines = self.probe.defines() | {
            "AF_UNIX": "1",
            "AF_INET6": "10",
            "SLOT_WORDS": str(_slot_words()),
            "WORKERS": str(capacity),
            "LISTENERS": str(capacity),
            "CPUS": str(cpus),
            "LANE_BITS": str(lane_bits(cpus)),
        }
        # bcc rewrites map operations in the main file only, so the files are joined, not included.
        sources = (*SOURCES, *mode.sources, *(("follow.c",) if follow else ()))
        text = "".join(f'#line 1 "{name}"\n{(_BPF / name).read_text()}' for name in sources)
        image = cache.get(text, defines)
        try:
            #: Its programs and maps.
            self.loaded = Loaded(image, btf, kept=capacity + _SPARE_RETURNS)
            self.loaded.attach(EXITS)
            if mode.sees_entries:
                self.look_at_entries()
        except OSError as error:
            raise HostError(
                f"the {mode.name} probe could not be loaded: {error.strerror}", "herd doctor"
            ) from error
        self._maps = self.loaded.maps
        self._workers = self._maps["workers"].shared
        self._slots = self._maps["slots"].shared.view("<u2")
        self._check_layout()
        self._cost = Cost(self.loaded.fds.values()) if follow else None
        self._cookies: list[int] = []
        places = self._maps["records"].fd
        self.lanes = Lanes(self._maps["lanes"].fd, places, cpus, lane_bits(cpus))

    def _check_layout(self) -> None:
        if self._maps["workers"].value_type["wakeup"] != EVENT.newbyteorder("="):
            raise HostError("bpf/event.h and herd/probes/events.py disagree; reinstall herd")

    def close(self) -> None:
        """Detach it."""
        self.loaded.close()

    def begin(self) -> None:
        """Forget the run before: counts begin at 0, arrivals at 1."""
        self._track_nobody()
        self._workers[:] = 0
        for name in _OF_A_RUN:
            self._maps[name].clear()
        self.lanes.begin()
        self.probe.begin(self.loaded)

    def look_at_entries(self) -> None:
        """See system calls begin, too: who connects to a unix listener, when accept is called."""
        self.loaded.attach(ENTRIES)

    def watch(self, tids: Sequence[int], cookies: Sequence[int]) -> None:
        """Track these workers and listeners, too, from now on; a listener's index is its place, from 1.

        Listeners come last: from then on both a connection's arrival and its accept are seen. A worker that
        is tracked, since its parent was, keeps what is known of it.

        :raises HerdError: they are too many
        """
        fresh = [tid for tid in tids if not self._slots[tid]]
        self.probe.watch(self.loaded, fresh)
        for tid in fresh:
            self._track(tid)
        for cookie in cookies:
            if cookie not in self._cookies:
                self._cookies.append(cookie)
                self._maps["listeners"][cookie] = len(self._cookies)
        if self._cost:
            self._cost.tick()  # at once: an observation may be over before the next look

    def _track(self, tid: int) -> None:
        # A program looks at some places at a time.
        for _ in range(len(self._workers)):
            bpf.run(self.loaded.fds["walk__track"], tid)
            if self._slots[tid]:
                return
        room = len(self._workers) - 1
        raise HerdError(
            f"there is room for {room} workers in the probe's tables, and there are more"
        )

    def _track_nobody(self) -> None:
        """Those that came later, too: followed tasks."""
        self._slots[self._workers["tid"]] = 0

    def end(self) -> dict[str, Any]:
        """Track nobody any more.

        :returns: ``calls`` by function; ``findings`` of the probe itself; ``cost`` of the programs, and
            ``unfollowed`` tasks, if it follows
        """
        self._maps["listeners"].clear()  # first, as it came last
        self._cookies.clear()
        self._track_nobody()
        followed = {}
        if self._cost:
            unfollowed = int(self._maps["unfollowed"][0])
            followed = {"cost": self._cost.end(), "unfollowed": unfollowed}
        return {
            "calls": self.probe.calls(self.loaded),
            "findings": self.probe.findings(self.loaded),
        } | followed

    def drain(self, out: int) -> int:
        """Take the records that are there, and return how many; to be called often.

        :param out: descriptor of the file for them
        """
        count = self.lanes.drain(out)
        if self._cookies:
            self.probe.tick(self.loaded)
            if self._cost:
                self._cost.tick()
        return count

    def open_wakeups(self) -> np.ndarray[Any, Any]:
        """Wakeups of workers that have not slept again, as records."""
        return still_open(self._workers)
