"""``herd.run`` and ``herd.experiment``: from Python, a notebook included."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herd import config as configs
from herd.errors import HerdError, from_message
from herd.recording.read import Recording, load

if TYPE_CHECKING:
    from herd.experiments.result import Result


def run(*, check: bool = True, picture: bool = True, **settings: Any) -> Recording:
    """Run an experiment in a fresh interpreter; the caller's process is never forked.

    :param check: raise if a conservation law was broken; else look at ``.run["integrity"]``
    :param picture: draw ``overview.png`` and ``.svg`` into the recording
    :param settings: the keys of :class:`herd.config.RunConfig`, such as ``strategy``, ``workers``,
        ``connections``, ``rate``, ``probe``, ``output``
    :raises HerdError: as the command would have said
    """
    config = configs.parse(settings).resolved()
    with tempfile.TemporaryDirectory(prefix="herd-") as scratch:
        file = Path(scratch, "run.toml")
        file.write_text(configs.to_toml(config))
        command = ["run", "--config", str(file), "--json"]
        status, out, error = _communicate(command if picture else [*command, "--no-picture"])
    where = _where(out)
    if status == 0 or (where and status == 1 and not check):
        assert where is not None
        return load(where)
    raise _error(status, error, where)


def experiment(
    name: str,
    *,
    quick: bool = False,
    output: str | Path | None = None,
    scheduler: str | None = None,
) -> Result:
    """Run an experiment, or go on with it, in a fresh interpreter.

    :param name: one of ``herd experiment list``, or the path of a ``.toml`` file
    :param quick: the smaller sweep
    :param output: folder for its recordings; by default that of ``herd experiment run``
    :param scheduler: address of a Dask scheduler that does the runs
    :returns: ``claims``, each with ``name``, ``held`` (``None``: not to be told here), ``expected``,
        ``measured``, ``why``; ``measures``, a DataFrame with a row a run; ``recordings``
    :raises HerdError: as the command would have said; a claim that failed is a result, and no error
    """
    from herd.experiments import locate
    from herd.experiments.bench import default_folder
    from herd.experiments.result import load as load_experiment

    folder = Path(output) if output else default_folder(locate(name).stem, quick=quick)
    command = ["experiment", "run", name, "--json", "--output", str(folder)]
    command += ["--quick"] if quick else []
    status, out, error = _communicate(
        [*command, *(["--scheduler", scheduler] if scheduler else [])]
    )
    if not out.strip():
        raise _error(status, error, None)
    return load_experiment(folder)


def _communicate(arguments: list[str]) -> tuple[int, str, str]:
    root = str(Path(__file__).resolve().parent.parent)
    search = os.pathsep.join([root, *(path for path in sys.path if path and path != root)])
    with subprocess.Popen(
        [sys.executable, "-m", "herd", *arguments],
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
