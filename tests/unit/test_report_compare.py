"""What a comparison left is read again, wherever it lies by now: in words, as JSON, as a page."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import pytest

from herd import compare, config
from herd.errors import UsageError
from herd.report import html
from herd.report.compare import COLUMNS, rows, table
from tests.unit.test_cli import call  # noqa: F401 (a fixture)
from tests.unit.test_plots import NAMES, REFERENCE
from tests.unit.test_report_html import parse, section, text

MISSING = {"strategy": "io-uring", "kernel": "host", "why": "there is no liburing"}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A comparison of the reference recordings, as ``herd compare`` leaves it, and then moved here."""
    made = compare.Comparison(tmp_path / "compared", unavailable=[MISSING])
    for name in NAMES:
        shutil.copytree(REFERENCE / name, made.path / name)
        made.runs.append(compare.Recording(made.path / name))
    said = made.as_json()
    for run in said["runs"]:
        run["run"] = f"results/long-ago/{Path(run['run']).name}"
    (made.path / compare.FILE).write_text(json.dumps(said))
    return made.path


def test_it_is_read_from_where_it_lies_now(folder):
    found = compare.load(folder)
    assert [run.path for run in found.runs] == [folder / name for name in NAMES]
    assert (found.unavailable, found.failed, found.ok) == ([MISSING], [], True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not a comparison"),
        ('{"runs": [], "failed": []}', "is not a comparison: Object missing required field"),
        ('{"runs": [], "failed": [], "unavailable": []}', "holds no run"),
        (
            '{"runs": [{"run": "x/gone"}], "failed": [], "unavailable": []}',
            "gone is not a recording",
        ),
        ('{"runs": [{}], "failed": [], "unavailable": []}', "is not a comparison"),
    ],
)
def test_one_that_is_damaged_is_a_usage_error(folder, content, said):
    (folder / compare.FILE).write_text(content)
    with pytest.raises(UsageError, match=said):
        compare.load(folder)


def test_a_report_in_words_is_the_table_and_what_could_not_be_run(call, folder):  # noqa: F811
    answer = call("report", str(folder))
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == [
        "accept",
        "epoll-exclusive",
        "reuseport",
        "epoll",
    ]
    assert lines[5] == "io-uring on host: there is no liburing"
    assert (folder / "comparison.svg").exists()


def test_a_report_as_json_has_every_run(call, folder):  # noqa: F811
    answer = call("report", str(folder), "--json", "--no-picture")
    said = json.loads(answer.out)
    assert [Path(run["run"]) for run in said["runs"]] == [folder / name for name in NAMES]
    assert not (folder / "comparison.svg").exists()


def test_what_is_unknown_comes_last_and_is_said_to_be(folder):
    summaries = [run.summary for run in compare.load(folder).runs]
    summaries[0]["wakeups"]["per_connection"] = None
    assert [row["strategy"] for row in rows(summaries)][-1] == "accept"
    assert rows(summaries)[-1]["wakeups/conn"] is None
    cells = list(table(summaries).columns[list(COLUMNS).index("wakeups/conn")].cells)
    assert [str(cell) for cell in cells] == ["1.00", "1.00", "16.00", "unknown"]


def test_the_page_answers_and_says_what_is_missing(folder):
    root = parse(html.of_comparison(compare.load(folder)))
    assert (
        text(root.find(".//h1"))
        == "How many of 16 workers does one connection wake, by the way they wait?"
    )
    answer = text(root.find(".//*[@id='answer']"))
    assert answer.startswith("From 1.00 (accept) to 16.00 (epoll) wakeups per connection; ")
    assert answer.endswith("held in 4 of 4 runs.")
    side_by_side = section(root, "runs")
    body = side_by_side.find(".//tbody")
    assert body is not None
    assert [text(row[0]) for row in body] == ["accept", "epoll-exclusive", "reuseport", "epoll"]
    assert [text(row[2]) for row in body] == ["1.00", "1.00", "1.00", "16.00"]
    assert "io-uring on host: there is no liburing" in text(side_by_side)
    [image] = root.iter("img")
    assert "epoll-exclusive" in image.get("alt", "")


def test_a_broken_law_names_its_run(folder):
    found = compare.load(folder)
    found.runs[1].run["integrity"]["checks"][4] |= {"ok": False, "detail": "3 lost"}
    root = parse(html.of_comparison(found))
    assert text(root.find("body/div/ul")) == f"{NAMES[1]}: no event was lost: 3 lost"


def test_it_can_be_repeated_from_its_page(folder):
    found = compare.load(folder)
    toml, command = section(parse(html.of_comparison(found)), "repeat").findall("pre")
    again = config.parse(tomllib.loads(toml.text or ""))
    assert (again.workers, again.connections, again.rate, again.output) == (
        16,
        200,
        "settled",
        None,
    )
    assert text(command) == (
        "herd compare --config run.toml"
        " --strategies accept,epoll,epoll-exclusive,reuseport,io-uring --kernels host"
    )
