"""Tracepoint mode: works where function probes are compiled out or refused."""

from __future__ import annotations

from typing import ClassVar, Final

from herd.probes.btf import Btf
from herd.probes.modes._base import Probe

#: For unix listeners, and for accepts.
_CALLS: Final = ("sys_enter", "sys_exit")
#: C name → struct, of what bpf/read.c reads.
_STRUCTS: Final = {
    "REGISTERS": "pt_regs",
    "FILE": "file",
    "SOCKET": "socket",
    "SOCK": "sock",
}


class Tracepoints(Probe):
    """A window per CPU: from the listener's ``sk_data_ready`` to whatever that CPU does next."""

    name = "tracepoints"
    summary = "raw tracepoints: sk_data_ready, sched_waking, sched_switch, system calls"
    rank = 30
    weight = 20
    sources: ClassVar[tuple[str, ...]] = ("tracepoints.c",)
    #: What shows arrivals, wakeups and sleeps.
    scheduling: ClassVar[tuple[str, ...]] = (
        "sk_data_ready",  # since 6.3, commit 40e0b0908142
        "inet_sock_set_state",
        "softirq_exit",
        "sched_waking",
        "sched_switch",
    )

    def __init__(self, btf: Btf) -> None:
        super().__init__(btf)
        self.need_tracepoints(*self.needed())

    @classmethod
    def needed(cls) -> tuple[str, ...]:
        """What it attaches to; the doctor tries these."""
        return (*cls.scheduling, *_CALLS)

    def defines(self) -> dict[str, str]:
        """What a tracepoint is given has a type, and so has the rest where the kernel can be told."""
        return super().defines() | {"LISTENER_IS_TYPED": "1"} | self._casts()

    def _casts(self) -> dict[str, str]:
        cast = self.btf.function_id("bpf_rdonly_cast")  # since 6.2, commit a35b9af4ec2c
        if cast is None:
            return {}
        types = {f"TYPE_{name}": str(self.btf.struct_id(of)) for name, of in _STRUCTS.items()}
        return types | {"CAST": str(cast)}
