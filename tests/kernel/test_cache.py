"""Compiled probes are kept: the next run needs no compiler, which is proven by one that aborts."""

from __future__ import annotations

import json

import pytest

from herd.host.bcc import find_bcc
from herd.host.headers import ensure_kernel_headers

pytestmark = pytest.mark.kernel

RUN = ("run", "-s", "epoll", "-n", "4", "-c", "23", "--rate", "settled", "--probe", "tracepoints")
ABORTS = "import os\nos.abort()\n"


class Compiler:
    """bcc under another path, where it can be taken away."""

    def __init__(self, folder):
        self.folder = folder
        self.real = find_bcc()
        (folder / "broken").mkdir(parents=True)
        (folder / "broken/version.py").symlink_to(self.real / "bcc/version.py")
        for name in ("__init__.py", "libbcc.py"):
            (folder / "broken" / name).write_text(ABORTS)
        self.use(self.real / "bcc")

    def use(self, package):
        (self.folder / "bcc").unlink(missing_ok=True)
        (self.folder / "bcc").symlink_to(package)


def laws(summary):
    assert summary["integrity"]["ok"]
    return [(law["name"], law["ok"]) for law in summary["integrity"]["checks"]]


def test_what_was_compiled_once_is_loaded_without_a_compiler(herd, tmp_path):
    compiler = Compiler(tmp_path / "compiler")
    environment = {
        "HERD_BCC_PATH": str(compiler.folder),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "BCC_KERNEL_SOURCE": str(ensure_kernel_headers()),
    }
    output = ("--no-picture", "--json", "-o")
    both = [herd.start(*RUN, *output, str(herd.output()), **environment) for _ in range(2)]
    cold = [json.loads(process.communicate()[0]) for process in both]
    [file] = (tmp_path / "cache/herd/bpf").iterdir()

    compiler.use(compiler.folder / "broken")
    warm = herd.run(*RUN[1:], **environment)
    for summary in cold:
        assert laws(summary) == laws(warm)
        assert summary["wakeups"]["total"] == warm["wakeups"]["total"] == 4 * 23

    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    aborted = herd(*RUN, *output, str(herd.output()), **environment)
    assert aborted.returncode == 1
    assert "killed by SIGABRT" in aborted.stderr

    compiler.use(compiler.real / "bcc")
    assert laws(herd.run(*RUN[1:], **environment)) == laws(warm)
    assert file.read_bytes() == whole
