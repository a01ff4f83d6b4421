"""Tracepoint mode: works where function probes are compiled out or refused."""

from __future__ import annotations

from typing import Final

from herd.probes.btf import Btf
from herd.probes.modes._base import Probe

#: What it attaches to; the doctor tries these.
NEEDED: Final = (
    "sk_data_ready",  # since 6.3, commit 40e0b0908142
    "inet_sock_set_state",
    "softirq_exit",
    "sched_waking",
    "sched_switch",
    "sys_enter",
    "sys_exit",
)


class Tracepoints(Probe):
    """A window per CPU: from the listener's ``sk_data_ready`` to whatever that CPU does next."""

    name = "tracepoints"
    summary = "raw tracepoints: sk_data_ready, sched_waking, sched_switch, system calls"
    rank = 20
    sources = ("event.h", "worker.c", "tracepoints.c")

    @classmethod
    def unavailable(cls, btf: Btf) -> str | None:
        """A tracepoint that isn't there."""
        missing = [name for name in NEEDED if btf.tracepoint_arguments(name) is None]
        return f"this kernel has no tracepoint {', '.join(missing)}" if missing else None

    @classmethod
    def defines(cls, btf: Btf) -> dict[str, str]:
        """``sched_switch`` tells prev_state since 5.18 (commit fa2c3254d7cf); before, the task does."""
        defines = super().defines(btf)
        if (btf.tracepoint_arguments("sched_switch") or 0) >= 4:
            defines["PREV_STATE(ctx)"] = "(ctx)->args[3]"
        else:
            state = btf.offset("task_struct", "__state") or btf.offset("task_struct", "state")
            defines["PREV_STATE(ctx)"] = f"KREAD(u32, (ctx)->args[1], {state})"
        return defines
