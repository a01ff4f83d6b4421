"""An experiment's file: read strictly, so that what is wrong is named with its line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from herd import config as configs
from herd import plots
from herd.compare import ALL
from herd.discover import unknown
from herd.errors import UsageError
from herd.experiments import measures, sweep
from herd.experiments.lines import Lines, Place
from herd.experiments.sweep import DEFAULTS, Design, matching, swept
from herd.nested import flat, nested

Words = Annotated[str, Meta(min_length=1)]
#: Of a run's keys those that the experiment decides itself.
_OWN_KEYS: Final = ("output",)
#: What may be changed when runs are there.
_AFTERWARDS: Final = ("discussion", "pictures")
_UNKNOWN_FIELD: Final = re.compile(r"Object contains unknown field `(.*)`")
_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?) ?%")


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who published what."""

    title: Words
    url: str | None = None
    commit: str | None = None  #: of the Linux kernel
    figures: list[Words] = []  #: with their setting


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement on what is measured, written before it is."""

    name: Words
    statement: Words
    why: Words
    measure: Words
    compare: Literal["==", "<=", ">=", "between"]
    #: A number; two for ``between``; or a config key, such as ``workers``, for its value at each point.
    expected: float | str | Annotated[list[float], Meta(min_length=2, max_length=2)]
    tolerance: Annotated[float, Meta(ge=0)] | str = (
        0.0  #: a number, or ``"5 %"`` of what is expected
    )
    where: dict[str, Any] = {}
    against: dict[str, Any] | None = None
    of: Literal["ratio", "difference"] | None = None
    repeats: Annotated[int, Meta(ge=1)] = 2  #: fewer can't tell

    def slack(self, expected: float) -> float:
        """What is tolerated, in the measure's unit."""
        if isinstance(self.tolerance, str):
            return float(self.tolerance.rstrip(" %")) / 100 * abs(expected)
        return self.tolerance


