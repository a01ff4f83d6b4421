"""What the notebooks need: the real thing where the kernel lets us look, else what was recorded."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from herd import api
from herd.analysis.words import title
from herd.plots._style import where
from herd.recording.read import Recording, load

#: Set it to anything, and lessons show recordings on any host: quick, and the same figures each time.
RECORDED: Final = "HERD_RECORDED"


@functools.cache
def why_not_live() -> str | None:
    """Why wakeups can't be measured here, or ``None`` if they can; tried once, in a few seconds."""
    from herd.host import privileges
    from herd.host.checks import run_checks

    if os.environ.get(RECORDED):
        return f"{RECORDED} is set"
    if not privileges.may_load_bpf():
        return f"{privileges.who()} may not load BPF programs"
    lacks = [f"{check.name}: {check.detail}" for check in run_checks() if _lacks(check)]
    return "; ".join(lacks) or None


def _lacks(check: Any) -> bool:
    return bool(check.required and not check.found)


def live_or_recorded(path: str | Path, live: Callable[[], Recording] | None = None) -> Recording:
    """Measure again what a recording holds; where this host can't, the recording itself. Says which.

    :param path: the recording
    :param live: what measures; by default the recording's own run, done once more
    :raises HerdError: there is no recording, or what measures failed
    """
    recorded = load(path)
    why_not = why_not_live()
    if why_not is None:
        measured = live() if live else _again(recorded)
        click.echo(f"LIVE, just now: {title(measured.run)}. {where(measured.run)}")
        return measured
    click.echo(f"RECORDED ({why_not}): {title(recorded.run)}. {where(recorded.run)}")
    return recorded


def _again(recorded: Recording) -> Recording:
    """The same run, in a folder that nobody needs to clean: the notebook's own stays as it is."""
    output = Path(tempfile.mkdtemp(prefix="herd-"), recorded.path.name)
    settings = recorded.run["config"] | {"output": str(output)}
    return api.run(**settings, picture=False)
