"""Programs and maps in the kernel: an image loaded and attached, wherever it comes from."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from typing import Final, NamedTuple

from herd import bpf
from herd.errors import HostError
from herd.loader import cgroups, kprobes
from herd.loader.image import Image, ProgramImage, call_kernel, renumber_maps
from herd.loader.maps import Map
from herd.probes.btf import Btf


class _Kind(NamedTuple):
    """What a program is: ``enum bpf_prog_type``, ``enum bpf_attach_type``, and what BTF calls its target."""

    type: int
    attach_type: int = 0
    target: str | None = None  #: a function or a tracepoint, with its name in the place of ``{}``


_KPROBE, _SOCK_ADDR, _TRACING = 2, 18, 26
_TYPED: Final = 23  # BPF_TRACE_RAW_TP: the verifier knows the types of the arguments
_ITERATE: Final = 28  # BPF_TRACE_ITER

#: By the first part of a function's name in C; most are bcc's names, what follows ``__`` is the target.
_KINDS: Final = {
    "raw_tracepoint": _Kind(_TRACING, _TYPED, "btf_trace_{}"),
    "kfunc": _Kind(_TRACING, 24, "{}"),
    "kretfunc": _Kind(_TRACING, 25, "{}"),
    "entry": _Kind(_KPROBE),
    "return": _Kind(_KPROBE),
    "bpf_iter": _Kind(_TRACING, _ITERATE, "bpf_iter_{}"),
    "walk": _Kind(bpf.RAW_TRACEPOINT),  # attached to nothing: called by BPF_PROG_TEST_RUN
    "later": _Kind(_TRACING, _TYPED, "btf_trace_{}"),  # when it is asked for
    "peername4": _Kind(_SOCK_ADDR, 29),  # of all cgroups
    "peername6": _Kind(_SOCK_ADDR, 30),
}

#: Not attached as the image is loaded.
_NOT_YET: Final = ("walk__", "later__")


class Loaded:
    """Loaded and attached, until it is closed or the process ends.

    :param kept: how many calls a kretprobe keeps in mind
    :raises OSError: the kernel refuses; the text has its reason
    :raises HostError: it has no such function
    """

    def __init__(self, image: Image, btf: Btf | None = None, *, kept: int = 0) -> None:
        _unlimit_memory()
        self._btf = btf
        self._kept = kept
        self.maps: dict[str, Map] = {}
        self.fds: dict[str, int] = {}  #: of each program, by its name
        self.links: dict[str, int] = {}  #: of what is attached by a link
        with contextlib.ExitStack() as self._undo:
            for map_image in image.maps:
                with _naming(f"map {map_image.name}"):
                    self.maps[map_image.name] = made = Map(map_image)
                self._undo.callback(os.close, made.fd)
            for program in image.programs:
                with _naming(program.name):
                    self._load(image, program)
            for name in self.fds:
                if not name.startswith(_NOT_YET):
                    self.attach(name)
            self._undo = self._undo.pop_all()

    def close(self) -> None:
        """Let go of all."""
        self._undo.close()

    def _load(self, image: Image, program: ProgramImage) -> None:
        numbers = {i: self.maps[map_image.name].fd for i, map_image in enumerate(image.maps)}
        prefix, _, target = program.name.partition("__")
        kind = _KINDS[prefix]
        self.fds[program.name] = fd = bpf.load(
            kind.type,
            renumber_maps(call_kernel(program.code), numbers),
            name=program.name[:15],
            attach_type=kind.attach_type,
            attach_btf_id=self._type_id(kind.target.format(target)) if kind.target else 0,
        )
        self._undo.callback(os.close, fd)

    def _type_id(self, target: str) -> int:
        found = self._btf and self._btf.target_id(target)
        if not found:
            raise HostError(f"this kernel's BTF has no {target}")
        return found

    def attach(self, name: str) -> None:
        """Attach a program, by its name, unless it is attached."""
        if name in self.links:
            return
        prefix, _, target = name.partition("__")
        with _naming(name):
            if prefix in ("entry", "return"):
                kind = "p" if prefix == "entry" else "r"
                self._undo.push(kprobes.attach(self.fds[name], kind, target, self._kept))
            else:
                self.links[name] = self._link(prefix, self.fds[name])
                self._undo.callback(self.detach, name)

    def detach(self, name: str) -> None:
        """Detach what is attached by a link, if it is."""
        if name in self.links:
            os.close(self.links.pop(name))

    def _link(self, prefix: str, fd: int) -> int:
        kind = _KINDS[prefix]
        if kind.type == _SOCK_ADDR:
            with cgroups.root() as root:
                return bpf.link(fd, kind.attach_type, root)
        return bpf.link(fd, _ITERATE) if prefix == "bpf_iter" else bpf.open_raw_tracepoint(fd)


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    """Have a refusal say what was refused."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{what}: {error.strerror}") from error


def _unlimit_memory() -> None:
    """Before 5.11, maps count as locked memory."""
    infinity = resource.RLIM_INFINITY
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (infinity, infinity))
