"""Runs the real command, and looks for whatever it might leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from herd import strategies

PATIENCE_S = 120.0

#: Why the strategies with an io_uring can't run here: tried, as they try it themselves.
WITHOUT_LIBURING = strategies.find("io-uring").unavailable()
needs_liburing = pytest.mark.skipif(bool(WITHOUT_LIBURING), reason=WITHOUT_LIBURING or "")


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    """Wait for something to become true; it fails the test if that takes for ever."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.01)
    return found


def _environ(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "environ").read_bytes()
    except OSError:
        return b""


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


class Herd:
    """The command, in an environment by which all its processes can be found again."""

    def __init__(self, folder: Path) -> None:
        self.mark = f"HERD_TEST={uuid.uuid4().hex}"
        self.folder = folder
        self._count = 0

    def output(self) -> Path:
        """A fresh name for a recording."""
        self._count += 1
        return self.folder / f"run{self._count}"

    def start(
        self, *args: str, before: tuple[str, ...] = (), **environment: str
    ) -> subprocess.Popen[str]:
        name, value = self.mark.split("=")
        return subprocess.Popen(
            [*before, sys.executable, "-m", "herd", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {name: value} | environment,
        )

    def __call__(
        self, *args: str, before: tuple[str, ...] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*args, before=before, **environment)
        out, error = process.communicate(timeout=PATIENCE_S)
        assert "Traceback" not in error
        return subprocess.CompletedProcess(args, process.returncode, out, error)

    def run(self, *args: str, before: tuple[str, ...] = (), **environment: str) -> dict[str, Any]:
        """``herd run --json``, which must succeed; returns the summary.

        Nobody looks at pictures here: ``--no-picture`` halves a test's time.
        """
        output = ("--json", "--no-picture", "--output", str(self.output()))
        done = self("run", *args, *output, before=before, **environment)
        assert done.returncode == 0, done.stderr + done.stdout
        summary: dict[str, Any] = json.loads(done.stdout)
        return summary

    def processes(self, module: str = "") -> list[int]:
        """The processes of these runs that are still there, or those that run a module."""
        mark = self.mark.encode()
        pids = [int(p.name) for p in Path("/proc").glob("[0-9]*") if mark in _environ(p.name)]
        return [pid for pid in pids if module in _command(pid)]


class Bpftrace:
    """bpftrace, an independent tool, and what a script of it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output
        self._printed: list[dict[str, Any]] = []

    def ready(self) -> bool:
        """Whether it has begun to trace."""
        assert self._process.poll() is None
        return "ready" in self._output.read_text()

    def stop(self) -> None:
        """It prints its maps as it ends."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        lines = self._output.read_text().splitlines()
        self._printed = [json.loads(line) for line in filter(str.strip, lines)]

    def _data(self, kind: str) -> list[Any]:
        return [entry["data"] for entry in self._printed if entry["type"] == kind]

    def rows(self) -> list[list[str]]:
        """The words of each line that the script printed; fails if one was lost."""
        assert not self._data("lost_events")
        return [line.split() for text in self._data("printf") for line in text.splitlines()]

    def woken_by_sockets(self, tids: Iterable[int], inside: str = "sock_def_readable") -> int:
        """COUNT_WAKEUPS: wakeups of these threads from inside a notification.

        :param inside: ``tcp_child_process``: one of a TCP listener, not of a connection
        """
        wanted = {str(tid) for tid in tids}
        return sum(
            count
            for counts in self._data("map")
            for (tid, stack), count in ((k.split(",", 1), n) for k, n in counts["@"].items())
            if tid in wanted and inside in stack
        )


#: By task and the waker's kernel stack: another method than the probes'.
COUNT_WAKEUPS = "tracepoint:sched:sched_waking { @[args->pid, kstack(20)] = count(); }"


@contextlib.contextmanager
def bpftrace(script: str) -> Iterator[Bpftrace]:
    """Trace while the block runs."""
    if not shutil.which("bpftrace"):
        pytest.skip("bpftrace is not installed")
    # Not BEGIN: what it prints may be lost, and then nobody knows that it counts.
    ready = 'interval:ms:200 { printf("ready\\n"); }'
    # Into a file: a full pipe would stop it.
    with (
        tempfile.NamedTemporaryFile() as output,
        subprocess.Popen(
            ["bpftrace", "-B", "line", "-f", "json", "-e", ready + script],
            stdout=output,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        trace = Bpftrace(process, Path(output.name))
        try:
            until(trace.ready, "bpftrace traces")
            yield trace
        finally:
            trace.stop()


@pytest.fixture
def herd(tmp_path: Path) -> Iterator[Herd]:
    """The command; afterwards no process and no BPF program of it may be left."""
    command = Herd(tmp_path)
    yield command
    until(lambda: not command.processes(), f"the end of every process: {command.processes()}", 10)
    until(lambda: not _programs(), "the end of every BPF program", 10)


def _programs() -> set[int]:
    """BPF programs of herd's that no process holds; those of a run beside us have a holder."""
    listed = subprocess.run(
        ["bpftool", "--json", "prog", "show"], capture_output=True, text=True, check=True
    )
    names = {p["id"]: str(p.get("name", "")) for p in json.loads(listed.stdout)}
    ours = {
        number for number, name in names.items() if name.startswith(("raw_tracepoint", "later__"))
    }
    return ours - _held() if ours else ours


def _held() -> set[int]:
    found: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it, or a descriptor of its, is gone meanwhile
            found |= _programs_of(process)
    return found


def _programs_of(process: Path) -> set[int]:
    found: set[int] = set()
    for info in (process / "fdinfo").iterdir():
        with contextlib.suppress(OSError):
            found.update(map(int, re.findall(r"^prog_id:\s*(\d+)", info.read_text(), re.MULTILINE)))
    return found
