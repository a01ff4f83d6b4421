"""Compiled probes are kept: the next run needs no compiler, which is proven by one that aborts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from herd import bpf
from herd.host.bcc import find_bcc
from herd.host.headers import ensure_kernel_headers
from herd.loader.image import MapImage
from herd.loader.maps import Map

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


def dumped(made):
    """bpftool's bytes of a map: key → value, or the values of all CPUs."""
    info = Path(f"/proc/self/fdinfo/{made.fd}").read_text()
    number = re.search(r"^map_id:\s*(\d+)", info, re.MULTILINE)[1]
    command = ["bpftool", "--json", "map", "dump", "id", number]
    rows = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {
        octets(row["key"]): octets(row["value"])
        if "value" in row
        else [octets(cpu["value"]) for cpu in row["values"]]
        for row in rows
    }


def octets(words):
    return bytes(int(word, 16) for word in words)


def test_a_map_is_what_bpftool_sees():
    pair = ["pair", [["a", "unsigned int"], ["b", "unsigned int"], ["c", "long"]], "struct_packed"]
    made = Map(MapImage("herd_test", 1, 8, 16, 4, 0, "unsigned long long", pair))
    value = made.new()
    value["b"], value["c"] = 5, -6
    for key in (3, 1 << 40):
        made[key] = value
    assert dumped(made) == {key.to_bytes(8, sys.byteorder): value.tobytes() for key in (3, 1 << 40)}
    assert {int(key) for key in made} == {3, 1 << 40}
    assert [int(made[key]["c"]) for key in made] == [-6, -6]
    del made[3]
    assert 3 not in made
    with pytest.raises(KeyError):
        made[3]
    made.clear()
    assert dumped(made) == {}


def test_a_value_per_cpu_is_read_of_each():
    made = Map(
        MapImage(
            "herd_test", 6, 4, 12, 2, 0, "int", ["t", [["n", "unsigned int", [3]]], "struct_packed"]
        )
    )
    [per_cpu] = set(map(len, dumped(made).values()))
    assert made[1]["n"].shape == (per_cpu, 3)
    # Each CPU's own, 12 bytes rounded up to 16.
    numbers = np.zeros((per_cpu, 4), "u4")
    numbers[:, :3] = np.arange(1, 3 * per_cpu + 1).reshape(-1, 3)
    bpf.update(made.fd, (1).to_bytes(4, sys.byteorder), numbers.tobytes())
    assert (made[1]["n"] == numbers[:, :3]).all()
    assert dumped(made)[(1).to_bytes(4, sys.byteorder)] == [row[:3].tobytes() for row in numbers]
    made.clear()
    assert not made[1]["n"].any()
