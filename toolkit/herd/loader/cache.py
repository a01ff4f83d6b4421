"""Compiled programs, kept in the user's cache: one file an image, named by the hash of what it is made from.

The kernel will run what is read here, so a file counts only if this user owns it, nobody else may write to
it, and it is whole: it begins with the hash of its name and contents. Any other is as if it weren't there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import herd
from herd.host import headers
from herd.host.bcc import bcc_version, find_bcc
from herd.loader import image
from herd.loader.image import Image

#: Changed with the form of what is kept.
_FORMAT: Final = "1"
#: An image is about 30 KiB.
_LIMIT_BYTES: Final = 8 << 20
_HASH_BYTES: Final = 32
_NOTES: Final = Path("/sys/kernel/notes")  # the running kernel's build id


def folder() -> Path:
    """Where they are kept, beside the merged kernel headers; it may be removed at any time."""
    return headers.cache_folder().with_name("bpf")


def get(text: str, defines: Mapping[str, str]) -> Image:
    """The image of a C text: from the cache, else compiled and kept there.

    :raises HostError: it has to be compiled, and can't be
    """
    flags = [f"-D{name}={value}" for name, value in defines.items()]
    path = folder() / key(text, flags)
    found = read(path)
    if found is not None:
        with contextlib.suppress(OSError):
            os.utime(path)  # the least recently used is removed first
        return found
    # Only now: it takes libbcc, with LLVM, into this process.
    from herd.loader.compiler import compiled

    found = compiled(text, flags)
    write(path, found)
    return found


def used() -> tuple[int, int]:
    """How many files, and how many bytes in all."""
    sizes = [size for _, size, _ in _files(folder())]
    return len(sizes), sum(sizes)


def key(text: str, flags: Sequence[str]) -> str:
    """The name of what a C text becomes here: with this kernel, these headers, this bcc and this herd."""
    parts = (
        _FORMAT,
        herd.__version__,
        *_kernel(),
        headers.fingerprint(),
        _compiler(),
        text,
        *flags,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def copy(source: Path, target: Path) -> None:
    """Keep in one folder what another has, too: a virtual machine's guest doesn't write to the host's."""
    for _, _, path in _files(source):
        found = read(path)
        if found is not None and read(target / path.name) is None:
            write(target / path.name, found)


def read(path: Path) -> Image | None:
    """What was kept in a file named by its :func:`key`, or ``None``."""
    try:
        data = _trusted(path)
    except OSError:
        return None
    if data[:_HASH_BYTES] != _hash(path.name, data[_HASH_BYTES:]):
        return None
    return image.decode(data[_HASH_BYTES:])


def write(path: Path, kept: Image) -> None:
    """Keep it, if that can be done: where it can't, the next will compile again.

    Two who keep the same at once are no harm: each writes aside, and one name wins.
    """
    payload = image.encode(kept)
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, aside = tempfile.mkstemp(prefix=".new-", dir=path.parent)  # mode 0600
        try:
            with open(descriptor, "wb") as file:
                file.write(_hash(path.name, payload) + payload)
            Path(aside).rename(path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
        _prune(path.parent)


def _trusted(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        others_may_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or others_may_write:
            raise PermissionError(f"{path} may be somebody else's")
        return file.read(_LIMIT_BYTES)


def _hash(name: str, payload: bytes) -> bytes:
    return hashlib.sha256(name.encode() + payload).digest()


def _files(where: Path) -> list[tuple[float, int, Path]]:
    """When last used, size and path of each, the last used first."""
    found = []
    for path in where.glob("*") if os.access(where, os.R_OK | os.X_OK) else ():
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    return sorted(found, reverse=True)


def _prune(where: Path) -> None:
    total = 0
    for _, size, path in _files(where):
        total += size
        if total > _LIMIT_BYTES:
            path.unlink(missing_ok=True)


def _kernel() -> tuple[str, ...]:
    build = _NOTES.read_bytes().hex() if os.access(_NOTES, os.R_OK) else ""
    return platform.machine(), platform.release(), platform.version(), build


def _compiler() -> str:
    where = find_bcc()
    return f"{where} {where and bcc_version(where)}"
