"""What strategies say of themselves, without being run."""

from __future__ import annotations

import sys

import pytest

from herd import strategies
from herd.errors import HerdError
from herd.strategies import Option
from tests.plugins import install

#: Strategy, what was chosen → what its others wait for in vain when a worker was killed.
BEREAVED = {
    ("accept-lock", "posix"): "isn't given back",
    ("dispatcher", ""): "only worker 0 accepts",
    ("epoll-shared-oneshot", ""): "armed the item again",
    ("sigio", "one"): "only worker 0 is signalled",
}


def choices() -> list[tuple[str, Option | None, str]]:
    """Each choice of each strategy's options; one that has none stands there, too."""
    found: list[tuple[str, Option | None, str]] = []
    for name in strategies.builtin():
        options = strategies.find(name).options
        chosen = [(name, option, choice) for option in options for choice in option.choices]
        found += chosen or [(name, None, "")]
    return found


@pytest.mark.parametrize(("name", "option", "choice"), choices())
def test_only_some_cannot_go_on_without_a_killed_worker_and_say_why(name, option, choice):
    chosen = {option.name: choice} if option else {}
    why = strategies.bereaved(name, chosen)
    expected = BEREAVED.get((name, choice)) or BEREAVED.get((name, ""))
    assert (why is None) if expected is None else (why is not None and expected in why)


def test_another_packages_strategy_that_raises_there_is_named(tmp_path, monkeypatch):
    source = (
        "from herd.strategies.accept import Accept\n"
        "class Theirs(Accept):\n"
        "    def bereaved(self): 1 / 0\n"
    )
    install(tmp_path, "herd_theirs", source, {"theirs": "herd_theirs:Theirs"})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(HerdError, match=r"strategy theirs .*: ZeroDivisionError") as failed:
        strategies.bereaved("theirs", {})
    assert failed.value.exit_code == 1
    sys.modules.pop("herd_theirs")
