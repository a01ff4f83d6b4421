"""What a probe mode is."""

from __future__ import annotations

from typing import ClassVar, Final

from herd.errors import HostError
from herd.probes.btf import Btf

#: C name → struct and member whose offset it stands for; used by bpf/worker.c.
WORKER_OFFSETS: Final = {
    "SKC_COOKIE": ("sock", "__sk_common.skc_cookie"),
    "SKC_STATE": ("sock", "__sk_common.skc_state"),
    "SKC_FAMILY": ("sock", "__sk_common.skc_family"),
    "SKC_DPORT": ("sock", "__sk_common.skc_dport"),
    "SKC_DADDR": ("sock", "__sk_common.skc_daddr"),
    "SKC_V6_DADDR": ("sock", "__sk_common.skc_v6_daddr"),
    "SK_ACK_BACKLOG": ("sock", "sk_ack_backlog"),
    "TASK_PID": ("task_struct", "pid"),
    "TASK_FILES": ("task_struct", "files"),
    "FILES_FDT": ("files_struct", "fdt"),
    "FDTABLE_FD": ("fdtable", "fd"),
    "FILE_PRIVATE_DATA": ("file", "private_data"),
    "SOCKET_SK": ("socket", "sk"),
}


class Probe:
    """One way to see arrivals, wakeups and accepts."""

    name: ClassVar[str]
    summary: ClassVar[str]
    rank: ClassVar[int]  #: ``auto`` tries the lowest first
    sources: ClassVar[tuple[str, ...]]  #: C files in bpf/, in the order in which they are joined
    offsets: ClassVar[dict[str, tuple[str, str]]] = WORKER_OFFSETS

    @classmethod
    def unavailable(cls, btf: Btf) -> str | None:
        """What this kernel lacks for it, or ``None``; loading it is the last word."""
        raise NotImplementedError

    @classmethod
    def defines(cls, btf: Btf) -> dict[str, str]:
        """C macros that this kernel decides, offsets first."""
        found = {}
        for name, (struct, member) in cls.offsets.items():
            offset = btf.offset(struct, member)
            if offset is None:
                raise HostError(f"this kernel's BTF has no {struct}.{member}")
            found[name] = str(offset)
        return found
