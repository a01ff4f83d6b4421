"""What the tests need of the host, and how ``HERD_REQUIRE`` turns a skip into a failure."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import sys
from typing import NoReturn

import pytest

#: Markers of tests that not every host can run → the word in HERD_REQUIRE that insists on them.
#: In the order in which they are begun: with ``pytest -n``, what takes long should not come last.
NEEDS = {"vm": "vm", "kernel": "ebpf", "browser": "browser"}

_CLONE_NEWNET = 0x40000000
#: Begins a command that needs the host's own network.
_outside: list[str] = []

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def pytest_configure(config: pytest.Config) -> None:
    """Of several at once (``pytest -n``) each has a network of its own: a queue overflows in one of them."""
    if hasattr(config, "workerinput") and ctypes.CDLL(None).unshare(_CLONE_NEWNET) == 0:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        _outside.extend(["nsenter", f"--net=/proc/{os.getppid()}/ns/net"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    files: dict[str, int] = {}
    for item in items:
        places = [place for place, marker in enumerate(NEEDS) if item.get_closest_marker(marker)]
        file = item.nodeid.partition("::")[0]
        files[file] = min([files.get(file, len(NEEDS)), *places])
    items.sort(key=lambda item: files[item.nodeid.partition("::")[0]])


@functools.cache
def lacking(marker: str) -> str | None:
    """Why tests with this marker cannot run here."""
    from herd.host.checks import run_checks

    if marker == "vm":
        return _no_virtual_machine()
    if marker == "browser":
        return None if CHROMIUM else "there is no chromium; make test installs it on Debian"
    return next((f"{c.name}: {c.detail}" for c in run_checks() if c.required and not c.found), None)


def _no_virtual_machine() -> str | None:
    """The kernels are fetched, a minute at most the first time."""
    install = [*_outside, sys.executable, "-m", "herd", "kernels", "install", "6.1", "6.12"]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, word in NEEDS.items():
        why = lacking(marker) if item.get_closest_marker(marker) else None
        if why:
            cannot_run(why, word)


def cannot_run(why: str, word: str) -> NoReturn:
    """Skip a test, or fail it where ``HERD_REQUIRE`` has the word that insists on it."""
    if word in os.environ.get("HERD_REQUIRE", "").split(","):
        pytest.fail(f"HERD_REQUIRE={word}, but {why}", pytrace=False)
    pytest.skip(why)
