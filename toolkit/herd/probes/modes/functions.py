"""Function mode: the exact instrument, where the kernel permits probes on its functions."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from herd.errors import HostError
from herd.loader import kprobes
from herd.probes import permits
from herd.probes.btf import Btf
from herd.probes.modes._base import WORKER_OFFSETS, Probe
from herd.recording.schema import ACCEPT_FUNCTIONS, SIGNAL_FUNCTION, WAKE_FUNCTIONS

if TYPE_CHECKING:
    from herd.loader.loaded import Loaded

#: Without these there is no bracket around a wakeup.
_NEEDED: Final = ("sock_def_readable", "inet_csk_accept")
#: On the path, each where it exists and isn't inlined; lacking one costs a step of ``herd path``.
_STEPS: Final = (
    "tcp_child_process",
    "__wake_up",
    "__wake_up_sync",
    "__wake_up_sync_key",
    "__wake_up_common",
    "ep_poll_callback",
    "io_poll_wake",
    SIGNAL_FUNCTION,
    "unix_accept",
    *ACCEPT_FUNCTIONS.values(),
    "prepare_to_wait_exclusive",
)


class Functions(Probe):
    """Entry and return of the functions on an arrival's path, by fentry and fexit, else by kprobes."""

    name = "functions"
    summary = "fentry/fexit or kprobes on sock_def_readable, the wake functions, inet_csk_accept"
    rank = 10
    weight = 30
    sources = ("functions.c",)
    sees_entries = True  # herd path counts the calls since accept was called
    offsets = WORKER_OFFSETS | {
        "SK_WQ": ("sock", "sk_wq"),
        "SOCKET_WQ_WAIT": ("socket_wq", "wait"),
        "WAIT_PRIVATE": ("wait_queue_entry", "private"),
        "POLLING_TASK": ("poll_wqueues", "polling_task"),
    }

    def __init__(self, btf: Btf) -> None:
        super().__init__(btf)
        self.need_tracepoints("sched_waking", "sched_switch", "sys_enter", "sys_exit")
        # To compare the two, or where fentry is permitted and does not work.
        unwanted = os.environ.get("HERD_NO_FENTRY") and "HERD_NO_FENTRY is set"
        refusal = unwanted or permits.fentry(btf, _NEEDED[0])
        self.fentry = refusal is None
        other = permits.kprobe() if refusal else None
        if refusal and other:
            raise HostError(f"this kernel permits no probes on its functions: {refusal}; {other}")
        wanted = (*_NEEDED, *WAKE_FUNCTIONS, *_STEPS)
        traceable = _traceable()
        self.functions = tuple(
            name
            for name in wanted
            if btf.function_id(name) is not None and (traceable is None or name in traceable)
        )
        self._missed_before: dict[str, int] = {}
        self.missing = [name for name in wanted if name not in self.functions]
        if any(name in _NEEDED for name in self.missing):
            raise HostError(f"this kernel has no function {', '.join(self.missing)} to probe")

    def defines(self) -> dict[str, str]:
        """Numbers the functions that are there."""
        found = super().defines() | {"FUNCTIONS": str(len(self.functions) + 1)}
        for number, name in enumerate(self.functions, 1):
            found[f"FN_{name}"] = str(number)
            found[f"ARGS_{name}"] = str(self.btf.function_arguments(name))
        return found | ({"FENTRY": "1"} if self.fentry else {})

    def notes(self) -> list[str]:
        """Missing functions: inlined, or not in this kernel."""
        if not self.missing:
            return super().notes()
        waiters = WAKE_FUNCTIONS | {SIGNAL_FUNCTION: "sigtimedwait"}
        costs = [
            f"wakeups of workers in {waiters[name]} are not seen"
            for name in self.missing
            if name in waiters
        ]
        names = ", ".join(self.missing)
        follows = "; ".join(costs) or "herd path lacks these steps, no wakeup is missed"
        return [*super().notes(), f"inlined in this kernel or not in it: {names}: {follows}"]

    def begin(self, loaded: Loaded) -> None:
        """Count from 0; what the kernel counts by itself goes on, and is taken off."""
        for name in ("calls", "accepting", "notifying"):
            loaded.maps[name].clear()
        self._missed_before = self._missed(loaded)

    def watch(self, loaded: Loaded, tids: list[int]) -> None:
        """Room for each worker's own calls of accept."""
        accepting = loaded.maps["accepting"]
        for tid in tids:
            accepting[tid] = accepting.new()

    def calls(self, loaded: Loaded) -> dict[str, dict[str, int]]:
        """Counted in the kernel; ``missed`` is what the kernel itself says it did not run."""
        missed = self._missed(loaded)
        per_cpu = [loaded.maps["calls"][number] for number in range(len(self.functions) + 1)]
        return {
            name: {
                "entries": int(per_cpu[number]["entries"].sum()),
                "returns": int(per_cpu[number]["returns"].sum()),
                "elsewhere": int(per_cpu[number]["elsewhere"].sum()),
                "missed": missed.get(name, 0) - self._missed_before.get(name, 0),
            }
            for number, name in enumerate(self.functions, 1)
        }

    def _missed(self, loaded: Loaded) -> dict[str, int]:
        if not self.fentry:
            return _kretprobe_misses()
        missed: dict[str, int] = {}
        for program, fd in loaded.fds.items():
            name = program.partition("__")[2]  # kfunc__ or kretfunc__
            missed[name] = missed.get(name, 0) + _recursion_misses(fd)
        return missed


def _tracing_file(name: str) -> str | None:
    """A file of tracefs; ``None`` where it can't be read."""
    for folder in permits.TRACING:
        with contextlib.suppress(OSError):
            return (folder / name).read_text()
    return None


def _traceable() -> set[str] | None:
    """Functions that ftrace can hook, which fentry and kprobes use; ``None`` where that can't be read."""
    text = _tracing_file("available_filter_functions")
    return None if text is None else {line.partition(" ")[0] for line in text.splitlines()}


def _kretprobe_misses() -> dict[str, int]:
    """``kprobe_profile``: event, hits, misses."""
    event = kprobes.event("[pr]", r"(\S+?)")
    ours = re.compile(rf"^\s*{event}\s+\d+\s+(\d+)", re.MULTILINE)
    missed: dict[str, int] = {}
    for name, count in ours.findall(_tracing_file("kprobe_profile") or ""):
        missed[name] = missed.get(name, 0) + int(count)
    return missed


def _recursion_misses(fd: int) -> int:
    text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    match = re.search(r"^recursion_misses:\s*(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0
