"""herd from Python, a notebook included; what measures runs in a fresh interpreter."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herd import config as configs
from herd.errors import HerdError, UsageError, from_message
from herd.recording.read import Recording, load

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from herd.experiments.result import Result


def run(*, check: bool = True, picture: bool = True, **settings: Any) -> Recording:
    """Run an experiment in a fresh interpreter; the caller's process is never forked.

    :param check: raise if a conservation law was broken; else look at ``.run["integrity"]``
    :param picture: put ``overview.png`` and ``.svg`` into its folder: half the time of a short run
    :param settings: the keys of :class:`herd.config.RunConfig`, such as ``strategy``, ``workers``,
        ``connections``, ``rate``, ``probe``, ``output``
    :raises HerdError: as the command would have said
    """
    config = configs.parse(settings).resolved()
    with tempfile.TemporaryDirectory(prefix="herd-") as scratch:
        file = Path(scratch, "run.toml")
        file.write_text(configs.to_toml(config))
        command = ["run", "--config", str(file), "--json"]
        return _recorded(command + ([] if picture else ["--no-picture"]), check=check)


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
        raise _error("experiment", status, error, None)
    return load_experiment(folder)


# Not called observe: the package of that name would hide it once it is imported.
def watch(
    target: str | None = None,
    *,
    pid: int | None = None,
    duration_s: float = 10.0,
    probe: str = "auto",
    output: str | Path | None = None,
    check: bool = True,
    picture: bool = True,
) -> Recording:
    """What ``herd observe`` does: watch a server that runs already, for a while.

    :param target: ``:80``, ``127.0.0.1:80``, ``unix:/run/server.sock``; or give ``pid``
    :param duration_s: seconds, more than 0: there is no Ctrl-C to end it
    :param output: folder of the recording; by default a new one in ``results/``
    :param check: as of :func:`run`; ``picture``, too
    :raises HerdError: as ``herd observe`` would have said
    """
    if not duration_s > 0:
        raise UsageError(f"duration_s: more than 0 seconds, not {duration_s:g}")
    command = ["observe", *_target(target, pid), "--duration", f"{duration_s:g}s"]
    command += ["--probe", probe, "--json", *([] if picture else ["--no-picture"])]
    return _recorded(command + (["--output", str(output)] if output else []), check=check)


def waitqueue(target: str | None = None, *, pid: int | None = None) -> dict[str, Any]:
    """Who waits in a live socket's wait queue, and whom the next connection wakes.

    :param target: as of :func:`watch`
    :returns: what ``herd waitqueue --json`` prints: ``listeners``, each with ``waiters`` and ``says``
    :raises HerdError: nothing listens there, or this user may not look
    """
    return _answer("waitqueue", target, pid)


def inspect(target: str | None = None, *, pid: int | None = None) -> dict[str, Any]:
    """How a running server waits, and what to make of it; what it can, it tells without root.

    :param target: as of :func:`watch`
    :returns: what ``herd inspect --json`` prints: ``listeners``, ``findings``, ``not_seen``
    :raises HerdError: nothing listens there, or this user may not look
    """
    return _answer("inspect", target, pid)


def draw(name: str, *recordings: Recording) -> Figure:
    """Draw a picture, such as ``overview``, of one recording, or of several where it compares.

    :raises herd.errors.UsageError: there is no picture of that name
    """
    from herd import plots

    return plots.draw(name, *recordings)


def _target(target: str | None, pid: int | None) -> list[str]:
    return [*([target] if target is not None else []), *(["--pid", str(pid)] if pid else [])]


def _answer(command: str, target: str | None, pid: int | None) -> dict[str, Any]:
    status, out, error = _communicate([command, *_target(target, pid), "--json"])
    if status:
        raise _error(command, status, error, None)
    answer: dict[str, Any] = json.loads(out)
    return answer


def _recorded(command: list[str], *, check: bool) -> Recording:
    status, out, error = _communicate(command)
    where = str(json.loads(out)["run"]) if out.strip() else None
    if where and (status == 0 or (status == 1 and not check)):
        return load(where)
    raise _error(command[0], status, error, where)


def _communicate(command: list[str]) -> tuple[int, str, str]:
    root = str(Path(__file__).resolve().parent.parent)
    search = os.pathsep.join([root, *(path for path in sys.path if path and path != root)])
    with subprocess.Popen(
        [sys.executable, "-m", "herd", *command],
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


def _error(command: str, status: int, text: str, where: str | None) -> HerdError:
    message = text.strip().removeprefix("herd: ") or f"herd {command} ended with exit code {status}"
    if status == 1 and where and not text.strip():
        message = f"a conservation law was broken; see run.json in {where}"
    error = from_message({"message": message, "hint": None, "exit_code": status})
    error.recording = load(where) if where else None
    return error