class Quick(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What differs with ``--quick``."""

    sweep: dict[str, Any] = {}
    run: dict[str, Any] = {}


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a file says."""

    question: Words
    sweep: dict[str, Any]
    claims: Annotated[list[Claim], Meta(min_length=1)]
    source: list[Source] = []
    discussion: str = ""  #: what its authors make of their results, written afterwards
    pictures: list[str] = []  #: on its page
    run: dict[str, Any] = {}
    quick: Quick = Quick()

    def design(self, *, quick: bool = False) -> Design:
        """What to run."""
        if not quick:
            return sweep.design(self.sweep, self.run)
        changed = nested(flat(self.sweep) | flat(self.quick.sweep))
        return sweep.design(changed, nested(flat(self.run) | flat(self.quick.run)))

    @property
    def digest(self) -> str:
        """The same as long as what decides runs and claims is the same."""
        decides = {k: v for k, v in msgspec.to_builtins(self).items() if k not in _AFTERWARDS}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def read(path: Path) -> Definition:
    """Read an experiment's file, and check all of it.

    :raises UsageError: with the line
    """
    values = configs.read(path)
    return _Check(path, values).definition()


class _Check:
    """Checks what a type can't say; each error names the line."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self._path = path
        self._values = values
        self._lines = Lines(path.read_text())

    def definition(self) -> Definition:
        found = self._converted()
        self._check_pictures(found)
        self._check_sweep(found)
        with self._at("sweep"):
            full = found.design()
        with self._at("quick"):
            quick = found.design(quick=True)
        self._check_claims(found, full, quick)
        return found

    @contextmanager
    def _at(self, *place: str | int) -> Iterator[None]:
        """What is raised inside is about this place."""
        try:
            yield
        except UsageError as error:
            where = f"{self._path}, line {self._lines.of(place)}"
            raise UsageError(f"{where}: {error.message}", error.hint) from None

    def _converted(self) -> Definition:
        try:
            return msgspec.convert(self._values, Definition)
        except msgspec.ValidationError as error:
            what, _, where = str(error).partition(" - at ")
            place = _place(where)
            stranger = _UNKNOWN_FIELD.match(what)
            with self._at(*place, *stranger.groups() if stranger else ()):
                raise _not_allowed(what, place, stranger and stranger[1]) from None
            raise

    def _check_pictures(self, found: Definition) -> None:
        for number, name in enumerate(found.pictures):
            with self._at("pictures", number):
                if name not in plots.names():
                    raise unknown("picture", name, plots.names())
                if not plots.several(name):
                    raise UsageError(f"picture {name} shows one recording, and these are many")

    def _check_sweep(self, found: Definition) -> None:
        self._check_axes(found.sweep, "sweep")
        self._check_axes(found.quick.sweep, "quick", "sweep")
        self._check_fixed(found.run, "run")
        self._check_fixed(found.quick.run, "quick", "run")
        axes = flat(found.sweep)
        self._check_known(flat(found.quick.sweep), [*axes, *DEFAULTS], "quick", "sweep")
        for place, fixed in ((("run",), found.run), (("quick", "run"), found.quick.run)):
            for key in flat(fixed):
                with self._at(*place, *key.split(".")):
                    if key in axes:
                        raise UsageError(f"{key} is swept, so it can't be fixed, too")

    def _check_known(self, values: Mapping[str, Any], known: list[str], *place: str) -> None:
        for key in values:
            with self._at(*place, *key.split(".")):
                if key not in known:
                    raise unknown("swept key", key, known)

    def _check_axes(self, axes: dict[str, Any], *place: str) -> None:
        for key, values in flat(axes).items():
            with self._at(*place, *key.split(".")):
                if key in DEFAULTS:
                    _check_count(key, values)
                    continue
                for value in _several(key, values):
                    self._check_value(key, value)

    def _check_fixed(self, fixed: dict[str, Any], *place: str) -> None:
        for key, value in flat(fixed).items():
            with self._at(*place, *key.split(".")):
                self._check_value(key, value)

    def _check_value(self, key: str, value: Any) -> None:
        if key in _OWN_KEYS:
            raise UsageError(f"{key} is for the command to say: --{key}")
        _check_setting(key, value)

    def _check_claims(self, found: Definition, full: Design, quick: Design) -> None:
        names: set[str] = set()
        for number, claim in enumerate(found.claims):
            with self._at("claims", number, "name"):
                if claim.name in names:
                    raise UsageError(f"two claims are called {claim.name!r}", "rename one")
            names.add(claim.name)
            self._check_claim(claim, ("claims", number), full, quick)

    def _check_claim(self, claim: Claim, place: Place, full: Design, quick: Design) -> None:
        with self._at(*place, "measure"):
            measures.find(claim.measure)
        with self._at(*place, "of"):
            if (claim.of is None) != (claim.against is None):
                raise UsageError("of and against belong together: give both, or none of them")
        for key in ("where", "against"):
            with self._at(*place, key):
                _check_filter(getattr(claim, key) or {}, full, quick)
        with self._at(*place, "expected"):
            _check_expected(claim, full)
        with self._at(*place, "tolerance"):
            if isinstance(claim.tolerance, str) and not _PERCENT.fullmatch(claim.tolerance):
                raise UsageError(
                    f"{claim.tolerance!r} is no tolerance", 'write a number, or "5 %" in quotes'
                )


def _place(where: str) -> Place:
    """msgspec's ``$.claims[2].name`` → its parts."""
    return tuple(
        int(index) if index else name
        for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", where.strip("`"))
    )


def _not_allowed(what: str, place: Place, stranger: str | None) -> UsageError:
    tables: dict[str, type[msgspec.Struct]] = {"claims": Claim, "source": Source, "quick": Quick}
    outer = next((str(part) for part in place if part in tables), "")
    if stranger is not None:
        known = [f.name for f in msgspec.structs.fields(tables.get(outer, Definition))]
        return unknown(f"key of {outer or 'an experiment'}", stranger, known)
    key = ".".join(str(part) for part in place if not isinstance(part, int))
    said = what.replace("`", "")
    return UsageError(f"{key}: {said[0].lower()}{said[1:]}" if key else said)


def _check_count(key: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        raise UsageError(f"{key}: {value!r} is not a whole number from 1 up")


def _several(key: str, values: Any) -> list[Any]:
    if key == "strategy" and values == ALL:
        return swept({key: values})[key]
    if not isinstance(values, list) or not values:
        raise UsageError(f"{key}: a swept key takes a list of values", "write it as [1, 2]")
    return values


def _check_setting(key: str, value: Any) -> None:
    """Whether a run's config could have it; alone, for what it does to others shows at the points."""
    from herd import strategies

    configs.check_names(configs.parse(nested({key: value})))
    if key == "strategy":
        strategies.reference(value)
    if key.startswith("options."):
        _check_option(key.removeprefix("options."), value)


def _check_option(name: str, value: Any) -> None:
    from herd import strategies

    known = strategies.options()
    if name not in known:
        raise unknown("option", name, known)
    if known[name].choices and value not in known[name].choices:
        raise unknown(f"value of option {name}", value, known[name].choices)


def _check_filter(where: dict[str, Any], full: Design, quick: Design) -> None:
    known = dict.fromkeys(key for point in full.points for key in point.settings)
    for key, wanted in flat(where).items():
        if key not in known:
            raise unknown("swept key", key, known)
        there = {str(p.value(key)) for p in (*full.points, *quick.points)}
        for value in wanted if isinstance(wanted, list) else [wanted]:
            if str(value) not in there:
                raise unknown(f"value of {key} in the sweep", str(value), there)
    if not matching(full.points, where):
        raise UsageError("no point of the sweep is like that")


def _check_expected(claim: Claim, full: Design) -> None:
    if isinstance(claim.expected, list) != (claim.compare == "between"):
        raise UsageError(f"{claim.compare} takes {_TAKES[claim.compare == 'between']}")
    if isinstance(claim.expected, list) and claim.expected[0] > claim.expected[1]:
        raise UsageError("expected: the lower end comes first")
    if isinstance(claim.expected, str):
        values = [point.value(claim.expected) for point in full.points]
        if claim.of or not all(isinstance(value, int | float) for value in values):
            numbers = ["workers", "connections", "rate", "work_us", "hold_s", "batch", "backlog"]
            raise unknown("config key with a number", claim.expected, numbers)


_TAKES: Final = {
    True: "two numbers: expected = [1, 2]",
    False: "one number, or a config key's name",
}
