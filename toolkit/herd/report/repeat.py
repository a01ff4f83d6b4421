"""How to do it again: the config file and the command."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from herd.config import as_dict, parse, to_toml

if TYPE_CHECKING:
    from herd.compare import Comparison
    from herd.experiments.result import Result


class Repeat(NamedTuple):
    """``toml`` is the content of ``file``; ``None``: there is none."""

    toml: str | None
    command: str
    file: str = "run.toml"


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


def of_experiment(result: Result) -> Repeat:
    """The experiment's file, comments left out, and the command."""
    import tomli_w

    definition = msgspec.to_builtins(result.state.definition)
    file = f"{result.state.experiment}.toml"
    quick = " --quick" if result.state.quick else ""
    command = f"herd experiment run {shlex.quote(file)}{quick}"
    return Repeat(tomli_w.dumps(_said(definition), multiline_strings=True), command, file)


def _said(values: Any) -> Any:
    """Without what is unset: TOML has no null."""
    if isinstance(values, dict):
        return {key: _said(value) for key, value in values.items() if value not in (None, {}, "")}
    return [_said(value) for value in values] if isinstance(values, list) else values


def _toml(config: dict[str, Any]) -> str:
    """Without the folder: a new recording gets a new one."""
    return to_toml(msgspec.structs.replace(parse(config), output=None))


def _observe(config: dict[str, Any]) -> str:
    target = str(config["target"])
    # A process is named by an option, --pid 123, which are two words.
    named = target if target.startswith("--pid ") else shlex.quote(target)
    seconds = config["duration_s"] or 0
    return f"herd observe {named} --duration {seconds:g}s --probe {config['probe']}"
