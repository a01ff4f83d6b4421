"""What kinds of function probe this kernel lets us attach: tried, in a millisecond, without a compiler."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from herd import bpf
from herd.probes.btf import Btf

_TYPE_TRACING: Final = 26
_TRACE_FENTRY: Final = 24
#: r0 = 0; exit
_RETURN_0: Final = bytes.fromhex("b7000000000000009500000000000000")

#: Where tracefs may be mounted.
TRACING: Final = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))


def fentry(btf: Btf, function: str) -> str | None:
    """Why a BPF program cannot be attached to a function's entry, or ``None`` if one was."""
    function_id = btf.function_id(function)
    if function_id is None:
        return f"this kernel's BTF has no function {function}"
    try:
        program = bpf.load(
            _TYPE_TRACING, _RETURN_0, attach_type=_TRACE_FENTRY, attach_btf_id=function_id
        )
    except OSError as error:
        return f"fentry is refused: {error.strerror}"
    try:
        os.close(bpf.open_raw_tracepoint(program))
    except OSError as error:
        return f"fentry cannot be attached: {error.strerror}"
    finally:
        os.close(program)
    return None


def kprobe() -> str | None:
    """Why a kprobe cannot be made, or ``None`` if this process may write to ``kprobe_events``."""
    there = [folder / "kprobe_events" for folder in TRACING if (folder / "kprobe_events").exists()]
    if not there:
        return "kprobes are not in this kernel: tracefs has no kprobe_events"
    if not os.access(there[0], os.W_OK):
        return f"kprobes are refused: {there[0]} cannot be written"
    return None
