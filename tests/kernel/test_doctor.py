"""``herd doctor`` on the running kernel, as root and as someone who may do nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from herd.host.headers import ensure_kernel_headers

pytestmark = pytest.mark.kernel

DROPPED = {
    "another user": ["--reuid=65534", "--regid=65534", "--clear-groups"],
    "root without capabilities": ["--bounding-set=-all", "--inh-caps=-all"],
}


def doctor(*options: str, before: tuple[str, ...] = (), **environment: str):
    return subprocess.run(
        [*before, sys.executable, "-m", "herd", "doctor", *options],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
        check=False,
    )


def by_name(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, object]]:
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_all_that_a_run_requires_is_found():
    done = doctor("--json")
    checks = by_name(done)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["capable"] is True
    assert all(check["found"] for check in checks.values() if check["required"])
    assert "sk_data_ready" in str(checks["tracepoints"]["detail"])
    assert all(check["mend"] is None for check in checks.values() if check["found"])


def test_without_a_terminal_it_prints_plain_text():
    done = doctor()
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "tracepoints" in done.stdout
    assert done.stderr == ""


def test_a_missing_bcc_is_said_with_the_command_that_installs_it():
    done = doctor("--json", HERD_BCC_PATH="/nonexistent")
    found = by_name(done)["bcc"]
    assert done.returncode == 3
    assert not found["found"]
    assert "/nonexistent" in str(found["detail"])
    assert "bcc" in str(found["mend"]) or "bpfcc" in str(found["mend"])
    assert by_name(done)["tracepoints"]["mend"] == found["mend"]


def test_headers_that_are_not_there_are_said():
    done = doctor("--json", BCC_KERNEL_SOURCE="/nonexistent")
    assert done.returncode == 3
    assert by_name(done)["kernel headers"]["mend"] == "unset BCC_KERNEL_SOURCE"


@pytest.mark.parametrize("who", DROPPED)
def test_without_privileges_it_says_so_and_does_not_crash(who):
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv (util-linux) is not installed")
    before = (setpriv, *DROPPED[who])
    if subprocess.run([*before, sys.executable, "-c", "import herd"], check=False).returncode:
        pytest.skip(f"{who} may not read {sys.executable} or this checkout")
    done = doctor("--json", before=before)
    assert "Traceback" not in done.stderr
    assert done.returncode == 3
    privileges = by_name(done)["privileges"]
    assert not privileges["found"]
    assert privileges["mend"]
    assert not by_name(done)["tracepoints"]["found"]


def test_a_bare_cache_is_filled_and_bcc_compiles_with_it(tmp_path):
    done = doctor("--json", "--fix", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    if Path("/lib/modules", os.uname().release, "build").exists():
        pytest.skip("this kernel's own headers are installed; nothing is merged")
    assert "merged kernel headers" in done.stderr
    assert str(tmp_path) in str(by_name(done)["kernel headers"]["detail"])


def test_when_all_is_set_up_fix_has_nothing_to_do():
    ensure_kernel_headers()
    done = doctor("--fix")
    assert done.stdout.startswith("nothing to fix\n")
