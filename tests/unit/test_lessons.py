"""The lessons run from top to bottom without privileges, on the public API, and are their sources."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

import herd

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
LESSONS = sorted(path.stem for path in (FOLDER / "src").glob("*.md"))
LIBRARIES = {"herd", "matplotlib", "numpy", "pandas"}
LARGEST = 300_000


def _builder() -> Any:
    spec = importlib.util.spec_from_file_location("build", FOLDER / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = _builder()
each_lesson = pytest.mark.parametrize("name", LESSONS)


def committed(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: Any) -> str:
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    return "".join(output.get("text", "") for output in outputs)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Each lesson, executed by somebody who may not load BPF programs."""
    folder = tmp_path_factory.mktemp("lessons")
    command = [sys.executable, str(FOLDER / "build.py"), "--live", "--output", str(folder)]
    if os.geteuid() == 0:
        assert shutil.which("setpriv")
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: nbformat.read(folder / f"{name}.ipynb", as_version=4) for name in LESSONS}


def test_there_are_six():
    assert [name[:2] for name in LESSONS] == ["1-", "2-", "3-", "4-", "5-", "6-"]


@each_lesson
def test_a_lesson_runs_without_privileges_and_says_what_is_recorded(name, executed):
    cells = code(executed[name])
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {output.get("name", output.output_type) for cell in cells for output in cell.outputs}
    assert kinds <= {"stdout", "execute_result", "display_data"}
    said = printed(executed[name])
    assert "LIVE" not in said
    uses_recordings = any("live_or_recorded" in cell.source for cell in cells)
    assert ("may not load BPF programs): " in said) == uses_recordings


@each_lesson
def test_the_committed_notebook_is_what_its_source_says(name):
    built = build.read(FOLDER / f"src/{name}.md")
    here = committed(name)
    assert [(c.id, c.cell_type, c.source) for c in here.cells] == [
        (c.id, c.cell_type, c.source) for c in built.cells
    ], "make notebooks"
    assert here.metadata == built.metadata


@each_lesson
def test_the_committed_notebook_has_its_outputs_and_is_small(name):
    assert all(cell.execution_count for cell in code(committed(name)))
    assert (FOLDER / f"{name}.ipynb").stat().st_size < LARGEST


@each_lesson
def test_a_lesson_uses_the_public_api_only(name):
    for tree in trees(name):
        for module in imported(tree):
            top = module.partition(".")[0]
            assert top in LIBRARIES | set(sys.stdlib_module_names), module
            assert "._" not in module
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.value.id != "herd" or node.attr in herd.__all__, node.attr


def trees(name: str) -> list[ast.Module]:
    sources = [cell.source for cell in code(committed(name))]
    return [ast.parse(re.sub(r"^%.*$", "", source, flags=re.MULTILINE)) for source in sources]


def imported(tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@each_lesson
def test_each_prediction_has_a_hidden_answer_and_each_exercise_a_hidden_solution(name):
    text = (FOLDER / f"src/{name}.md").read_text()
    lesson, _, exercises = text.partition("## Exercises")
    assert "**You will be able to**" in lesson
    assert lesson.count("**Predict") == lesson.count("<details><summary>Answer</summary>") >= 3
    asked = len(re.findall(r"^\*\*\d\.\*\*", exercises, flags=re.MULTILINE))
    assert asked == exercises.count("<details><summary>Solution</summary>") >= 3
    assert text.count("<details>") == text.count("</details>")


@each_lesson
def test_links_lead_somewhere(name):
    text = (FOLDER / f"src/{name}.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (FOLDER / link).exists(), link
