"""A recording as one HTML file that needs nothing else: no network, no server, no other file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from herd import plots
from herd.analysis.summary import seen
from herd.analysis.words import subject
from herd.errors import UsageError
from herd.plots._style import where
from herd.recording.write import write_text
from herd.report import compare, repeat, timeline, words
from herd.report.render import render
from herd.report.tables import Table, flat, latencies, workers

if TYPE_CHECKING:
    from pathlib import Path

    from herd.compare import Comparison
    from herd.experiments.result import Result
    from herd.recording.read import Recording

#: In each page: what has it may be replaced by another one.
_MARK: Final = '<meta name="generator" content="herd '


def of_run(recording: Recording) -> str:
    """The page of one recording."""
    summary, run = recording.summary, recording.run
    return render(
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
        pictures=[_picture(name, recording) for name in plots.suited(recording)],
        latencies=latencies(summary),
        workers=workers(summary),
        everything=Table("Every figure", ("figure", "value"), list(flat(_figures(summary)))),
        environment=_where(summary),
        integrity=words.integrity(summary["integrity"]),
        laws=summary["integrity"]["checks"],
        repeat=repeat.of_run(run),
        recorded=_recorded(recording),
    )


def of_comparison(comparison: Comparison) -> str:
    """The page of several runs of the same load, side by side."""
    first, summaries = comparison.runs[0], [run.summary for run in comparison.runs]
    named = [(run.path.name, run.summary) for run in comparison.runs]
    return render(
        "comparison.html",
        question=words.question_of_all(summaries),
        answer=words.answer_of_all(summaries),
        kicker=f"{len(summaries)} runs of the same load",
        where=where(first.run),
        broken=[f"{name}: {law}" for name, s in named for law in words.broken(s["integrity"])],
        runs=_side_by_side(summaries),
        missing=[*comparison.failed, *comparison.unavailable],
        claims=[c | {"name": f"{name}: {c['name']}"} for name, s in named for c in words.claims(s)],
        pictures=[_picture("comparison", *comparison.runs)],
        environment=_where(summaries[0]),
        repeat=repeat.of_comparison(comparison),
        recorded=_recorded(first),
    )


def of_experiment(result: Result) -> str:
    """The page of an experiment: what was asked and published, its claims, what was measured."""
    state, recordings = result.state, result.recordings
    definition = state.definition
    return render(
        "experiment.html",
        question=definition.question,
        answer=result.answer,
        kicker=f"experiment {state.experiment}{', the quick one' if state.quick else ''}",
        where=where(recordings[0].run) if recordings else "nothing was recorded",
        broken=[],  # a run that broke a law is left out, and listed as missing
        claims=[claim.as_json() | {"name": claim.statement} for claim in result.claims],
        pictures=_pictures(definition.pictures, recordings),
        discussion=[part for part in definition.discussion.strip().split("\n\n") if part],
        sources=definition.source,
        means=_means(result),
        measures=_measures(result),
        environment=_where(recordings[0].summary) if recordings else None,
        integrity=_trusted(result),
        missing=result.missing,
        repeat=repeat.of_experiment(result),
        recorded=f"Begun {state.started_at} with herd {state.herd}, in {result.path}.",
    )


def _pictures(names: list[str], recordings: list[Recording]) -> list[dict[str, str]]:
    """Each of the recordings that have the data for it."""
    suited = {name: [r for r in recordings if plots.suits(name, r)] for name in names}
    return [_picture(name, *some) for name, some in suited.items() if some]


def _measures(result: Result) -> Table:
    frame = result.measures.astype(object)
    rows = frame.where(frame.notna(), None).to_numpy().tolist()
    return Table("Each run", [str(column) for column in frame], rows)


def _means(result: Result) -> Table:
    rows = [(m.name, m.means, m.unit or "a number") for m in result.measured]
    return Table("Measures", ("measure", "what it is", "unit"), rows)


def _trusted(result: Result) -> str:
    said = (
        f"Each of the {len(result.recordings)} runs behind these figures is whole, and kept every"
        " conservation law."
    )
    return f"{said} No figures come from these:" if result.missing else said


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


def _where(summary: dict[str, Any]) -> Table:
    return Table("Where it was run", ("what", "value"), list(flat(summary["host"])))


def _side_by_side(summaries: list[dict[str, Any]]) -> Table:
    rows = [list(row.values()) for row in compare.rows(summaries)]
    caption = "Wakeups per connection; times in µs"
    if compare.rough(summaries):
        caption += f"; {compare.ROUGH}"
    return Table(caption, list(compare.COLUMNS), rows, digits=list(compare.COLUMNS.values()))


def _recorded(recording: Recording) -> str:
    run = recording.run
    return f"Recorded {run['started_at']} by herd {run['herd']}, in {recording.path}."


def _picture(name: str, *recordings: Recording) -> dict[str, str]:
    means = plots.means(name)
    of = ", ".join(subject(recording.run) for recording in recordings)
    return {
        "svg": plots.svg(plots.draw(name, *recordings)),
        "caption": means,
        "alt": f"{of}: {means}",
    }
