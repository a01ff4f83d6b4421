"""How to do it again: the config file and the command."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from herd.config import as_dict, parse, to_toml

if TYPE_CHECKING:
    from herd.compare import Comparison


class Repeat(NamedTuple):
    """``toml`` is the content of run.toml; ``None``: there is none."""

    toml: str | None
    command: str


def of_run(run: dict[str, Any]) -> Repeat:
    """A run, or an observation of the same server.

    :param run: ``run.json``
    """
    config = run["config"]
    if run.get("observed"):
        return Repeat(None, _observe(config))
    return Repeat(_toml(config), "herd run --config run.toml")


def of_comparison(comparison: Comparison) -> Repeat:
    """All runs of a comparison, those included that could not be made."""
    configs = [as_dict(parse(recording.run["config"])) for recording in comparison.runs]
    tried = [*configs, *comparison.failed, *comparison.unavailable]
    strategies, kernels = (
        shlex.quote(",".join(dict.fromkeys(entry[key] for entry in tried)))
        for key in ("strategy", "kernel")
    )
    options = {k: v for config in configs for k, v in config["options"].items()}
    command = f"herd compare --config run.toml --strategies {strategies} --kernels {kernels}"
    return Repeat(_toml(configs[0] | {"options": options}), command)


def _toml(config: dict[str, Any]) -> str:
    """Without the folder: a new recording gets a new one."""
    return to_toml(msgspec.structs.replace(parse(config), output=None))


def _observe(config: dict[str, Any]) -> str:
    target = str(config["target"])
    # A process is named by an option, --pid 123, which are two words.
    named = target if target.startswith("--pid ") else shlex.quote(target)
    seconds = config["duration_s"] or 0
    return f"herd observe {named} --duration {seconds:g}s --probe {config['probe']}"
