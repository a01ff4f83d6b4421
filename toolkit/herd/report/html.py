"""A recording as one HTML file that needs nothing else: no network, no server, no other file."""

from __future__ import annotations

import base64
import hashlib
import shlex
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import msgspec

from herd import __version__, plots
from herd.analysis.summary import seen
from herd.analysis.words import subject
from herd.errors import UsageError
from herd.plots._style import where
from herd.recording.write import write_text
from herd.report import timeline, words
from herd.report.tables import Table, cell, flat, latencies, workers

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Environment

    from herd.recording.read import Recording

#: In each page: what has it may be replaced by another one.
_MARK: Final = '<meta name="generator" content="herd '
_TEMPLATES: Final = files("herd.report") / "templates"
_SCRIPTS: Final = ("page.js", "wakeups.js", "draw.js", "timeline.js")


def of_run(recording: Recording) -> str:
    """The page of one recording."""
    summary, run = recording.summary, recording.run
    config, command = _repeat(run)
    return _render(
        "run.html",
        question=words.question(summary),
        answer=words.answer(summary),
        kicker=summary["title"],
        where=where(run),
        broken=words.broken(summary["integrity"]),
        figures=list(words.figures(summary)),
        remarks=list(words.remarks(summary)),
        claims=words.claims(summary),
        seen=seen(recording),
        timeline=None if recording.wakeups.empty else timeline.pack(recording),
        pictures=[_picture(name, recording) for name in _pictures(recording)],
        latencies=latencies(summary),
        workers=workers(summary),
        everything=Table("Every figure", ("figure", "value"), list(flat(_figures(summary)))),
        environment=Table("Where it was run", ("what", "value"), list(flat(summary["host"]))),
        integrity=words.integrity(summary["integrity"]),
        laws=summary["integrity"]["checks"],
        config=config,
        command=command,
        recorded=f"Recorded {run['started_at']} by herd {run['herd']}, in {recording.path}.",
    )


def save(page: str, path: Path) -> None:
    """Write a page; one that herd made before is replaced.

    :raises UsageError: something else is there, or it can't be written
    """
    try:
        if path.exists() and _MARK not in path.read_text(encoding="utf-8", errors="replace")[:4096]:
            raise UsageError(f"{path} exists, and herd did not make it", "name another --output")
        write_text(path, page)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}", "name another file: --output"
        ) from error


def _figures(summary: dict[str, Any]) -> dict[str, Any]:
    """What has no table of its own."""
    apart = ("workers", "host", "config", "integrity", "notes", "deaths")
    return {name: value for name, value in summary.items() if name not in apart}


def _repeat(run: dict[str, Any]) -> tuple[str | None, str]:
    """The config file of a run, which an observed server has not, and the command."""
    from herd.config import parse, to_toml

    config = run["config"]
    if run.get("observed"):
        seconds = config["duration_s"] or 0
        target = str(config["target"])
        # A process is named by an option: --pid 123
        named = target if target.startswith("--pid ") else shlex.quote(target)
        return None, f"herd observe {named} --duration {seconds:g}s --probe {config['probe']}"
    # A new recording gets a new folder.
    effective = msgspec.structs.replace(parse(config), output=None)
    return to_toml(effective), "herd run --config run.toml"


def _pictures(recording: Recording) -> list[str]:
    """The pictures of one run for which it has the data."""
    has = {"path": not recording.calls.empty, "waitqueue": bool(recording.waitqueue)}
    return ["overview", *(name for name, there in has.items() if there)]


def _picture(name: str, *recordings: Recording) -> dict[str, str]:
    means = plots.means(name)
    of = ", ".join(subject(recording.run) for recording in recordings)
    return {
        "svg": plots.svg(plots.draw(name, *recordings)),
        "caption": means,
        "alt": f"{of}: {means}",
    }


def _render(template: str, **data: Any) -> str:
    return _environment().get_template(template).render(**data)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("herd.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    found.filters |= {"cell": cell, "base64": _base64, "digest": _digest}
    kinds = "".join(
        f".kind{number} {{ background: {colour}; }}\n"
        for number, (_, colour) in enumerate(timeline.KINDS.values())
    )
    found.globals |= {
        "style": _text("page.css") + kinds,
        "script": "".join(_text(name) for name in _SCRIPTS),
        "generator": f"herd {__version__}",
    }
    return found


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _digest(text: str) -> str:
    """As a Content-Security-Policy names a script or style: only that very text may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
