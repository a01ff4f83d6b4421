"""Find and import bcc, which distributions ship and PyPI does not."""

from __future__ import annotations

import glob
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from herd.errors import HostError
from herd.host.packages import install_command

SYSTEM_FOLDERS = (
    "/usr/lib/python3/dist-packages",
    "/usr/lib/python3*/site-packages",
    "/usr/lib64/python3*/site-packages",
    "/usr/local/lib/python3*/dist-packages",
    "/usr/local/lib/python3*/site-packages",
)


def find_bcc() -> Path | None:
    """The folder to append to ``sys.path`` so that ``import bcc`` finds eBPF's bcc, or None.

    If ``HERD_BCC_PATH`` is set, no other place is looked in. Imports nothing.
    """
    return next((folder for folder in _candidates() if _is_ebpf_bcc(folder)), None)


def import_bcc() -> ModuleType:
    """The module ``bcc``. LLVM can abort the process that uses it: call from a process of its own.

    :raises HostError: if it is missing or cannot be imported; the hint installs it
    """
    folder = find_bcc()
    if folder is None:
        raise HostError(f"bcc was not found{_where()}", install_command("bcc"))
    if str(folder) not in sys.path:
        # At the end: this folder holds the whole system's packages, which must not mix with ours.
        sys.path.append(str(folder))
    try:
        with warnings.catch_warnings():
            # bcc's own regular expressions warn under Python 3.12 and newer.
            warnings.simplefilter("ignore")
            module = importlib.import_module("bcc")
    except (ImportError, OSError, SyntaxError) as error:
        message = f"bcc in {folder} cannot be imported: {error}"
        raise HostError(message, install_command("bcc")) from error
    if Path(module.__file__ or "").parent.parent.resolve() != folder.resolve():
        raise HostError(
            f"another package named bcc hides eBPF's: {module.__file__}",
            f"{sys.executable} -m pip uninstall bcc",
        )
    return module


def bcc_version(folder: Path) -> str | None:
    """The version of the bcc in a folder that ``find_bcc`` returned, read without importing it."""
    try:
        text = (folder / "bcc" / "version.py").read_text()
    except OSError:
        return None
    _, _, value = text.partition("=")
    return value.strip().strip("'\"") or None


def _candidates() -> Iterator[Path]:
    only = os.environ.get("HERD_BCC_PATH")
    if only:
        yield Path(only)
        return
    yield from (Path(entry) for entry in sys.path if entry)
    for pattern in SYSTEM_FOLDERS:
        yield from (Path(match) for match in sorted(glob.glob(pattern), reverse=True))  # noqa: PTH207


def _is_ebpf_bcc(folder: Path) -> bool:
    # PyPI has an unrelated package of the same name; only the eBPF one wraps libbcc.
    package = folder / "bcc"
    # Not Path.is_file(), which raises where a folder above may not be searched.
    return all(os.access(package / name, os.R_OK) for name in ("__init__.py", "libbcc.py"))


def _where() -> str:
    only = os.environ.get("HERD_BCC_PATH")
    return f" in HERD_BCC_PATH={only}" if only else ""
