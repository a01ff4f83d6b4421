"""What a probe mode is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from herd.errors import HostError
from herd.probes import io_uring, registers
from herd.probes.btf import Btf

if TYPE_CHECKING:
    from herd.loader.loaded import Loaded

#: C name → struct and member whose offset it stands for; used by bpf/read.c and those after it.
WORKER_OFFSETS: Final = {
    "SKC_COOKIE": ("sock", "__sk_common.skc_cookie"),
    "SKC_STATE": ("sock", "__sk_common.skc_state"),
    "SKC_FAMILY": ("sock", "__sk_common.skc_family"),
    "SKC_DPORT": ("sock", "__sk_common.skc_dport"),
    "SKC_DADDR": ("sock", "__sk_common.skc_daddr"),
    "SKC_V6_DADDR": ("sock", "__sk_common.skc_v6_daddr"),
    "SK_ACK_BACKLOG": ("sock", "sk_ack_backlog"),
    "SK_RECEIVE_QUEUE_LEN": ("sock", "sk_receive_queue.qlen"),
    "UNIX_PEER": ("unix_sock", "peer"),
    "TASK_PID": ("task_struct", "pid"),
    "TASK_ON_CPU": ("task_struct", "on_cpu"),
    "TASK_STACK": ("task_struct", "stack"),
    "TASK_FILES": ("task_struct", "files"),
    "FILES_FDT": ("files_struct", "fdt"),
    "FDTABLE_FD": ("fdtable", "fd"),
    "FILE_PRIVATE_DATA": ("file", "private_data"),
    "SOCKET_SK": ("socket", "sk"),
}

#: C files in bpf/ of every mode, in the order in which they are joined.
SOURCES: Final = (
    "event.h",
    "lanes.c",
    "read.c",
    "clients.c",
    "worker.c",
    "track.c",
    "arrival.c",
    "io_uring.c",
    "life.c",
    "enter.c",
    "exit.c",
)
#: Programs of enter.c and exit.c, which see system calls begin and end.
ENTRIES: Final = "later__sys_enter"
EXITS: Final = "later__sys_exit"


class Probe:
    """One way to see arrivals, wakeups and accepts, on this kernel.

    Its C sees ``PREV_STATE(ctx)``, an offset for each of :attr:`offsets`, and what :meth:`defines` adds.

    :param btf: the running kernel's
    :raises HostError: this kernel lacks something for it; loading it is the last word
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    #: ``auto`` tries the lowest first: for a run the rank, by what it tells; for a server that herd didn't
    #: start the weight, by what it costs.
    rank: ClassVar[int]
    weight: ClassVar[int]
    sources: ClassVar[tuple[str, ...]]  #: its own C files in bpf/, which come after :data:`SOURCES`
    offsets: ClassVar[dict[str, tuple[str, str]]] = WORKER_OFFSETS
    #: Whether it must see system calls begin, which makes each a little slower.
    sees_entries: ClassVar[bool] = False
    #: Kernel functions whose calls it records, by number from 1.
    functions: tuple[str, ...] = ()

    def __init__(self, btf: Btf) -> None:
        self.btf = btf

    def defines(self) -> dict[str, str]:
        """C macros that this kernel decides, offsets first."""
        found = {"PREV_STATE(ctx)": self._prev_state()}
        for name, (struct, member) in self.offsets.items():
            offset = self.btf.offset(struct, member)
            if offset is None:
                raise HostError(f"this kernel's BTF has no {struct}.{member}")
            found[name] = str(offset)
        found["REGISTERS"] = str(registers.distance(int(found["TASK_STACK"])))
        return found | io_uring.defines(self.btf)

    def _prev_state(self) -> str:
        """``sched_switch`` tells prev_state since 5.18 (commit fa2c3254d7cf); before, the task does."""
        if (self.btf.tracepoint_arguments("sched_switch") or 0) >= 4:
            return "(ctx)->args[3]"
        state = self.btf.offset("task_struct", "__state") or self.btf.offset("task_struct", "state")
        return f"KREAD(u32, (ctx)->args[1], {state})"

    def need_tracepoints(self, *names: str) -> None:
        """Refuse a kernel that lacks one of these tracepoints."""
        missing = [name for name in names if self.btf.tracepoint_arguments(name) is None]
        if missing:
            raise HostError(f"this kernel has no tracepoint {', '.join(missing)}")

    def begin(self, loaded: Loaded) -> None:
        """Forget the run before."""

    def tick(self, loaded: Loaded) -> None:
        """In a run, now and then."""

    def watch(self, loaded: Loaded, tids: list[int]) -> None:
        """Prepare for these workers, before they are tracked."""

    def calls(self, loaded: Loaded) -> dict[str, dict[str, int]]:
        """By function: ``entries`` and ``returns`` on a listener's path, ``elsewhere``, ``missed``."""
        return {}

    def findings(self, loaded: Loaded) -> list[str]:
        """What the run showed of the probe itself, and what follows."""
        return []

    def notes(self) -> list[str]:
        """What this kernel doesn't let it see, and what follows."""
        return io_uring.notes(self.btf)
