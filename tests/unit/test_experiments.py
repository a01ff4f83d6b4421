"""Experiments: the file is read strictly, each run is done once, claims are judged by what is recorded."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from herd.errors import HostError, Interrupted, Unfit, UsageError
from herd.experiments import (
    bench,
    claims,
    cluster,
    definition,
    local,
    locate,
    measures,
    names,
    result,
)
from herd.experiments.lines import Lines
from herd.experiments.measures import wakeups_per_connection
from herd.experiments.sweep import configured, design
from herd.recording.read import load
from herd.report import html
from tests.recordings import edit_run, reference
from tests.unit.test_cli import call  # noqa: F401 (a fixture)
from tests.unit.test_report_html import parse, section, text

FILE = """\
question = "Who wakes?"

[sweep]
strategy = ["accept", "epoll"]
workers = [16]
repeats = 2

[run]
connections = 200
rate = "settled"

[quick.sweep]
repeats = 1

[[claims]]
name = "one"
statement = "accept wakes one"
measure = "wakeups-per-connection"
where = { strategy = "accept" }
compare = "=="
expected = 1
why = "exclusive"

[[claims]]
name = "herd"
statement = "epoll wakes sixteen times as many"
measure = "wakeups-per-connection"
where = { strategy = "epoll" }
against = { strategy = "accept" }
of = "ratio"
compare = "between"
expected = [15, 17]
why = "not exclusive"
"""


@pytest.fixture
def write(tmp_path):
    def written(old: str = "", new: str = "", name: str = "who.toml") -> Path:
        assert old in FILE
        path = tmp_path / name
        path.write_text(FILE.replace(old, new, 1))
        return path

    return written


# --- the file


def test_lines_of_keys():
    lines = Lines(
        'a = 1\n[t]\nb.c = """\nd = 5\n"""\n"x y" = [\n  1,\n]\n'
        "[[s]]\ne = 1\n[s.u]\nf = 1\n# f = 2\n[[s]]\ne = { g = 1 }"
    )
    places = {
        ("a",): 1,
        ("t",): 2,
        ("t", "b", "c"): 3,
        ("t", "d"): 2,  # not a key: it's in a string
        ("t", "x y"): 6,
        ("t", "x y", 0): 6,
        ("s", 0): 9,
        ("s", 0, "e"): 10,
        ("s", 0, "u", "f"): 12,
        ("s", 1): 14,
        ("s", 1, "e", "g"): 15,
        ("nowhere",): 1,
    }
    assert {place: lines.of(place) for place in places} == places


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        (
            "question =",
            "qestion =",
            1,
            "unknown key of an experiment 'qestion'; did you mean 'ques",
        ),
        ('"Who wakes?"', "7", 1, "question: expected str, got int"),
        (
            "workers = [16]",
            "wrokers = [16]",
            5,
            "unknown config key 'wrokers'; did you mean 'workers'",
        ),
        ("workers = [16]", "workers = 16", 5, "workers: a swept key takes a list of values"),
        ("workers = [16]", "workers = [16, 2000]", 5, "workers: expected int <= 1024"),
        (
            '"accept", "epoll"',
            '"accept", "epol"',
            4,
            "unknown strategy 'epol'; did you mean 'epoll'",
        ),
        (
            "workers = [16]",
            "options.lock = ['flok']",
            5,
            "unknown value of option lock 'flok'; did",
        ),
        (
            "workers = [16]",
            "options.lok = ['flock']",
            5,
            "unknown option 'lok'; did you mean 'lock'",
        ),
        ("repeats = 2", "repeats = 0", 6, "repeats: 0 is not a whole number from 1 up"),
        ("connections = 200", "workers = 3", 9, "workers is swept, so it can't be fixed, too"),
        ("connections = 200", "output = 'x'", 9, "output is for the command to say"),
        ('"settled"', '"setled"', 10, "'setled' is not a rate"),
        ("[quick.sweep]", "[quik.sweep]", 12, "unknown key of an experiment 'quik'; did you mean"),
        ("repeats = 1", "rate = [5]", 13, "unknown swept key 'rate'"),
        ("statement =", "statment =", 17, "unknown key of claims 'statment'; did you mean 'state"),
        ('why = "exclusive"', "", 15, "claims: object missing required field why"),
        (
            '"wakeups-per',
            '"wakeup-per',
            18,
            "unknown measure 'wakeup-per-connection'; did you mean",
        ),
        (
            'strategy = "accept" }',
            'stratgy = "x" }',
            19,
            "unknown swept key 'stratgy'; did you mean",
        ),
        ('strategy = "accept" }', 'strategy = "acept" }', 19, "in the sweep 'acept'; did you mean"),
        ('compare = "=="', 'compare = "="', 20, "claims.compare: invalid enum value"),
        ("expected = 1\n", "expected = [1, 2]\n", 21, "== takes one number"),
        (
            "expected = 1\n",
            "expected = 'worker'\n",
            21,
            "unknown config key with a number 'worker'",
        ),
        ('why = "exclusive"', "tolerance = 'much'\nwhy = 'x'", 22, "'much' is no tolerance"),
        ('name = "herd"', 'name = "one"', 25, "two claims are called 'one'"),
        ('of = "ratio"\n', "", 24, "of and against belong together"),
        ("[15, 17]", "[17, 15]", 32, "the lower end comes first"),
        (
            'question = "Who wakes?"',
            'question = "?"\npictures = ["heet"]',
            2,
            "did you mean 'heat'",
        ),
        ("[sweep]", 'pictures = ["raster"]\n[sweep]', 3, "picture raster shows one recording"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(write, old, new, line, said):
    path = write(old, new)
    with pytest.raises(UsageError) as caught:
        definition.read(path)
    where, _, message = caught.value.message.partition(": ")
    assert where == f"{path}, line {line}"
    assert said in message


def test_what_is_no_toml_is_a_usage_error(write):
    with pytest.raises(UsageError, match=r"is not TOML: .*line 6"):
        definition.read(write("workers = [16]", "workers = [16"))


def test_an_unknown_name_says_the_nearest():
    with pytest.raises(
        UsageError, match="unknown experiment 'wake-oder'; did you mean 'wake-order'"
    ):
        locate("wake-oder")


@pytest.mark.parametrize("name", names())
def test_built_in_files_are_right_and_their_quick_ones_are(name):
    found = definition.read(locate(name))
    assert found.source
    assert found.design(quick=True).seconds() < (45 if name == "wake-order" else 300)


def test_the_digest_is_of_what_decides(write):
    digest = definition.read(write()).digest
    assert definition.read(write("[sweep]", "# a comment\n[sweep]")).digest == digest
    assert (
        definition.read(write("\n\n[sweep]", '\ndiscussion = "It held."\n[sweep]')).digest == digest
    )
    assert definition.read(write("expected = 1\n", "expected = 2\n")).digest != digest


# --- the sweep


def test_every_combination_once_and_options_only_where_a_strategy_has_them():
    found = design({"strategy": ["accept", "accept-lock"], "options.lock": ["flock", "futex"]}, {})
    assert [point.label for point in found.points] == [
        "accept",
        "accept-lock-lock-flock",
        "accept-lock-lock-futex",
    ]


def test_the_order_is_random_and_the_seed_decides_it():
    sweep = {"workers": [1, 2, 3, 4, 5], "rate": [100.0, 500.0], "repeats": 2}
    order = [[r.name for r in design(sweep | {"seed": seed}, {}).runs()] for seed in (1, 1, 2)]
    assert order[0] == order[1] != order[2]
    assert sorted(order[0]) == sorted(order[2])
    assert order[0] != sorted(order[0])
    assert "n1-rate100-r2" in order[0]


def test_runs_that_share_a_boot_follow_each_other():
    runs = design({"kernel": ["host", "6.1"], "workers": [1, 2, 3]}, {}).runs()
    kernels = [run.point.config.kernel for run in runs]
    assert len(kernels) == 18
    assert sum(a != b for a, b in itertools.pairwise(kernels)) == 1


def test_repeats_differ_in_their_seed():
    runs = design({"workers": [1], "repeats": 3}, {"seed": 10}).runs()
    assert sorted(configured(run, "x").seed for run in runs) == [10, 11, 12]


def test_a_strategy_that_does_not_suit_is_a_point_that_cannot_be_run():
    found = design({"strategy": ["accept", "reuseport"]}, {"family": "unix"})
    assert len(found.points) == 2


# --- claims


def verdict(values, write, monkeypatch, old="", new=""):
    """The first claim's, if its measure gave these values of accept; ``None``: the run failed."""
    found = definition.read(write(old, new))
    plan = found.design()
    measure = measures.Measure("m", "", "µs", several=False, function=lambda each: each.value)
    monkeypatch.setattr(measures, "find", lambda name: measure)
    outcomes = [
        claims.Outcome(
            SimpleNamespace(point=plan.points[0], repeat=k, name=f"accept-r{k}"),
            None if value is None else SimpleNamespace(value=value, run={"notes": ["no probe"]}),
            "it broke",
        )
        for k, value in enumerate(values)
    ]
    return claims.Judge(plan.points, outcomes).judge(found.claims[0])


