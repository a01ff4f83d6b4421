"""What ``herd doctor --fix`` and the Makefile do: set up what needs no package manager."""

from __future__ import annotations

from herd.errors import HostError
from herd.host import headers, mounts


def fix() -> list[str]:
    """Mount what is missing and merge the kernel headers; takes milliseconds when all is there.

    :return: a line to show for each thing that it did, or that the user must do
    """
    return _fix_mounts() + _fix_headers()


def _fix_mounts() -> list[str]:
    done = [f"mounted {path}" for path in mounts.ensure_mounts()]
    left = [kind for kind, path in mounts.MOUNTS.items() if not mounts.mounted(path)]
    return done + [
        f"not mounted: {mounts.MOUNTS[kind]}; type: {mounts.mount_command(kind)}"
        for kind in left
        if mounts.supported(kind)
    ]


def _fix_headers() -> list[str]:
    if headers.kernel_headers() is not None:
        return []
    try:
        return [f"merged kernel headers: {headers.ensure_kernel_headers()}"]
    except HostError as error:
        return [f"{error.message}; {error.hint}"]
