"""A run's figures in words: what every report of it says, whatever it is written in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

LATENCIES: Final = {
    "wake_latency": "wake latency",
    "queue_delay": "queue delay",
    "connect": "connect",
    "first_byte": "first byte",
}
NOT_COMPARABLE: Final = "in an emulated guest: not comparable with another run's"


class Figure(NamedTuple):
    """One line of a report; ``good`` is ``None`` where it is neither good nor bad."""

    name: str
    text: str
    good: bool | None = None


def figures(summary: dict[str, Any]) -> Iterator[Figure]:
    """The figures that a reader wants first.

    :param summary: what ``herd run --json`` prints
    """
    wakeups, prediction = summary["wakeups"], summary["prediction"]
    yield _per_connection(wakeups["per_connection"], prediction)
    if wakeups["total"] is not None:
        yield Figure("wakeups", _wakeups(wakeups))
    if summary["signals"] and summary["accepts"]:
        each = summary["signals"] / summary["accepts"]
        text = f"{each:.2f}  ({summary['signals']} received by the workers)"
        yield Figure("signals/connection", text)
    if prediction["who"]:
        yield Figure("predicted to wake", prediction["who"])
    unknown = summary["accepts"] is None
    yield Figure("fairness", "unknown" if unknown else _fairness(summary["fairness"]))
    what = "token" if summary["config"].get("tokens") else "connection"
    yield Figure(f"cost/{what}", _cost(summary["cost"]))
    if "overhead" in summary:
        yield Figure("overhead of looking", _overhead(summary["overhead"]))


def question(summary: dict[str, Any]) -> str:
    """What the run was to find out."""
    config = summary["config"]
    count = config["workers"]
    if "verdict" in summary:
        server = summary["title"].partition(",")[0]
        return f"{server}: whom does a connection wake, and is it worth fixing?"
    if config.get("tokens"):
        waits = f"on which {count} wait with {config['strategy']}"
        return f"How many context switches does a token take through a pipe {waits}?"
    waiters = "one worker that waits" if count == 1 else f"{count} workers that wait"
    kind = waiters.replace("worker", "thread") if config.get("pool") == "threads" else waiters
    return f"How many of {kind} with {config['strategy']} does one connection wake?"


def answer(summary: dict[str, Any]) -> str:
    """What it found, in a sentence."""
    if "verdict" in summary:
        return f"{summary['verdict']['level'].capitalize()}: {summary['verdict']['text']}."
    if summary["config"].get("tokens"):
        switches = summary["cost"]["switches_per_connection"]
        return "Unknown." if switches is None else f"{switches:.2f} context switches a token."
    wakeups, prediction = summary["wakeups"], summary["prediction"]
    each, predicted = wakeups["per_connection"], f"predicted {prediction['expected']:g}"
    if each is None:
        why = "nothing was accepted" if wakeups["total"] is not None else "no probe could see it"
        return f"Unknown: {why} ({predicted})."
    said = {True: "as predicted", False: f"{predicted} for idle workers"}
    wasted = wakeups["wasted"] / wakeups["total"] if wakeups["total"] else 0
    return (
        f"{each:.2f} wakeups per connection, {said.get(prediction['held'], predicted)};"
        f" {wasted:.0%} of the wakeups were wasted."
    )


def question_of_all(summaries: Sequence[dict[str, Any]]) -> str:
    """What a comparison was to find out."""
    count = summaries[0]["config"]["workers"]
    return f"How many of {count} workers does one connection wake, by the way they wait?"


def answer_of_all(summaries: Sequence[dict[str, Any]]) -> str:
    """What it found, in a sentence."""
    measured = [(s["wakeups"]["per_connection"], s["config"]["strategy"]) for s in summaries]
    known = sorted((round(each, 2), name) for each, name in measured if each is not None)
    if not known:
        return "Unknown: no probe could see it."
    (few, fewest), (many, most) = known[0], known[-1]
    held = sum(summary["prediction"]["held"] is True for summary in summaries)
    return (
        f"From {few:.2f} ({fewest}) to {many:.2f} ({most}) wakeups per connection;"
        f" the prediction held in {held} of {len(summaries)} runs."
    )


def claims(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """What was claimed before the run, as ``herd experiment`` prints it; of a stranger's server nothing."""
    prediction, each = summary["prediction"], summary["wakeups"]["per_connection"]
    if prediction["low"] is None:
        return []
    return [
        {
            "name": "wakeups per connection",
            "held": prediction["held"],
            "expected": f"{prediction['expected']:g} ({prediction['low']:g} to {prediction['high']:g})",
            "measured": "unknown" if each is None else f"{each:.2f}",
            "why": f"{prediction['who']}: {prediction['why']}",
        }
    ]


