"""Runs experiments on another kernel; the recordings that come back are like any other."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from herd import strangers
from herd.config import RunConfig, as_dict
from herd.errors import HerdError, RunTimeout, from_message
from herd.host.headers import ensure_kernel_headers
from herd.kernels import catalog, machine
from herd.kernels.catalog import Kernel
from herd.kernels.machine import Machine, Outcome
from herd.loader import cache
from herd.recording import collect, write
from herd.recording.read import Recording
from herd.supervisor import Supervisor

if TYPE_CHECKING:
    from herd.runner import Progress

#: A boot takes 10 s, on a busy machine 30; then Python starts, and the probes are compiled: a minute more.
_START_S: Final = 180.0
_BOOTS: Final = 2
#: Who says nothing for so long before its first connection is stuck. 1,024 workers take a minute to fork.
_STUCK_S: Final = 300.0
#: Where in the shared folder the guest keeps what it compiles: emulated, LLVM takes half a minute.
_CACHE: Final = "cache/herd/bpf"
#: Its initramfs (10 MiB), and what the runs record.
_SPACE: Final = 64 << 20

#: A recording, or the error that came instead of it.
Result = Recording | HerdError


def run(
    config: RunConfig,
    progress: Progress = lambda what, done, total: None,
    *,
    picture: bool = True,
) -> Recording:
    """Run one experiment on ``config.kernel``.

    :param picture: draw ``overview.png`` and ``.svg`` into the recording
    :raises HerdError: the run failed in the guest, or (it says so) the guest died
    """
    [result] = run_all([config], progress, picture=picture)
    if isinstance(result, HerdError):
        raise result
    return result


def run_all(
    configs: Sequence[RunConfig],
    progress: Progress = lambda what, done, total: None,
    *,
    picture: bool = True,
) -> list[Result]:
    """Run several experiments, all on the same kernel, in one boot of it."""
    configs = [config.resolved() for config in configs]
    kernel = catalog.find(configs[0].kernel)
    places = [write.place(config.output, config.label) for config in configs]
    try:
        with tempfile.TemporaryDirectory(prefix="herd-vm-") as scratch:
            _check_space(Path(scratch))
            return _Boot(configs, kernel, places, Path(scratch), progress, picture).run()
    finally:
        for _, aside in places:
            shutil.rmtree(aside, ignore_errors=True)


def _check_space(scratch: Path) -> None:
    free = shutil.disk_usage(scratch).free
    if free < _SPACE:
        raise HerdError(
            f"a virtual machine needs {_SPACE >> 20} MiB for its files, and {scratch.parent} has"
            f" {free >> 20} MiB free",
            "free some space, or name another folder with TMPDIR",
        )


#: Of a guest: the run's number, its stage, how much of how many.
_Said = tuple[int, str, int, int]


def _begun(said: _Said) -> bool:
    number, _, done, _ = said
    return number > 0 or done > 0


class _Stuck(Exception):
    """The guest does nothing any more."""


class _Boot:
    """One boot, and the runs in it."""

    def __init__(
        self,
        configs: Sequence[RunConfig],
        kernel: Kernel,
        places: list[tuple[Path, Path]],
        share: Path,
        progress: Progress,
        picture: bool,
    ) -> None:
        self._configs = configs
        self._kernel = kernel
        self._places = places
        self._share = share
        self._progress = progress
        self._picture = picture
        self._timeout = _START_S + sum(config.timeout_s or 0.0 for config in configs)
        self._started = self._said_at = time.monotonic()
        self._said: _Said | None = None

    def run(self) -> list[Result]:
        runs = [as_dict(config) for config in self._configs]
        (self._share / "runs.json").write_text(json.dumps(runs))
        cache.copy(cache.folder(), self._share / _CACHE)
        command = [sys.executable, "-m", "herd.kernels.guest", machine.SHARED]
        with Supervisor(self._timeout) as supervisor:
            outcome, accelerator = self._boot(command, supervisor)
            cache.copy(self._share / _CACHE, cache.folder())
            supervisor.forgive(self._timeout)
            return [self._result(i, outcome, accelerator) for i in range(len(self._configs))]

    def _boot(self, command: list[str], supervisor: Supervisor) -> tuple[Outcome, str]:
        """Boot, and once more if the guest dies, or gets stuck, before its first connection.

        An emulated one does now and then: as it boots, or as functions get their probes. qemu's CPU may then
        execute an instruction that another CPU is just replacing.
        """
        for _ in range(_BOOTS):
            self._said, self._said_at = None, time.monotonic()
            with Machine(self._kernel, command, self._share, _environment()) as guest:
                try:
                    outcome = guest.wait(lambda guest=guest: self._tick(guest, supervisor))  # type: ignore[misc]
                except _Stuck:
                    outcome = Outcome(None, "", "", guest.console())
            if outcome.status is not None or _begun(self._told()):
                break
        return outcome, guest.accelerator

    def _check_that_it_goes_on(self, said: _Said) -> None:
        now = time.monotonic()
        if said != self._said:
            self._said, self._said_at = said, now
        elif now - self._said_at > _STUCK_S and not _begun(said):
            raise _Stuck

    def _told(self) -> _Said:
        """What the guest last said."""
        try:
            number, what, done, total = json.loads((self._share / "progress").read_text())
        except (OSError, ValueError):
            return 0, "starting", 0, 0
        return number, what, done, total

    def _tick(self, guest: Machine, supervisor: Supervisor) -> None:
        try:
            supervisor.check()
        except RunTimeout as error:
            kept = self._keep_console(guest.console())
            raise RunTimeout(
                f"{error.message} (in a virtual machine)", f"its console: {kept}"
            ) from None
        said = self._told()
        self._check_that_it_goes_on(said)
        if not guest.booted:
            seconds = int(time.monotonic() - self._started)
            self._progress(f"booting {self._kernel.release} ({guest.accelerator})", seconds, 0)
            return
        number, what, done, total = said
        where = f" {number + 1} of {len(self._configs)}" if len(self._configs) > 1 else ""
        self._progress(f"{self._kernel.series}{where}: {what}", done, total)

    def _result(self, number: int, outcome: Outcome, accelerator: str) -> Result:
        try:
            recording = self._recording(number, accelerator)
        except OSError as refused:
            return write.disk_full(refused, self._places[number][0])
        undrawn = collect.draw(recording) if recording and self._picture else None
        error = self._error(number)
        if error is not None:
            if recording:
                error.message += (
                    f"\nwhat was recorded until then is kept, marked incomplete: {recording.path}"
                )
            error.recording = recording
            return error
        if recording is not None:
            return undrawn or recording
        if outcome.status is None:
            return machine.died(self._kernel, outcome, self._keep_console(outcome.console))
        last = "\n".join(outcome.stderr.strip().splitlines()[-3:])
        return HerdError(
            f"the run failed in the virtual machine ({self._kernel.release}), exit code"
            f" {outcome.status}:\n{last}",
            f"its console: {self._keep_console(outcome.console)}",
        )

    def _error(self, number: int) -> HerdError | None:
        try:
            said = json.loads((self._share / f"{number}.error.json").read_text())
        except OSError:
            return None
        # Where it lay in the guest is no use to anyone.
        message = said["message"].partition("\nwhat was recorded until then")[0]
        where = f"in the virtual machine ({self._kernel.release})"
        return from_message(said | {"message": f"{where}: {message}"})

    def _recording(self, number: int, accelerator: str) -> Recording | None:
        came_back = self._share / str(number)
        if not (came_back / "run.json").exists():
            return None
        directory, aside = self._places[number]
        shutil.copytree(came_back, aside, dirs_exist_ok=True)
        run = json.loads((aside / "run.json").read_text())
        guest = {"accelerator": accelerator, "cpus": machine.CPUS}
        run["host"] |= {"virtual_machine": guest, "latencies_comparable": accelerator != "tcg"}
        run["config"] = as_dict(self._configs[number])
        write.write_json(aside / "run.json", run)
        write.publish(aside, directory)
        return Recording(directory)

    def _keep_console(self, text: str) -> Path:
        directory = self._places[0][0]
        kept = directory.with_name(f"{directory.name}.console.txt")
        kept.write_text(text)
        return kept


def _environment() -> dict[str, str]:
    """For Python in the guest: no writing beside the sources, headers that are merged already, patience."""
    passed_on = {name: value for name, value in os.environ.items() if name == "HERD_NO_FENTRY"}
    return passed_on | {
        "HOME": "/tmp",
        "XDG_CACHE_HOME": f"{machine.SHARED}/cache",
        strangers.PATIENCE: "100",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "BCC_KERNEL_SOURCE": str(ensure_kernel_headers()),
    }