@pytest.mark.parametrize(
    ("values", "held", "said"),
    [
        ([1, 1, 1], True, "exclusive"),
        ([2, 2, 2], False, "exclusive"),
        ([0, 1, 2], None, "more repeats would tell"),
        ([1], None, "it takes 2 repeats, and there are 1"),
        ([1, None], None, "accept-r1: it broke"),
        ([1, 1, None], True, "exclusive"),
        ([1, float("nan")], None, "accept-r1: m could not be measured: no probe"),
        ([], None, "it takes 2 repeats"),
    ],
)
def test_a_claim_holds_fails_or_cannot_be_told(write, monkeypatch, values, held, said):
    found = verdict(values, write, monkeypatch)
    assert found.held is held
    assert said in found.why
    assert (found.measured == "unknown") == (
        len(values) < 2 or (found.held is None and 0 not in values)
    )


@pytest.mark.parametrize(
    ("compare", "expected", "tolerance", "held"),
    [
        ("<=", "10", "0", True),
        ("<=", "8", "0", False),
        ("<=", "8", "'50 %'", True),
        (">=", "8", "0", True),
        (">=", "12", "0", False),
        (">=", "12", "3", True),
        ("==", "'workers'", "0", False),
        ("==", "'workers'", "7", True),
        ("between", "[1, 9]", "0", None),
        ("between", "[1, 9]", "1", True),
    ],
)
def test_comparisons(write, monkeypatch, compare, expected, tolerance, held):
    new = f"compare = '{compare}'\nexpected = {expected}\ntolerance = {tolerance}\n"
    found = verdict([9, 10], write, monkeypatch, 'compare = "=="\nexpected = 1\n', new)
    assert found.held is held
    assert found.measured == "9.5 µs (95%: 9 to 10, 2 repeats)"