def broken(integrity: dict[str, Any]) -> list[str]:
    """The laws that are broken, with what was counted."""
    return [f"{c['name']}: {c['detail']}" for c in integrity["checks"] if c["ok"] is False]


def remarks(summary: dict[str, Any]) -> Iterator[str]:
    """What happened besides: notes, and what became of each dead worker's connections."""
    for note in summary["notes"]:
        yield f"note: {note}"
    for death in summary["deaths"] or ():
        yield _death(death, summary["host"].get("sysctls", {}).get("net.ipv4.tcp_migrate_req"))


def integrity(checked: dict[str, Any]) -> str:
    """How many laws held, and which can't be told, in a line."""
    checks = checked["checks"]
    held = sum(1 for c in checks if c["ok"])
    untold = [c["name"] for c in checks if c["ok"] is None]
    line = f"{'ok' if checked['ok'] else 'BROKEN'}, {held} of {len(checks)} laws held"
    return line + (f"; can't be told: {', '.join(untold)}" if untold else "")


def _per_connection(each: float | None, prediction: dict[str, Any]) -> Figure:
    expected, held = prediction["expected"], prediction["held"]
    predicted = "" if expected is None else f"predicted {expected:g}"
    name = "wakeups/connection"
    if each is None:
        return Figure(name, f"unknown ({predicted})" if predicted else "unknown", False)
    if not predicted:
        return Figure(name, f"{each:.2f}")
    if held is None:
        return Figure(name, f"{each:.2f}  ({predicted}, when idle)")
    verdict = "held" if held else "NOT held; it is for idle workers"
    return Figure(name, f"{each:.2f}  ({predicted}: {verdict})", held)


def _wakeups(wakeups: dict[str, Any]) -> str:
    return (
        f"{wakeups['total']} = {wakeups['productive']} productive + {wakeups['wasted_in_kernel']} wasted"
        f" in kernel + {wakeups['wasted_in_user']} wasted in user space; {_apart(wakeups)}"
    )


def _apart(wakeups: dict[str, Any]) -> str:
    """Wakeups that no arrival caused, and those that it caused through another worker."""
    parts = [f"{wakeups[name]} {name}" for name in ("chained", "lock", "handoff") if wakeups[name]]
    return ", ".join([*parts, f"{wakeups['other_causes']} of other causes"])


def _fairness(fairness: dict[str, float | None]) -> str:
    if fairness["jain"] is None:
        return "nothing was accepted"
    text = f"Jain {fairness['jain']:.3f} (1 is even), busiest worker {fairness['max_over_mean']:.2f} x mean"
    if fairness["chi2_p"] is not None:
        text += f", χ² p = {fairness['chi2_p']:.2g}"
    return text


def _cost(cost: dict[str, float | None]) -> str:
    if cost["cpu_us_per_connection"] is None:
        return "unknown"
    text = f"{cost['cpu_us_per_connection']:.0f} µs of workers' CPU"
    if cost["wasted_cpu_us_per_connection"] is not None:
        text += f" ({cost['wasted_cpu_us_per_connection']:.0f} µs in wasted wakeups)"
    return text + f", {cost['switches_per_connection']:.1f} context switches"


def _overhead(overhead: dict[str, float | None]) -> str:
    if overhead["programs_cpu"] is None or overhead["reader_cpu"] is None:
        return "unknown"
    return (
        f"{overhead['programs_cpu']:.2%} of one CPU in the kernel ({overhead['programs_ns_per_run']:.0f} ns"
        f" an event, of all tasks), {overhead['reader_cpu']:.2%} to read"
    )


def _death(death: dict[str, Any], migrate: str | None) -> str:
    """What became of a dead worker's connections."""
    parts = [f"accepted and then failed: {_errors(death['in_hand'])}"]
    if death["handed_on"]:
        parts.append(f"accepted by another and then failed: {_errors(death['handed_on'])}")
    if death["shares_queue"]:
        parts.append("its accept queue is the others', too")
    else:
        parts.append(f"in its accept queue: {_queue(death['queue'])}, tcp_migrate_req is {migrate}")
    after = death["accepted_after"]
    parts.append(f"accepted by the others afterwards: {'unknown' if after is None else after}")
    return (
        f"worker {death['worker']} (pid {death['pid']}) {death['how']} at {death['at_s']:.3f} s; "
        + ("; ".join(parts))
    )


def _queue(queue: dict[str, dict[str, int]] | None) -> str:
    if queue is None:
        return "unknown"
    moved = [f"{count} migrated to worker {worker}" for worker, count in queue["migrated"].items()]
    lost = [f"{_errors(queue['lost'])} lost"] if queue["lost"] else []
    return ", ".join(moved + lost) or "none"


def _errors(errors: dict[str, int] | None) -> str:
    if errors is None:
        return "unknown"
    return ", ".join(f"{count} {name}" for name, count in errors.items()) or "none"
