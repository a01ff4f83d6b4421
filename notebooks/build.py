"""Executes the lessons of ``src/`` and writes them as notebooks: ``make notebooks``.

By default they show the committed recordings, so that building them again changes as little as can be.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbclient
import nbformat
from nbformat import NotebookNode
from PIL import Image

HERE = Path(__file__).parent
SOURCES = HERE / "src"
TIMEOUT_S = 120
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def read(source: Path) -> NotebookNode:
    """A lesson's cells, without outputs; the same text gives the same notebook."""
    notebook = nbformat.from_dict(jupytext.read(source))
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number}"
        cell.metadata = {}
    return notebook


def execute(notebook: NotebookNode) -> None:
    """From top to bottom in a fresh kernel, in this folder, as a reader would.

    :raises nbclient.exceptions.CellExecutionError: a cell failed
    """
    resources = {"metadata": {"path": str(HERE)}}
    client = nbclient.NotebookClient(notebook, timeout=TIMEOUT_S, resources=resources)
    client.kernel_name, client.record_timing, client.coalesce_streams = "python3", False, True
    client.execute()


def shrink(notebook: NotebookNode) -> None:
    """Give pictures a palette of 128 colours: the same to the eye, in less than half the bytes."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _with_palette(output.data["image/png"])


def _with_palette(png: str) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    file = io.BytesIO()
    # By default a colour that few pixels have, as in a legend, becomes its neighbour.
    picture.quantize(128, Image.Quantize.MAXCOVERAGE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def build(source: Path, folder: Path) -> Path:
    """Execute a lesson and write it."""
    notebook = read(source)
    execute(notebook)
    shrink(notebook)
    notebook.metadata = read(source).metadata  # the kernel told its version
    path = folder / f"{source.stem}.ipynb"
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Build those that are named, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="such as 2 or 2-inside-accept; all by default")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the notebooks")
    parser.add_argument("--live", action="store_true", help="measure, where this host can")
    chosen = parser.parse_args(arguments)
    if not chosen.live:
        os.environ["HERD_RECORDED"] = "1"
    root = str(HERE.parent / "toolkit")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    wanted = tuple(chosen.names) or ("",)
    sources = [path for path in sorted(SOURCES.glob("*.md")) if path.stem.startswith(wanted)]
    if not sources:
        parser.error(f"no lesson begins with {' or '.join(wanted)}; see {SOURCES}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path in pool.map(lambda source: build(source, chosen.output), sources):
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
