"""Packages of others, for tests of what herd finds in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, name: str, source: str, entries: Mapping[str, str]) -> dict[str, str]:
    """A package with strategies, as pip would have left it.

    :param folder: made if it isn't there
    :param entries: ``module:class`` by the strategy's name
    :returns: the environment in which it is found, beside what is found without it
    """
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[herd.strategies]", *lines, ""]))
    found = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(found)}