def test_a_measure_of_several_runs_takes_one_repeat_at_a_time(write, monkeypatch):
    found = definition.read(write('where = { strategy = "accept" }\n', ""))
    plan = found.design()
    measure = measures.Measure(
        "m", "", "", several=True, function=lambda some: sum(each.value for each in some)
    )
    monkeypatch.setattr(measures, "find", lambda name: measure)
    outcomes = [
        claims.Outcome(run, SimpleNamespace(value=run.repeat / 2, run={"notes": []}))
        for run in plan.runs()
    ]
    judged = claims.Judge(plan.points, outcomes).judge(found.claims[0])
    assert judged.measured.startswith("1.5 (95%: 1 to 2, 2 repeats)")
    lost = [o for o in outcomes if o.run.name != "epoll-n16-r2"]
    lost.append(
        claims.Outcome(next(r for r in plan.runs() if r.name == "epoll-n16-r2"), None, "gone")
    )
    assert "epoll-n16-r2: gone" in claims.Judge(plan.points, lost).judge(found.claims[0]).why


@pytest.mark.parametrize(
    ("name", "strategy", "value"),
    [
        ("wakeups-per-connection", "epoll", 16),
        ("woke-the-longest-waiting", "accept", 1),
        ("woke-the-last-to-wait", "accept", 0),
        ("woke-the-first-worker", "epoll-exclusive", 1),
        ("woke-the-last-worker", "epoll-exclusive", 0),
        ("busiest-over-mean", "epoll-exclusive", 16),
        ("busiest-over-idlest", "epoll-exclusive", None),  # the idlest had none
        ("busiest-over-idlest", "accept", 13 / 12),
        ("fairness-jain", "epoll-exclusive", 1 / 16),
        ("fairness-p", "epoll-exclusive", 0),
        ("queue-on-arrival", "accept", 1),
    ],
)
def test_measures_of_the_reference_recordings(name, strategy, value):
    found = measures.find(name).of([load(reference(strategy))])
    assert found == (None if value is None else pytest.approx(value, abs=0.01))


@pytest.mark.parametrize("name", [n for n in measures.names() if not measures.find(n).several])
def test_every_measure_says_what_it_is_and_measures(name):
    found = measures.find(name)
    assert found.means.endswith(".")
    assert found.of([load(reference("accept"))]) is not None


