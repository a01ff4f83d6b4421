"""The X-ray's BPF programs; only the X-ray's own process imports this."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from herd import bpf
from herd.errors import HostError
from herd.host import privileges
from herd.loader import cache
from herd.loader.loaded import Loaded
from herd.probes.btf import Btf

#: Entries that one call walks: verifying more takes longer, calling more often hardly.
CHUNK: Final = 256
_MAX_CHUNKS: Final = 256
_MAX_WANTED: Final = 1 << 17
_SOURCE: Final = Path(__file__).parent / "xray.c"

#: C name → struct and member whose offset it stands for.
_OFFSETS: Final = {
    "TASK_THREAD_PID": ("task_struct", "thread_pid"),
    "TASK_GROUP_LEADER": ("task_struct", "group_leader"),
    "TASK_COMM": ("task_struct", "comm"),
    "PID_LEVEL": ("pid", "level"),
    "PID_NUMBERS": ("pid", "numbers"),
    "UPID_NR": ("upid", "nr"),
    "FILE_PRIVATE_DATA": ("file", "private_data"),
    "FILE_OWNER": ("file", "f_owner"),
    "OWNER_PID": ("fown_struct", "pid"),
    "OWNER_TYPE": ("fown_struct", "pid_type"),
    "SOCKET_SK": ("socket", "sk"),
    "SK_SOCKET": ("sock", "sk_socket"),
    "SK_WQ": ("sock", "sk_wq"),
    "SK_REUSEPORT": ("sock", "sk_reuseport_cb"),
    "REUSEPORT_SOCKS": ("sock_reuseport", "num_socks"),
    "SKC_COOKIE": ("sock", "__sk_common.skc_cookie"),
    "SOCKET_WQ_WAIT": ("socket_wq", "wait"),
    "SOCKET_WQ_FASYNC": ("socket_wq", "fasync_list"),
    "FASYNC_FILE": ("fasync_struct", "fa_file"),
    "FASYNC_NEXT": ("fasync_struct", "fa_next"),
    "WAIT_ENTRY": ("wait_queue_entry", "entry"),
    "WAIT_FUNC": ("wait_queue_entry", "func"),
    "WAIT_PRIVATE": ("wait_queue_entry", "private"),
    "WAIT_FLAGS": ("wait_queue_entry", "flags"),
    "EPPOLL_BASE": ("eppoll_entry", "base"),
    "EPPOLL_WAIT": ("eppoll_entry", "wait"),
    "EPITEM_EP": ("epitem", "ep"),
    "EPITEM_EVENTS": ("epitem", "event.events"),
    "POLLING_TASK": ("poll_wqueues", "polling_task"),
}

# Each is the twin of a struct in xray.c.
FILE: Final = np.dtype(
    [
        *((name, "<u8") for name in ("key", "queue", "signals")),
        *((name, "<u4") for name in ("group", "pid", "fd", "pad")),
        ("comm", "S16"),
    ]
)
TASK: Final = np.dtype(
    [("key", "<u8"), *((name, "<u4") for name in ("pid", "tid", "state", "pad")), ("comm", "S16")]
)
WAITING: Final = np.dtype(
    [
        (name, "<u8")
        for name in ("function", "private", "flags", "epoll", "events", "poll_task", "uring_task")
    ]
)
OWNER: Final = np.dtype([("number", "<u8"), ("type", "<u8")])
_COUNT_AND_NEXT: Final = struct.Struct("<QQ")

Rows = np.ndarray[Any, Any]


class Changed(Exception):
    """A list changed while it was walked."""


class Programs:
    """Loaded; takes about a second where they have to be compiled.

    :raises HostError: this user may not, or this host lacks something
    """

    def __init__(self, btf: Btf) -> None:
        if not privileges.may_load_bpf():
            raise HostError(
                f"{privileges.who()} may not read the kernel's wait queues (CAP_BPF and CAP_PERFMON)",
                privileges.how_to_get_them("waitqueue TARGET"),
            )
        if any(btf.function_id(f"bpf_iter_{name}") is None for name in ("task", "task_file")):
            raise HostError(
                "this kernel has no BPF iterator over tasks and files", "boot Linux 5.10 or newer"
            )
        image = cache.get(_SOURCE.read_text(), _defines(btf))
        try:
            self._loaded = Loaded(image, btf)
        except OSError as error:
            raise HostError(
                f"the X-ray could not be loaded: {error.strerror}", "herd doctor"
            ) from error
        self._list = _needed(btf, "wait_queue_head", "head")
        size = _COUNT_AND_NEXT.size + WAITING.itemsize * CHUNK
        # One element of an mmapable array; it is read where the program wrote it.
        self._result = mmap.mmap(self._loaded.maps["result"].fd, _pages(size), prot=mmap.PROT_READ)

    def files(self, wanted: Iterable[int]) -> Rows:
        """Open files that are a socket with one of these cookies, or an object at one of these addresses."""
        return self._iterate("task_file", wanted, FILE)

    def tasks(self, wanted: Iterable[int]) -> Rows:
        """Those of these ``task_struct`` addresses that still are tasks."""
        return self._iterate("task", wanted, TASK)

    def queue(self, head: int) -> Rows:
        """The entries of the ``wait_queue_head`` at an address, in order.

        :raises Changed: it changed meanwhile
        """
        first = head + self._list
        rows = self._walk("walk__queue", first, first, WAITING)
        if not rows["function"].all():  # the walk went astray, off an entry that was taken off
            raise Changed
        return rows

    def signals(self, first: int) -> Rows:
        """The owners in the list of ``fasync_struct`` that begins at an address.

        :raises Changed: it changed meanwhile
        """
        return self._walk("walk__signals", 0, first, OWNER)

    def _iterate(self, name: str, wanted: Iterable[int], row: np.dtype[Any]) -> Rows:
        table = self._loaded.maps["wanted"]
        keys = list(wanted)
        for key in keys:
            table[key] = 1
        try:
            return np.frombuffer(self._all_of(name), row)
        finally:
            for key in keys:
                del table[key]

    def _all_of(self, name: str) -> bytes:
        try:
            descriptor = bpf.iterate(self._loaded.links[f"bpf_iter__{name}"])
        except OSError as error:
            message = f"the kernel refused to iterate over each {name}: {error.strerror}"
            raise HostError(message, "herd doctor") from error
        try:
            return b"".join(iter(lambda: os.read(descriptor, 1 << 16), b""))
        finally:
            os.close(descriptor)

    def _walk(self, name: str, head: int, at: int, row: np.dtype[Any]) -> Rows:
        chunks: list[bytes] = []
        while at:
            # An entry that is taken off points to itself, and the end is never met.
            if len(chunks) == _MAX_CHUNKS:
                raise Changed
            bpf.run(self._loaded.fds[name], head, at)
            count, at = _COUNT_AND_NEXT.unpack_from(self._result)
            begin = _COUNT_AND_NEXT.size
            chunks.append(self._result[begin : begin + count * row.itemsize])
        return np.frombuffer(b"".join(chunks), row)


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _defines(btf: Btf) -> dict[str, str]:
    found = {"CHUNK": str(CHUNK), "MAX_WANTED": str(_MAX_WANTED)}
    for name, (kind, member) in _OFFSETS.items():
        found[name] = str(_needed(btf, kind, member))
    state = btf.offset("task_struct", "__state") or _needed(btf, "task_struct", "state")
    found |= {"TASK_STATE": str(state), "UPID_SIZE": str(btf.size("upid"))}
    if btf.offset("file", "f_owner.pid") is None:
        found["OWNER_IS_POINTER"] = "1"
    return found | {"URING_TASK(request)": _uring_task(btf)}


def _uring_task(btf: Btf) -> str:
    """C for the task of a request: its own member until 6.12, then ``tctx``'s
    (include/linux/io_uring_types.h).

    A kernel without io_uring has no such entry in any queue.
    """
    own, context = btf.offset("io_kiocb", "task"), btf.offset("io_kiocb", "tctx")
    if own is not None:
        return f"KREAD(u64,request,{own})"
    if context is not None:
        return f"KREAD(u64,KREAD(u64,request,{context}),{_needed(btf, 'io_uring_task', 'task')})"
    return "0"


def _needed(btf: Btf, kind: str, member: str) -> int:
    offset = btf.offset(kind, member)
    if offset is None:
        raise HostError(f"this kernel's BTF has no {kind}.{member}")
    return offset
