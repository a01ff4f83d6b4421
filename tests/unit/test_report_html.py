"""The page of a recording: valid, self-contained, escaped, and all that the summary says."""

from __future__ import annotations

import base64
import copy
import functools
import hashlib
import json
import re
import tomllib
from pathlib import Path
from xml.etree.ElementTree import Element

import html5lib
import numpy as np
import pytest

from herd import config
from herd.errors import UsageError
from herd.recording.read import Recording, load
from herd.report import html, timeline
from herd.report.tables import cell, flat
from tests.unit.test_plots import NAMES, REFERENCE, without_probe
from tests.unit.test_verdict import observed

HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"


def parse(page: str) -> Element:
    """The page's elements; raises on whatever isn't valid."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    root: Element = parser.parse(page)
    return root


def text(element: Element | None) -> str:
    assert element is not None
    return " ".join("".join(element.itertext()).split())


def by_id(root: Element, name: str) -> Element | None:
    return root.find(f".//*[@id='{name}']")


def section(root: Element, name: str) -> Element:
    found = root.find(f".//section[@aria-labelledby='{name}-heading']")
    assert found is not None
    return found


def scripts(root: Element) -> list[Element]:
    """Those that run; not the timeline's data."""
    return [s for s in root.iter("script") if s.get("type") != "application/json"]


RECORDINGS = (*NAMES, "no-probe", "observed")


@functools.cache
def recording_of(name: str) -> Recording:
    """To be looked at only."""
    made = {"no-probe": without_probe, "observed": observed}.get(name)
    return made("epoll-n16") if made else load(REFERENCE / name)


@functools.cache
def root_of(name: str) -> Element:
    """Likewise."""
    return parse(html.of_run(recording_of(name)))


@pytest.fixture(scope="module")
def page() -> str:
    return html.of_run(load(REFERENCE / "epoll-n16"))


@pytest.fixture(scope="module")
def root() -> Element:
    return root_of("epoll-n16")


# --- every page


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_page_is_valid_and_needs_nothing_else(name):
    root = root_of(name)
    for element in root.iter():
        for attribute in ("src", "href", "srcset", "action", "data", "poster"):
            assert element.get(attribute, "#").startswith(("#", "data:"))
        assert not [key for key in element.attrib if key.startswith("on") or key == "style"]
    assert "url(" not in "".join(text(style) for style in root.iter("style"))
    assert not [
        e.tag for e in root.iter() if e.tag in ("link", "iframe", "object", "embed", "base")
    ]


@pytest.mark.parametrize("name", RECORDINGS)
def test_headings_are_in_order_and_every_section_has_one(name):
    root = root_of(name)
    headings = [e.tag for e in root.iter() if re.fullmatch(r"h\d", str(e.tag))]
    assert headings[0] == "h1"
    assert set(headings[1:]) == {"h2"}
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    for element in root.iter("section"):
        assert element.get("aria-labelledby") in ids


@pytest.mark.parametrize("name", RECORDINGS)
def test_each_picture_is_told_in_words(name):
    images = list(root_of(name).iter("img"))
    assert images
    for image in images:
        assert len(image.get("alt", "")) > 20
        svg = base64.b64decode(image.get("src", "").partition(",")[2]).decode()
        assert "<svg" in svg
        assert not re.search(r'href="(?!#|data:)', svg)


