"""From templates to one file: what a page needs is written into it, and nothing else may run there."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from herd import __version__
from herd.report.tables import cell
from herd.report.timeline import KINDS

if TYPE_CHECKING:
    from jinja2 import Environment

GENERATOR: Final = f"herd {__version__}"
_TEMPLATES: Final = files("herd.report") / "templates"
_SCRIPTS: Final = ("page.js", "wakeups.js", "draw.js", "timeline.js")


def render(template: str, **data: Any) -> str:
    """A page; every word of the data is escaped, and one that is missing is an error."""
    return _environment().get_template(template).render(**data)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("herd.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    kinds = "".join(
        f".kind{number} {{ background: {colour}; }}\n"
        for number, (_, colour) in enumerate(KINDS.values())
    )
    found.filters |= {"cell": cell, "base64": _base64, "digest": _digest}
    found.globals |= {
        "style": _text("page.css") + kinds,
        "script": "".join(_text(name) for name in _SCRIPTS),
        "generator": GENERATOR,
    }
    return found


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _digest(text: str) -> str:
    """As a Content-Security-Policy names a script or style: only that very text may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
