"""Which kernels there are to boot: unpacked Debian packages in the user's cache."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from herd.errors import HostError
from herd.host import headers

#: The running kernel, natively.
HOST: Final = "host"
_PARTIAL: Final = ".partial"


@dataclass(frozen=True)
class Kernel:
    """A kernel that can be booted.

    :param release: as ``uname -r`` will say, such as ``6.1.0-50-amd64``
    :param image: its vmlinuz; its modules lie beside it, under ``lib/modules``
    """

    release: str
    image: Path

    @property
    def series(self) -> str:
        """Its first two numbers: ``6.1``."""
        match = re.match(r"\d+\.\d+", self.release)
        return match[0] if match else self.release


def folder() -> Path:
    """Where kernels are kept: in herd's own cache, beside the merged headers."""
    return headers.cache_folder().with_name("kernels")


def partial(name: str) -> Path:
    """Where a kernel is unpacked before it gets its name."""
    return folder() / f"{name}{_PARTIAL}"


def installed() -> list[Kernel]:
    """Those that are there, oldest version first."""
    found: list[Kernel] = []
    if not os.access(
        folder(), os.R_OK | os.X_OK
    ):  # glob raises where a folder above is closed to us
        return found
    for tree in folder().glob("*/boot/vmlinuz-*"):
        release = tree.name.removeprefix("vmlinuz-")
        if not tree.parents[1].name.endswith(_PARTIAL):
            found.append(Kernel(release, tree))
    return sorted(found, key=lambda kernel: _numbers(kernel.release))


def find(wanted: str) -> Kernel:
    """The newest kernel of a series (``6.1``), or the one of exactly this release.

    :raises HostError: it isn't installed
    """
    there = installed()
    for kernel in reversed(there):
        if wanted in (kernel.release, kernel.series):
            return kernel
    have = ", ".join(kernel.release for kernel in there) or "none"
    raise HostError(
        f"kernel {wanted} is not installed (there: {have})", f"herd kernels install {wanted}"
    )


def _numbers(release: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", release)]
