"""A folder with one file a kind, each with options of its own: arrival patterns, and requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Generic, Protocol, TypeVar

from herd.discover import modules, named, unknown
from herd.options import Option, completed, merged


class Chosen(Protocol):
    """What the class of a kind has."""

    options: ClassVar[tuple[Option, ...]]

    @classmethod
    def check(cls, chosen: Mapping[str, str]) -> None:
        """Raise :class:`UsageError` if it can't be used so."""


T = TypeVar("T", bound=Chosen)


class Shelf(Generic[T]):
    """Finds them by name: the file's, with hyphens.

    :param package: the folder
    :param base: of the one class that a file defines, whose ``name`` is the kind's
    :param what: what they are, in words
    :param flag: by which one is chosen
    """

    def __init__(self, package: str, base: type[T], what: str, flag: str) -> None:
        self._package, self._base, self._what, self._flag = package, base, what, flag

    def names(self) -> list[str]:
        """All there are."""
        return [module.replace("_", "-") for module in modules(self._package)]

    def find(self, name: str) -> type[T]:
        """The one called ``name``."""
        if name not in self.names():
            raise unknown(self._what, name, self.names())
        found = named(f"{self._package}.{name.replace('-', '_')}", self._base, name)
        assert found is not None
        return found

    def options(self) -> dict[str, Option]:
        """Every option of every one."""
        return merged(option for name in self.names() for option in self.find(name).options)

    def choose(self, name: str, chosen: Mapping[str, str]) -> dict[str, str]:
        """What was chosen for one, with its defaults.

        :raises UsageError: it has no such option, or it can't be used
        """
        found = self.find(name)
        complete = completed(f"{self._what} {name}", found.options, chosen, self._who_takes)
        found.check(complete)
        return complete

    def _who_takes(self, key: str) -> list[str]:
        takers = (name for name in self.names() if key in merged(self.find(name).options))
        return [f"{self._flag} {name}" for name in takers]
