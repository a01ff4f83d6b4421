"""``herd.run``: an experiment from Python, a notebook included."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from herd import config as configs
from herd.errors import HerdError, from_message
from herd.recording.read import Recording, load


def run(*, check: bool = True, **settings: Any) -> Recording:
    """Run an experiment in a fresh interpreter; the caller's process is never forked.

    :param check: raise if a conservation law was broken; else look at ``.run["integrity"]``
    :param settings: the keys of :class:`herd.config.RunConfig`, such as ``strategy``, ``workers``,
        ``connections``, ``rate``, ``probe``, ``output``
    :raises HerdError: as the command would have said
    """
    config = configs.parse(settings).resolved()
    with tempfile.TemporaryDirectory(prefix="herd-") as scratch:
        file = Path(scratch, "run.toml")
        file.write_text(configs.to_toml(config))
        command = [sys.executable, "-m", "herd", "run", "--config", str(file), "--json"]
        status, out, error = _communicate(command)
    where = _where(out)
    if status == 0 or (where and status == 1 and not check):
        assert where is not None
        return load(where)
    raise _error(status, error, where)


def _communicate(command: list[str]) -> tuple[int, str, str]:
    root = str(Path(__file__).resolve().parent.parent)
    search = os.pathsep.join([root, *(path for path in sys.path if path and path != root)])
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": search},
        start_new_session=True,  # an interrupt is passed on once, below
    ) as process:
        try:
            out, error = process.communicate()
        except KeyboardInterrupt:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            out, error = process.communicate()
        return process.returncode, out, error


def _where(out: str) -> str | None:
    import json

    return str(json.loads(out)["run"]) if out.strip() else None


def _error(status: int, text: str, where: str | None) -> HerdError:
    message = text.strip().removeprefix("herd: ") or f"herd run ended with exit code {status}"
    if status == 1 and where and not text.strip():
        message = f"a conservation law was broken; see run.json in {where}"
    error = from_message({"message": message, "hint": None, "exit_code": status})
    error.recording = load(where) if where else None
    return error
