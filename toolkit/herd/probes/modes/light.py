"""Light mode: tracepoint mode without the tracepoints that come most often, which are most of its cost."""

from __future__ import annotations

from typing import Final

from herd.errors import HostError
from herd.loader.loaded import Loaded
from herd.probes import interrupts, marks
from herd.probes.modes._base import ENTRIES, EXITS
from herd.probes.modes.tracepoints import Tracepoints

#: So many accepts that all asked for the client's address show that the server's do.
_ENOUGH: Final = 20


class Light(Tracepoints):
    """Accepts by the address that they ask for, the way to user space by marks of the task, the end of a
    notification by what the CPU counts.

    An accept that asks for no address shows in its system call only, as all that happens on a unix listener.
    So system calls are looked at, too, until it is seen that the server's accepts ask.
    """

    name = "light"
    summary = "the raw tracepoints that come seldom, and what a CPU counts; least cost"
    rank = 20
    weight = 10
    sources = ("light.c", "names.c")
    scheduling = ("sk_data_ready", "tcp_cong_state_set", "sched_waking", "sched_switch")
    offsets = Tracepoints.offsets | {
        "TASK_FLAGS": ("task_struct", "thread_info.flags"),
        "TASK_CFS_RQ": ("task_struct", "se.cfs_rq"),
        "CFS_RQ_RQ": ("cfs_rq", "rq"),
        "KSTAT_SOFTIRQS": ("kernel_stat", "softirqs"),
        "SKC_NET": ("sock", "__sk_common.skc_net.net"),
        "NET_TCP_STATISTICS": ("net", "mib.tcp_statistics"),
    }

    def defines(self) -> dict[str, str]:
        """What marks a task, and where a CPU's variables lie, counted from its run queue."""
        found = super().defines()
        if "CAST" not in found:
            raise HostError("this kernel has no bpf_rdonly_cast")
        found["MARKS"] = hex(marks.measured(int(found["TASK_FLAGS"])))
        variables = {"THIS_CPU_OFF": "this_cpu_off", "KSTAT": "kstat"}
        found |= {name: str(self._from_queue(variable)) for name, variable in variables.items()}
        found["ENOUGH"] = str(_ENOUGH)
        found["PREEMPT_COUNT"] = str(self._preempt_count())
        interrupts.check(found)
        return found

    def _from_queue(self, variable: str) -> int:
        at, queue = self.btf.per_cpu(variable), self.btf.per_cpu("runqueues")
        if at is None or queue is None:
            raise HostError(f"this kernel's BTF has no {variable} of each CPU")
        return at - queue

    def _preempt_count(self) -> int:
        """A variable of its own, but in x86's ``pcpu_hot`` from 6.2 to 6.14."""
        if self.btf.per_cpu("__preempt_count") is not None:
            return self._from_queue("__preempt_count")
        within = self.btf.offset("pcpu_hot", "preempt_count")
        if within is None:
            raise HostError("this kernel's BTF has no __preempt_count of each CPU")
        return self._from_queue("pcpu_hot") + within

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
