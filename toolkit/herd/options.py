"""What can be chosen about a strategy, an arrival pattern or a request: flags by themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from herd.discover import unknown
from herd.errors import UsageError


@dataclass(frozen=True)
class Option:
    """Something that can be chosen: ``--name choice``.

    :param choices: the first is the default; none: any text can be given
    :param means: one line for ``--help``
    :param text: the default where any text can be given
    """

    name: str
    choices: tuple[str, ...] = ()
    means: str = ""
    text: str = ""

    @property
    def default(self) -> str:
        """What is chosen if nothing is said."""
        return self.choices[0] if self.choices else self.text


def merged(options: Iterable[Option]) -> dict[str, Option]:
    """One option a name; where several have it, with the choices of all."""
    found: dict[str, Option] = {}
    for option in options:
        same = found.get(option.name)
        choices = dict.fromkeys([*(same.choices if same else ()), *option.choices])
        found[option.name] = Option(option.name, tuple(choices), option.means, option.text)
    return found


def completed(
    what: str,
    options: Iterable[Option],
    chosen: Mapping[str, str],
    takers: Callable[[str], list[str]],
) -> dict[str, str]:
    """What was chosen, and the defaults.

    :param what: whose options they are, such as ``strategy accept``
    :param takers: who else has an option of some name, for the hint
    :raises UsageError: there is no such option, or the option has no such choice
    """
    known = {option.name: option for option in options}
    for key, value in chosen.items():
        if key not in known:
            error, takes = unknown(f"option of {what}", key, known), takers(key)
            hint = f"--{key} is for {', '.join(takes)}" if takes else error.hint
            raise UsageError(error.message, hint)
        if known[key].choices and value not in known[key].choices:
            raise unknown(f"--{key}", value, known[key].choices)
    return {key: option.default for key, option in known.items()} | dict(chosen)


def number(chosen: Mapping[str, str], name: str, *, least: float, most: float = 1e9) -> float:
    """An option's value, as a number.

    :raises UsageError: it is none, or out of range
    """
    try:
        value = float(chosen[name])
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise UsageError(
            f"--{name} {chosen[name]}: expected a number from {least:g} to {most:g}",
            f"for example --{name} {max(least, 10):g}",
        )
    return value
