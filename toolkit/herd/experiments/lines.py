"""Where in a TOML file a key stands: tomllib reads values, and forgets their lines."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

#: Keys and places in arrays, from the outside in: ``("claims", 2, "expected")``.
Place = tuple[str | int, ...]

_KEY: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED: Final = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER: Final = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]")
_ASSIGNMENT: Final = re.compile(rf"\s*({_DOTTED})\s*=")


class Lines:
    """The lines of a file's keys.

    :param text: valid TOML
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[Place, int] = {}
        self._arrays: dict[Place, int] = {}
        self._table: Place = ()
        self._read(text)

    def of(self, place: Place) -> int:
        """The line of a key; that of what is around it, where it has none of its own; else the first."""
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def _read(self, text: str) -> None:
        statement, begin = "", 1
        for number, line in enumerate(text.split("\n"), 1):
            begin = begin if statement else number
            statement = f"{statement}\n{line}" if statement else line
            if _whole(statement):
                self._take(statement, begin)
                statement = ""

    def _take(self, statement: str, number: int) -> None:
        if header := _HEADER.match(statement):
            self._enter(_split(header[2]), is_array=header[1] == "[[")
            self._note(self._table, number)
        elif assignment := _ASSIGNMENT.match(statement):
            self._note(self._table + _split(assignment[1]), number)

    def _enter(self, path: Place, *, is_array: bool) -> None:
        """A table's header; in an array of tables it means the last one."""
        place: Place = ()
        for part in path[:-1]:
            place = self._inside((*place, part))
        place = (*place, path[-1])
        if is_array:
            self._arrays[place] = self._arrays.get(place, -1) + 1
        self._table = self._inside(place)

    def _inside(self, place: Place) -> Place:
        return (*place, self._arrays[place]) if place in self._arrays else place

    def _note(self, place: Place, number: int) -> None:
        for end in range(1, len(place) + 1):
            self._lines.setdefault(place[:end], number)


def _whole(statement: str) -> bool:
    """Whether a statement ends here: a long string or array goes on."""
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _split(dotted: str) -> Place:
    """``options."lock"`` → its parts."""
    found: list[str] = []
    inner: Any = tomllib.loads(f"{dotted} = 0")
    while isinstance(inner, dict):
        [(key, inner)] = inner.items()
        found.append(key)
    return tuple(found)
