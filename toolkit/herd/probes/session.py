"""Loaded and attached probes, through bcc. Only the probe process imports this."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from herd import bpf
from herd.errors import HostError
from herd.host import privileges
from herd.host.bcc import import_bcc
from herd.host.headers import use_kernel_headers
from herd.probes.btf import Btf
from herd.probes.events import EVENT, KIND_WAKEUP, RECORD
from herd.probes.modes import Probe
from herd.probes.ring import Ring
from herd.probes.task import Task

_BPF: Final = Path(__file__).parent / "bpf"
_RING_PAGES: Final = 4096  # 16 MiB: 230,000 records, and drained a hundred times a second


def _pid_words() -> int:
    return int(Path("/proc/sys/kernel/pid_max").read_text()) // 64 + 1


class Session:
    """One probe mode, compiled, loaded and attached; sees nothing until :meth:`watch` names workers.

    :param capacity: how many workers and listeners there may be
    :param follow: track the children and threads of workers, too, and have the kernel measure what the
        programs cost
    """

    def __init__(self, mode: type[Probe], btf: Btf, capacity: int, *, follow: bool = False) -> None:
        if not privileges.may_load_bpf():
            raise HostError(
                f"the {mode.name} probe: {privileges.who()} may not load BPF programs"
                " (CAP_BPF and CAP_PERFMON)",
                privileges.how_to_get_them(),
            )
        if not privileges.sees_all_processes():
            raise HostError(
                f"the {mode.name} probe: this process has a PID namespace of its own, and the kernel tells"
                " other numbers",
                privileges.ON_THE_HOST,
            )
        self.probe = mode(btf)
        use_kernel_headers()
        bcc = import_bcc()
        defines = self.probe.defines() | {
            "AF_UNIX": "1",
            "AF_INET6": "10",
            "PID_WORDS": str(_pid_words()),
            "WORKERS": str(capacity),
            "LISTENERS": str(capacity),
            "RING_PAGES": str(_RING_PAGES),
        }
        # bcc rewrites map operations in the main file only, so the files are joined, not included.
        sources = (*mode.sources, *(("follow.c",) if follow else ()))
        text = "".join(f'#line 1 "{name}"\n{(_BPF / name).read_text()}' for name in sources)
        try:
            self._bpf = bcc.BPF(text=text, cflags=[f"-D{k}={v}" for k, v in defines.items()])
            self.probe.attach(self._bpf, capacity)
        except Exception as error:  # bcc raises Exception itself; the details are on stderr
            raise HostError(
                f"the {mode.name} probe could not be loaded: {error}", "herd doctor"
            ) from error
        self._check_layout()
        self._follow = follow
        self._statistics = bpf.enable_statistics() if follow else None
        self._cookies: list[int] = []
        self.ring = Ring(self._bpf["events"].map_fd, _RING_PAGES * 4096)

    def _check_layout(self) -> None:
        event = dict(self._bpf["workers"].Leaf._fields_)["wakeup"]
        theirs = [(name, getattr(event, name).offset) for name, *_ in event._fields_]
        ours = [(name, EVENT.fields[name][1]) for name in EVENT.names or ()]  # type: ignore[index]
        if theirs != ours or ctypes.sizeof(event) != EVENT.itemsize:
            raise HostError("bpf/event.h and herd/probes/events.py disagree; reinstall herd")

    def begin(self) -> None:
        """Forget the run before: counts begin at 0, arrivals at 1."""
        for name in ("workers", "listeners", "pending", "requests", "sequence", "tally"):
            self._bpf[name].clear()
        self._cookies.clear()
        self.ring.kept = 0
        self.probe.begin(self._bpf)

    def watch(self, tasks: Sequence[Task], cookies: Sequence[int]) -> None:
        """Track these workers and listeners, too, from now on; a listener's index is its place, from 1."""
        listeners = self._bpf["listeners"]
        for cookie in cookies:
            if cookie not in self._cookies:
                self._cookies.append(cookie)
                listeners[listeners.Key(cookie)] = listeners.Leaf(len(self._cookies))
        workers = self._bpf["workers"]
        for task in tasks:
            if workers.Key(task.tid) in workers:
                continue  # followed since it was forked, and in the middle of something
            leaf = workers.Leaf()
            leaf.wait, leaf.fd = task.wait, task.fd
            workers[workers.Key(task.tid)] = leaf
        tids = [task.tid for task in tasks]
        self.probe.watch(self._bpf, tids)
        self._track(tids)

    def _track(self, tids: Sequence[int]) -> None:
        tracked = self._bpf["tracked"]
        words: dict[int, int] = {}
        for tid in tids:
            words[tid >> 6] = words.get(tid >> 6, 0) | 1 << (tid & 63)
        for word, bits in words.items():
            key = tracked.Key(word)
            tracked[key] = tracked.Leaf(tracked[key].value | bits)

    def _track_nobody(self) -> None:
        """Those that came later, too: followed tasks, which only the map knows."""
        tracked = self._bpf["tracked"]
        for word in {key.value >> 6 for key in self._bpf["workers"]}:
            tracked[tracked.Key(word)] = tracked.Leaf(0)

    def end(self) -> dict[str, Any]:
        """Track nobody any more.

        :returns: ``produced`` and ``lost``, how many records the kernel made, and dropped since the ring was
            full; ``calls`` by function; ``cost`` of the programs, and ``unfollowed`` tasks, if it follows
        """
        self._track_nobody()
        self._bpf["listeners"].clear()
        per_cpu = self._bpf["tally"].values()[0]
        return {
            "calls": self.probe.calls(self._bpf),
            "produced": sum(sum(cpu.produced) for cpu in per_cpu),
            "lost": sum(cpu.lost for cpu in per_cpu),
        } | (self._followed() if self._follow else {})

    def _followed(self) -> dict[str, Any]:
        [unfollowed] = (leaf.value for leaf in self._bpf["unfollowed"].values())
        return {"cost": self._cost(), "unfollowed": unfollowed}

    def _cost(self) -> dict[str, int] | None:
        """How often our programs ran, and for how long in all, as the kernel measured it."""
        if self._statistics is None:
            return None
        fields = ("run_cnt", "run_time_ns")
        texts = [Path(f"/proc/self/fdinfo/{f.fd}").read_text() for f in self._bpf.funcs.values()]
        found = {
            field: sum(int(n) for t in texts for n in re.findall(rf"^{field}:\s*(\d+)", t, re.M))
            for field in fields
        }
        return {"runs": found["run_cnt"], "ns": found["run_time_ns"]}

    def open_wakeups(self) -> np.ndarray[Any, Any]:
        """Wakeups of workers that have not slept again, as records."""
        leaves = [bytes(leaf.wakeup) for leaf in self._bpf["workers"].values() if leaf.wakeup.time]
        records = np.zeros(len(leaves), RECORD)
        records["event"] = np.frombuffer(b"".join(leaves), EVENT)
        records["event"]["kind"] = KIND_WAKEUP
        return records
