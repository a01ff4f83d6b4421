"""Two lessons on the running kernel: the others differ from the second in their recordings only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

BUILD = Path(__file__).parents[2] / "notebooks/build.py"


@pytest.mark.parametrize(("lesson", "measured"), [("2", 1), ("6", 2)])
def test_a_lesson_measures_where_it_can(lesson, measured, tmp_path):
    command = [sys.executable, str(BUILD), "--live", "--output", str(tmp_path), lesson]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [notebook] = tmp_path.iterdir()
    text = notebook.read_text()
    assert text.count("LIVE, just now: ") == measured
    assert "RECORDED (" not in text
