"""A run in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from herd.config import SETTLED
from herd.families import mention


def title(run: Mapping[str, Any]) -> str:
    """What was run or observed, in a line.

    :param run: ``run.json``
    """
    return ", ".join(_observed(run) if run.get("observed") else _experiment(run))


def _observed(run: Mapping[str, Any]) -> list[str]:
    config = run["config"]
    return [
        f"{run['observed']['server']} on {config['target']}",
        f"{config['workers']} worker{'s' if config['workers'] != 1 else ''}",
        f"observed for {(run['end_ns'] - run['begin_ns']) / 1e9:.3g} s",
    ]


def _pace(config: Mapping[str, Any]) -> str:
    rate, pattern = config["rate"], config.get("pattern", "constant")
    if pattern in ("constant", "settled"):
        return rate if isinstance(rate, str) else f"{rate:g}/s"
    return pattern if isinstance(rate, str) else f"{pattern} {rate:g}/s"


def _experiment(run: Mapping[str, Any]) -> list[str]:
    config = run["config"]
    if config.get("tokens"):
        passed = f"{config['tokens']:,} tokens through one pipe"
        pace = [SETTLED] if config["rate"] == SETTLED else []
        return [config["strategy"], f"{config['workers']} workers", passed, *pace]
    kind = "threads" if config.get("pool") == "threads" else "workers"
    parts = [
        config["strategy"],
        f"{config['workers']} {kind}{mention(config)}",
        f"{run['load']['attempted']:,} connections",
        _pace(config),
    ]
    if config["work_us"]:
        parts.append(f"{config['work_us']:g} µs of work")
    if config["hold_s"]:
        parts.append(f"held {config['hold_s'] * 1000:g} ms")
    if config.get("block_s"):
        parts.append(f"1 in {config['block_every']} blocks for {config['block_s'] * 1000:g} ms")
    return parts


def subject(run: Mapping[str, Any]) -> str:
    """Its strategy, or the server that was observed."""
    observed = run.get("observed")
    return str(observed["server"] if observed else run["config"]["strategy"])
