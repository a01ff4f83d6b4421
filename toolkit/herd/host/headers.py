"""The kernel-header tree that bcc compiles against.

It need not match the running kernel exactly, since struct offsets come from BTF; so where the
running kernel's own tree is missing, the newest installed one does. Distributions that split it in
two (Debian: ``-amd64`` and ``-common``) get both merged into one folder of symbolic links in the
user's cache. Nothing is ever written under ``/lib/modules`` or ``/usr/src``.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from herd.errors import HostError
from herd.host.packages import install_command

MODULES = Path("/lib/modules")
SOURCES = Path("/usr/src")

_ABANDONED_S = 3600.0
_FIRST = "include/linux/kconfig.h"


def kernel_headers() -> Path | None:
    """The tree that ``BCC_KERNEL_SOURCE`` should name, if it is there already; else None.

    ``BCC_KERNEL_SOURCE`` itself, if set, is the answer, whatever it names.
    """
    tree = _plan()
    if tree is None:
        return None
    where, parts = tree
    return where if len(parts) == 1 or _readable(where) else None


def ensure_kernel_headers() -> Path:
    """As ``kernel_headers``, and merges a tree that comes in parts. Safe in processes side by side.

    :raises HostError: if no headers are installed, or the cache cannot be written
    """
    tree = _plan()
    if tree is None:
        raise HostError("no kernel headers were found", install_command("headers"))
    where, parts = tree
    if len(parts) > 1 and not _readable(where):
        try:
            _merge(where, parts)
        except OSError as error:
            raise HostError(
                f"cannot write the merged kernel headers: {error}",
                "export XDG_CACHE_HOME=$(mktemp -d)",
            ) from error
    return where


def use_kernel_headers() -> None:
    """Have bcc compile with them, in this process.

    :raises HostError: there are none, or not the one that bcc includes before all others: LLVM would say so,
        and die of it
    """
    tree = ensure_kernel_headers()
    if not (tree / _FIRST).exists():
        raise HostError(f"the kernel headers in {tree} lack {_FIRST}", "herd doctor")
    os.environ["BCC_KERNEL_SOURCE"] = str(tree)


def fingerprint() -> str:
    """Which tree it is, and that it is still the same one; empty where there is none."""
    tree = _plan()
    return f"{tree[0]} {_fingerprint(*tree[1])}" if tree else ""


def cache_folder() -> Path:
    """Where merged header trees are kept: below ``XDG_CACHE_HOME``, else ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base else Path(os.path.expanduser("~")) / ".cache"  # noqa: PTH111
    return root / "herd" / "kernel-headers"


def _plan() -> tuple[Path, list[Path]] | None:
    """The tree to use, and the parts it is made of: one if it can be used as it is."""
    named = os.environ.get("BCC_KERNEL_SOURCE")
    if named:
        return Path(named), [Path(named)]
    arch = _own_tree() or _newest_tree()
    if arch is None:
        return None
    common = _common_tree(arch)
    if common is None:
        return arch, [arch]
    # A refreshed package gives another name, so that nothing in use is ever changed.
    name = f"{arch.name.removeprefix('linux-headers-')}-{_fingerprint(common, arch)}"
    return cache_folder() / name, [common, arch]


def _own_tree() -> Path | None:
    build = MODULES / platform.release() / "build"
    return build.resolve() if build.exists() else None


def _newest_tree() -> Path | None:
    return max(_trees(), key=lambda tree: (_numbers(tree.name), tree.name), default=None)


def _trees() -> Iterator[Path]:
    """Installed trees configured for this machine: Debian's and Ubuntu's, then Fedora's, SUSE's."""
    generated = f"arch/{_source_arch()}/include/generated"
    for pattern in ("linux-headers-*", "kernels/*", "linux-*-obj/*/*"):
        for tree in SOURCES.glob(pattern):
            configured = (tree / "include/generated/autoconf.h").is_file()
            if configured and (tree / generated).is_dir():
                yield tree


def _common_tree(arch: Path) -> Path | None:
    """The tree with the rest of the headers of a split package; None if the package is whole."""
    if (arch / "include/linux/sched.h").is_file():
        return None
    beside = MODULES / platform.release() / "source"
    for common in (_included_tree(arch), beside.resolve()):
        if common is not None and (common / "include/linux/sched.h").is_file():
            return common
    return None


def _included_tree(arch: Path) -> Path | None:
    # A split package's Makefile is one line: include <the other tree>/Makefile.
    try:
        text = (arch / "Makefile").read_text(errors="replace")
    except OSError:
        return None
    match = re.search(r"^include\s+(\S+)/Makefile\s*$", text, re.MULTILINE)
    return None if match is None else (arch / match[1]).resolve()


def _merge(where: Path, parts: list[Path]) -> None:
    where.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".new-", dir=where.parent))
    try:
        for part in parts:
            _link_tree(part, aside)
        aside.chmod(0o755)
        _publish(aside, where)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _prune(where)


def _link_tree(source: Path, target: Path) -> None:
    """What ``cp -asf source/. target/`` does: real folders, links to files, the later part wins."""
    for entry in os.scandir(source):
        link = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            link.mkdir(exist_ok=True)
            _link_tree(Path(entry.path), link)
        else:
            link.unlink(missing_ok=True)
            link.symlink_to(entry.path)


def _publish(aside: Path, where: Path) -> None:
    try:
        aside.rename(where)
    except OSError:
        # Another process was first: the name says what it is made of, so its tree is the same.
        if not _readable(where):
            raise


def _prune(where: Path) -> None:
    """Remove what older or removed packages and aborted builds left."""
    version = where.name.rpartition("-")[0]
    for other in where.parent.iterdir():
        if other.name.startswith(".new-"):
            useless = _age_s(other) > _ABANDONED_S
        else:
            older = other.name.rpartition("-")[0] == version and other != where
            useless = older or not (other / "Makefile").exists()
        if useless:
            shutil.rmtree(other, ignore_errors=True)


def _fingerprint(*parts: Path) -> str:
    text = "".join(f"{part}{_changed_ns(part)}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _changed_ns(part: Path) -> int:
    # ctime, not mtime: a package's files carry the time they were built.
    files = (part, part / "Makefile", part / "include", part / "include/generated/autoconf.h")
    return max((path.stat().st_ctime_ns for path in files if path.exists()), default=0)


def _readable(folder: Path) -> bool:
    # Path.is_dir() raises where a folder above may not be searched.
    return os.access(folder, os.R_OK | os.X_OK)


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _numbers(name: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", name)]


def _source_arch() -> str:
    machine = platform.machine()
    known = {"x86_64": "x86", "aarch64": "arm64", "ppc64le": "powerpc", "riscv64": "riscv"}
    return known.get(machine, re.sub(r"^(s390|arm|mips).*", r"\1", machine))
