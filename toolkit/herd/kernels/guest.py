"""Inside a virtual machine: does the runs that the host asked for, and leaves the recordings for it.

``python -m herd.kernels.guest FOLDER``: reads ``FOLDER/runs.json``, a list of configs; for number i it
writes ``FOLDER/i/`` (a recording) or ``FOLDER/i.error.json``, and meanwhile ``FOLDER/progress``.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, Final

from herd.config import parse
from herd.crew import Crew
from herd.errors import HerdError
from herd.host import mounts

_TELL_EVERY_S: Final = 0.5


class _Teller:
    """Writes how far the run is, now and then."""

    def __init__(self, folder: Path, number: int) -> None:
        self._file = folder / "progress"
        self._number = number
        self._last: tuple[str, float] = ("", 0.0)

    def __call__(self, what: str, done: int, total: int) -> None:
        if what == self._last[0] and time.monotonic() - self._last[1] < _TELL_EVERY_S:
            return
        self._last = (what, time.monotonic())
        aside = self._file.with_suffix(".new")
        aside.write_text(json.dumps([self._number, what, done, total]))
        aside.rename(self._file)


def _run(folder: Path, number: int, values: dict[str, Any], crew: Crew) -> None:
    from herd import runner

    # Recorded in the guest's own memory: the shared folder is slow, and that must not show.
    with tempfile.TemporaryDirectory(prefix="herd-guest-") as scratch:
        config = parse(values | {"output": f"{scratch}/run", "kernel": "host"})
        try:
            recording = runner.run(config, _Teller(folder, number), picture=False, crew=crew)
        except HerdError as error:
            (folder / f"{number}.error.json").write_text(json.dumps(error.as_message()))
            if error.recording is None:
                return
            recording = error.recording
        shutil.copytree(recording.path, folder / str(number))


def main() -> int:
    """Do every run; one that fails doesn't keep the next from being done."""
    folder = Path(sys.argv[1])
    mounts.ensure_mounts()
    failed = 0
    runs = json.loads((folder / "runs.json").read_text())
    with Crew(parse(runs[0]).probes, runs[0]["workers"]) as crew:
        for number, values in enumerate(runs):
            try:
                _run(folder, number, values, crew)
            except Exception:
                failed = 1
                traceback.print_exc()
    return failed


if __name__ == "__main__":
    sys.exit(main())