def test_what_no_probe_saw_is_unknown(tmp_path):
    blind = shutil.copytree(reference("accept"), tmp_path / "blind")
    edit_run(blind, "host", "probe", value="none")
    unknown = [n for n in measures.names() if n.startswith(("w", "q"))]
    assert len(unknown) == 7
    assert [measures.find(name).of([load(blind)]) for name in unknown] == [None] * 7


def test_rank_correlation_with_the_rate(monkeypatch):
    monkeypatch.setattr(wakeups_per_connection, "measure", lambda each: each.wakeups)
    runs = [
        SimpleNamespace(run={"config": {"rate": rate}}, wakeups=wakeups)
        for rate, wakeups in ((100, 3.0), (200, 2.0), (300, 2.5), (400, 0.1))
    ]
    found = measures.find("wakeups-against-rate")
    assert found.of(runs) == pytest.approx(-0.8)
    assert found.of(runs[:1]) is None
    runs[0].wakeups = None
    assert found.of(runs) is None


# --- running it


def perform_with(ended: list[str], stop_after: int = 99):
    """Does a run by copying the reference recording of its strategy."""

    def perform(runs, folder, note):
        for run in runs:
            if len(ended) == stop_after:
                raise Interrupted("interrupted by SIGINT")
            shutil.copytree(reference(run.point.config.strategy), folder / run.name)
            ended.append(run.name)
            note(run, None)

    return perform


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "results" / "who"


@pytest.fixture
def found(write, folder):
    """An experiment that was run, on reference recordings."""
    return bench.run("who", definition.read(write()), folder, perform=perform_with([]))


def test_an_experiment_is_judged_by_its_recordings(found, folder):
    assert [(claim.name, claim.held) for claim in found.claims] == [("one", True), ("herd", True)]
    assert found.claims[1].measured.startswith("16 times (95%: 16, 2 repeats; Cliff's δ 1)")
    assert found.answer == "2 of 2 claims held."
    frame = found.measures
    assert frame["wakeups-per-connection"].round().tolist() == [1, 1, 16, 16]
    assert frame["repeat"].tolist() == [1, 2, 1, 2]
    said = json.loads((folder / "experiment.json").read_text())
    assert said["runs"] == 4
    assert said["claims"] == found.as_json()["claims"]


def test_an_interrupted_one_goes_on_with_what_is_missing(write, folder):
    what, first, second = definition.read(write()), [], []
    with pytest.raises(Interrupted, match="1 of 4 runs were done, and all are kept"):
        bench.run("who", what, folder, perform=perform_with(first, stop_after=1))
    assert result.load(folder).claims[1].held is None
    bench.run("who", what, folder, perform=perform_with(second))
    assert len(second) == 3
    assert {*first, *second} == {r.name for r in what.design().runs()}


def test_what_ended_early_is_set_aside_and_run_again(write, folder, found):
    edit_run(folder / "epoll-n16-r1", "complete", value=False)
    (folder / "accept-n16-r2").rename(folder / "accept-n16-r2.partial")
    ended: list[str] = []
    bench.run("who", definition.read(write()), folder, perform=perform_with(ended))
    assert sorted(ended) == ["accept-n16-r2", "epoll-n16-r1"]
    assert {p.name for p in folder.glob("*.aside*")} == {
        "epoll-n16-r1.aside1.partial",
        "accept-n16-r2.aside1.partial",
    }


def test_what_was_changed_is_refused(write, folder, found):
    changed = definition.read(write("expected = 1\n", "expected = 2\n"))
    with pytest.raises(UsageError, match=r"was changed since its runs in .* began") as caught:
        bench.run("who", changed, folder)
    assert "move that folder away" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="holds another experiment: who"):
        bench.run("who", definition.read(write()), folder, quick=True)


def test_a_folder_with_something_else_or_somebody_at_work_is_refused(write, tmp_path, folder):
    what = definition.read(write())
    with pytest.raises(UsageError, match="holds something else"):
        bench.run("who", what, tmp_path)

    def again(runs, folder, note):
        bench.run("who", what, folder)

    with pytest.raises(UsageError, match="another herd experiment is at work"):
        bench.run("who", what, folder, perform=again)


