"""How this kernel tells of accepts in an io_uring: parameters of ``bpf/io_uring.c``."""

from __future__ import annotations

from typing import Final

from herd.probes.btf import Btf

_OFFSETS: Final = {
    "REQ_OPCODE": ("io_kiocb", "opcode"),
    "REQ_CTX": ("io_kiocb", "ctx"),
    "REQ_USER_DATA": ("io_kiocb", "cqe.user_data"),
}
#: By the number of arguments of io_uring_complete: (ring, request, completion), or its fields one by one.
_COMPLETED: Final = {
    3: {
        "USER_DATA": "KREAD(u64, (ctx)->args[2], {user_data})",
        "RESULT": "KREAD(s32, (ctx)->args[2], {res})",
        "FLAGS": "KREAD(u32, (ctx)->args[2], {flags})",
    },
    7: {"USER_DATA": "(ctx)->args[2]", "RESULT": "(ctx)->args[3]", "FLAGS": "(ctx)->args[4]"},
}


def defines(btf: Btf) -> dict[str, str]:
    """C macros, ``IO_URING`` among them; none where the kernel has no io_uring, or tells of it otherwise.

    Since 6.0, ``io_uring_file_get`` names the request. (``include/trace/events/io_uring.h``)
    """
    completed = _COMPLETED.get(btf.tracepoint_arguments("io_uring_complete") or 0)
    offsets = {name: btf.offset(*member) for name, member in _OFFSETS.items()}
    if (
        completed is None
        or btf.tracepoint_arguments("io_uring_file_get") != 2
        or None in offsets.values()
    ):
        return {}
    fields = {name: btf.offset("io_uring_cqe", name) for name in ("user_data", "res", "flags")}
    return (
        {"IO_URING": "1"}
        | {name: str(offset) for name, offset in offsets.items()}
        | {f"COMPLETED_{what}(ctx)": text.format(**fields) for what, text in completed.items()}
    )


def notes(btf: Btf) -> list[str]:
    """What follows where an io_uring is there and its accepts can't be seen."""
    if defines(btf) or btf.offset("io_ring_ctx", "refs") is None:
        return []
    return ["accepts in an io_uring are not seen: this kernel's tracepoints don't name the request"]