def test_only_the_pages_own_script_and_style_may_run(root):
    policy = next(m.get("content") for m in root.iter("meta") if m.get("http-equiv"))
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for kind, elements in (("script", scripts(root)), ("style", list(root.iter("style")))):
        [element] = elements
        digest = base64.b64encode(hashlib.sha256((element.text or "").encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


# --- what it says


def test_question_and_answer_come_first(root):
    assert (
        text(root.find(".//h1"))
        == "How many of 16 workers that wait with epoll does one connection wake?"
    )
    answer = "16.00 wakeups per connection, as predicted; 94% of the wakeups were wasted."
    assert text(by_id(root, "answer")) == answer


@pytest.mark.parametrize(
    ("held", "said"),
    [(False, "16.00 wakeups per connection, predicted 16 for idle workers; "), (None, "16.00 ")],
)
def test_an_answer_that_is_not_the_prediction_says_so(held, said):
    recording = load(REFERENCE / "epoll-n16")
    recording.summary["prediction"]["held"] = held
    root = parse(html.of_run(recording))
    assert text(by_id(root, "answer")).startswith(said)
    verdict = {False: "FAILED", None: "can't be told"}[held]
    assert verdict in text(section(root, "claims"))


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_figure_of_the_summary_is_there(name):
    cells = {text(td) for td in root_of(name).iter("td")}
    summary = copy.deepcopy(recording_of(name).summary)
    for law in summary["integrity"].pop("checks"):
        assert law["detail"] in cells
    del summary["config"], summary["notes"], summary["deaths"], summary["integrity"]
    for worker in summary.pop("workers"):
        assert {cell(value) for value in worker.values() if value is not None} <= cells
    for key, value in flat(summary):
        assert key in cells or key.startswith("host.")
        assert " ".join(cell(value).split()) in cells, key


def test_a_claim_is_the_prediction_with_its_reason(root):
    claims = text(section(root, "claims"))
    for words in (
        "wakeups per connection",
        "held",
        "16 (15.68 to 16.32)",
        "16.00",
        "ep_ptable_queue",
    ):
        assert words in claims


def test_a_server_that_was_observed_has_a_verdict_and_no_claim():
    recording = observed("epoll-n16", 3600)
    root = parse(html.of_run(recording))
    assert root.find(".//*[@id='claims-heading']") is None
    assert text(by_id(root, "answer")).startswith("Worth knowing: 16.00 wakeups per connection")
    assert "overhead of looking" in text(section(root, "figures"))
    assert "herd observe :80 --duration 5s --probe auto" in _repeated(recording, 5.0)


@pytest.mark.parametrize(
    ("target", "command"),
    [("--pid 7", "herd observe --pid 7 --d"), ("unix:/a b", "herd observe 'unix:/a b' --d")],
)
def test_any_target_is_named_as_the_shell_takes_it(target, command):
    recording = observed("epoll-n16")
    recording.run["config"]["target"] = target
    assert command in _repeated(recording, None)


def _repeated(recording: Recording, seconds: float | None) -> str:
    recording.run["config"]["duration_s"] = seconds
    return text(section(parse(html.of_run(recording)), "repeat"))


def test_unknown_wakeups_have_no_timeline_and_are_never_zero():
    root = root_of("no-probe")
    assert by_id(root, "canvas") is None
    assert "Wakeups are unknown: no probe could see them." in text(by_id(root, "timeline"))
    assert text(by_id(root, "answer")) == "Unknown: no probe could see it (predicted 16)."
    rows = {text(tr[0]): text(tr[1]) for tr in root.iter("tr") if len(tr) == 2}
    assert rows["wakeups.total"] == rows["wakeups.per_connection"] == rows["arrivals"] == "unknown"


def test_a_broken_law_is_the_first_thing_on_the_page():
    recording = load(REFERENCE / "epoll-n16")
    recording.run["integrity"]["ok"] = False
    recording.run["integrity"]["checks"][4] |= {"ok": False, "detail": "3 lost"}
    root = parse(html.of_run(recording))
    alarm = root.find("body/div")
    assert text(alarm).startswith("NOT SOUND:")
    assert text(alarm).endswith("no event was lost: 3 lost")
    body = root.find("body")
    assert [child.tag for child in body or ()][:3] == ["a", "div", "header"]
    assert "BROKEN, 6 of 7 laws held" in text(section(root, "integrity"))


def test_the_run_can_be_repeated_from_its_page(root):
    toml, command = section(root, "repeat").findall("pre")
    run = load(REFERENCE / "epoll-n16").run
    assert config.parse(tomllib.loads(toml.text or "")) == config.parse(
        run["config"] | {"output": None}
    )
    assert text(command) == "herd run --config run.toml"


# --- hostile words


@pytest.fixture(scope="module")
def hostile() -> Element:
    recording = load(REFERENCE / "epoll-n16")
    run = recording.run
    run["config"]["strategy"] = HOSTILE
    run["config"]["options"] = {HOSTILE: HOSTILE}
    run["host"]["cpu"]["model"] = HOSTILE
    run["prediction"]["who"] = run["prediction"]["why"] = HOSTILE
    run["notes"] = [HOSTILE]
    run["integrity"]["checks"][0] |= {"name": HOSTILE, "detail": HOSTILE, "ok": False}
    recording.wakeups["cause"] = recording.wakeups["cause"].cat.rename_categories(
        {"other": HOSTILE}
    )
    return parse(html.of_run(recording))


def test_words_of_others_stay_words(hostile, root):
    assert [e.tag for e in hostile.iter("img")] == [e.tag for e in root.iter("img")]
    assert len(scripts(hostile)) == 1
    assert not [e for e in hostile.iter() if e.get("onerror")]


def test_words_of_others_are_all_there(hostile):
    page = text(hostile)
    assert page.count(" ".join(HOSTILE.split())) >= 7
    assert json.loads(by_id(hostile, "timeline-data").text)["causes"][0] == HOSTILE


# --- the timeline's data


def unpacked(packed: str) -> list[int]:
    values, value, shift = [], 0, 0
    for byte in base64.b64decode(packed):
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            values.append(value)
            value = shift = 0
    return values


def test_numbers_of_any_size_are_packed():
    numbers = [0, 1, 127, 128, 16383, 16384, 2**32, 2**56 - 1, 2**56, 2**63, 2**64 - 1]
    packed = timeline.varints(np.array(numbers, dtype="u8"))
    assert unpacked(base64.b64encode(packed).decode()) == numbers
    assert len(packed) == sum(max(1, -(-number.bit_length() // 7)) for number in numbers)
    assert timeline.varints(np.array([], dtype="u8")) == b""


def test_the_timeline_holds_what_the_table_says():
    recording = load(REFERENCE / "epoll-n16")
    data = timeline.pack(recording)
    columns = {name: unpacked(packed) for name, packed in data["columns"].items()}
    wakeups = recording.wakeups
    begin = wakeups["time_ns"].iloc[0]
    assert (np.cumsum(columns["time"]) + begin == wakeups["time_ns"]).all()
    assert (np.array(columns["wait"]) - 1 == wakeups["running_ns"] - wakeups["time_ns"]).all()
    assert (np.array(columns["awake"]) - 1 == wakeups["slept_ns"] - wakeups["running_ns"]).all()
    assert columns["worker"] == wakeups["worker"].tolist()
    assert columns["arrival"] == wakeups["arrival"].fillna(0).tolist()
    assert [data["causes"][c] for c in columns["cause"]] == wakeups["cause"].tolist()
    kinds = np.bincount(columns["kind"], minlength=5).tolist()
    counted = recording.summary["wakeups"]
    outcomes = [counted[n] for n in ("productive", "wasted_in_kernel", "wasted_in_user")]
    assert kinds == [*outcomes, 0, counted["other_causes"]]


def test_what_was_not_seen_is_not_zero():
    recording = load(REFERENCE / "epoll-n16")
    wakeups = recording.wakeups
    last = wakeups.index[-1]
    wakeups[["running_ns", "slept_ns"]] = wakeups[["running_ns", "slept_ns"]].astype("Int64")
    wakeups.loc[last, ["slept_ns", "outcome"]] = None
    wakeups.loc[last - 1, ["running_ns", "slept_ns"]] = None
    columns = {n: unpacked(p) for n, p in timeline.pack(recording)["columns"].items()}
    assert columns["awake"][-2:] == [0, 0]
    assert (columns["wait"][-2], columns["wait"][-1] > 0) == (0, True)
    assert list(timeline.KINDS)[columns["kind"][-1]] == "undecided"


def test_a_page_says_how_many_wakeups_its_timeline_leaves_out(monkeypatch):
    monkeypatch.setattr(timeline, "MOST", 3000)
    root = parse(html.of_run(load(REFERENCE / "epoll-n16")))
    assert "216 more are in the recording" in text(by_id(root, "timeline"))


# --- the file


def test_a_page_replaces_a_page_and_nothing_else(page, tmp_path):
    path = tmp_path / "report.html"
    html.save(page, path)
    html.save(page + "<!-- newer -->", path)
    assert path.read_text(encoding="utf-8").endswith("<!-- newer -->")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    path.write_text("<title>mine</title>")
    with pytest.raises(UsageError, match="exists, and herd did not make it"):
        html.save(page, path)
    assert path.read_text() == "<title>mine</title>"


def test_a_page_that_cannot_be_written_is_a_usage_error(page, tmp_path):
    for path in (tmp_path, tmp_path / "not" / "there.html", Path("/proc/report.html")):
        with pytest.raises(UsageError, match=f"cannot write {path}"):
            html.save(page, path)


def test_the_same_recording_gives_the_same_page(page):
    assert html.of_run(load(REFERENCE / "epoll-n16")) == page


def test_nested_figures_are_named_by_their_path():
    assert dict(flat({"a": {"b": 1, "c": None}, "d": [1, 2], "e": []})) == {
        "a.b": 1,
        "a.c": None,
        "d": "1, 2",
        "e": "none",
    }