def test_a_run_that_failed_or_broke_a_law_has_no_figures(write, folder):
    def perform(runs, folder, note):
        perform_with([])(runs[:3], folder, note)
        note(runs[3], HostError("there is no such kernel\nsecond line"))

    found = bench.run("who", definition.read(write()), folder, perform=perform)
    [missing] = found.missing
    assert missing.why == "there is no such kernel"
    whole = next(o.run.name for o in found.outcomes if o.recording)
    edit_run(folder / whole, "integrity", "ok", value=False)
    assert any("a law was broken" in o.why for o in result.load(folder).missing)
    assert not result.load(folder).failed
    assert "can't be told here" in result.load(folder).answer


def test_runs_that_cannot_be_done_here_are_noted_and_the_others_go_on(monkeypatch, tmp_path):
    done, noted = [], {}

    def run(config, picture, crew):
        if config.strategy == "epoll":
            raise HostError("no epoll here")
        done.append((Path(config.output).name, crew))

    monkeypatch.setattr("herd.runner.run", run)
    sweep = {"strategy": ["accept", "epoll", "reuseport"], "workers": [1, 2], "repeats": 1}
    runs = design(sweep, {"family": "unix"}).runs()
    local.perform(runs, tmp_path, lambda run, error: noted.update({run.name: error}))
    assert sorted(name for name, _ in done) == ["accept-n1-r1", "accept-n2-r1"]
    assert len({crew for _, crew in done}) == 1  # compiled once
    assert len(noted) == 6
    assert {n for n, error in noted.items() if error is None} == {name for name, _ in done}
    assert isinstance(noted["reuseport-n1-r1"], Unfit)


# --- the command


def test_report_as_json_and_its_exit_code(call, found, folder):  # noqa: F811
    answer = call("experiment", "report", str(folder), "--json")
    said = json.loads(answer.out)
    assert answer.code == 0
    assert list(said) == ["experiment", "runs", "claims"]
    assert (said["experiment"], said["runs"]) == ("who", 4)
    for claim in said["claims"]:
        assert list(claim) == ["name", "held", "expected", "measured", "why"]
        assert claim["held"] is True
    assert call("report", str(folder), "--json").out == answer.out
    assert "2 of 2 claims held." in call("report", str(folder)).out


def test_a_failed_claim_exits_with_1(call, write, folder, monkeypatch):  # noqa: F811
    path = write("expected = 1\n", "expected = 2\n")
    monkeypatch.setattr("herd.experiments.local.perform", perform_with([]))
    answer = call("experiment", "run", str(path), "--output", str(folder), "--json")
    assert answer.code == 1
    assert [claim["held"] for claim in json.loads(answer.out)["claims"]] == [False, True]


def test_list_and_show(call, write):  # noqa: F811
    rows = json.loads(call("experiment", "list", "--json").out)
    assert [row["name"] for row in rows] == names()
    assert "wake-order" in call("experiment", "list").out
    shown = call("experiment", "show", str(write())).out
    assert "repeats: 2  (--quick: 1)" in shown
    assert "wakeups-per-connection, strategy epoll ÷ strategy accept: 15 to 17 times" in shown


def test_nothing_there_is_a_usage_error(call):  # noqa: F811
    answer = call("experiment", "report", "nothing")
    assert answer.code == 2
    assert "results/experiments/nothing holds no experiment" in answer.err


def test_the_page_has_question_claims_and_how_to_repeat_it(found, tmp_path):
    root = parse(html.of_experiment(found))
    assert text(root.find(".//h1")) == "Who wakes?"
    assert text(root.find(".//*[@id='answer']")) == "2 of 2 claims held."
    assert "accept wakes one" in text(section(root, "claims"))
    toml, command = section(root, "repeat").findall("pre")
    assert text(command) == "herd experiment run who.toml"
    (tmp_path / "again.toml").write_text(toml.text or "")
    again = definition.read(tmp_path / "again.toml")
    assert again.digest == found.state.definition.digest


# --- the cluster


def test_a_recording_travels_whole(tmp_path):
    packed = cluster.pack(reference("accept"))
    cluster.unpack(packed, tmp_path)
    for file in reference("accept").iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


def test_a_scheduler_that_is_not_there_and_no_dask(call, write, monkeypatch, folder):  # noqa: F811
    run = ("experiment", "run", str(write()), "-o", str(folder), "--scheduler", "tcp://127.0.0.1:9")
    monkeypatch.setattr(cluster, "_CONNECT_S", 0.1)
    answer = call(*run)
    assert answer.code == 3
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in answer.err
    monkeypatch.setitem(sys.modules, "distributed", None)
    answer = call(*run)
    assert answer.code == 3
    assert "pip install 'herd[dask]'" in answer.err
