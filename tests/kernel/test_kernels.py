"""Function probes, and the same run on Debian's kernels in a virtual machine: few boots, each used well."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import herd as library
from herd import strategies
from herd.kernels import catalog, machine
from herd.kernels.machine import Machine
from tests.kernel.conftest import until

pytestmark = pytest.mark.vm

ROOT = Path(__file__).parents[2]
PATIENCE_S = 600


def compare(herd, *args: str, **environment: str):
    output = ("--json", "--no-picture", "--output", str(herd.output()))
    process = herd.start("compare", *args, *output, **environment)
    out, error = process.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in error
    assert out, error
    return process.returncode, json.loads(out), error


def test_both_probes_count_the_same_in_the_committed_experiment(herd):
    """Cross-validation: one run, watched by function probes and by tracepoints at once."""
    experiment = str(ROOT / "experiments" / "compare" / "cross-validation.toml")
    code, found, error = compare(herd, "--config", experiment, "-c", "41")
    assert found["failed"] == []
    runs = {run["config"]["strategy"]: run for run in found["runs"]}
    # In an emulated CPU liburing's wheel meets instructions that aren't there.
    absent = {entry["strategy"]: entry["why"] for entry in found["unavailable"]}
    assert all("built for another CPU" in why for why in absent.values())
    assert absent.keys() <= {"io-uring", "io-uring-multishot"}
    assert runs.keys() == set(strategies.names()) - absent.keys()
    for name, run in runs.items():
        laws = {law["name"]: law for law in run["integrity"]["checks"]}
        assert laws["functions and tracepoints agree"]["ok"], (name, laws)
        assert laws["wakeups = wake functions that woke"]["ok"], (name, laws)
        assert laws["every call returned"]["ok"], (name, laws)
        assert run["host"]["probe"] == "functions"
        assert run["host"]["kernel"].startswith("6.12.")
        assert run["host"]["latencies_comparable"] is (
            run["host"]["virtual_machine"]["accelerator"] != "tcg"
        )
        assert run["accepts"] == run["arrivals"] == 41
    assert code == 0, error
    assert runs["accept"]["wakeups"]["total"] == 41
    assert runs["epoll"]["wakeups"]["total"] == 16 * 41
    # What many tutorials probe sees nothing of it: the listener's wake is __wake_up_sync_key.
    calls = runs["accept"]["calls"]
    assert calls["__wake_up"]["entries"] == 0 < calls["__wake_up"]["elsewhere"]
    assert calls["__wake_up_sync_key"]["entries"] == 41


@pytest.mark.parametrize("way", ["fentry", "kprobe"])
def test_the_oldest_kernel_is_seen_by_its_functions(herd, way):
    """6.1 has no sk_data_ready tracepoint; with 16 sleepers a careless kretprobe loses most returns."""
    environment = {"HERD_NO_FENTRY": "1"} if way == "kprobe" else {}
    strategies = "accept,epoll" if way == "fentry" else "accept"
    args = ("-S", strategies, "-K", "6.1", "-n", "16", "-c", "50", "--rate", "settled")
    code, found, error = compare(herd, *args, **environment)
    assert code == 0, (error, found["failed"])
    accept = found["runs"][0]
    assert accept["host"]["kernel"].startswith("6.1.")
    assert accept["wakeups"]["total"] == 50
    assert [run["wakeups"]["total"] for run in found["runs"][1:]] == [50 * 16] * (way == "fentry")
    called = accept["calls"]["inet_csk_accept"]
    assert (called["entries"] - called["returns"], called["missed"]) == (16, 0)
    assert called["returns"] == 50
    follow(herd, Path(accept["run"]))


def follow(herd, run: Path) -> None:
    """``herd path``: the article's section 3, alive."""
    done = herd("path", str(run), "--arrival", "20", "--json", "--output", str(run / "path.svg"))
    steps = json.loads(done.stdout)
    names = [step["function"] for step in steps]
    order = [
        "prepare_to_wait_exclusive",
        "tcp_child_process",
        "sock_def_readable",
        "__wake_up_sync_key",
        "autoremove_wake_function",
        "try_to_wake_up",
        "accept4",
    ]
    assert [names.index(name) for name in order] == sorted(names.index(name) for name in order)
    assert all(
        step.keys() == {"time_ns", "cpu", "pid", "function", "depth", "what"} for step in steps
    )
    accepted = library.load(run).accepts.set_index("arrival").loc[20]
    assert steps[names.index("accept4")]["pid"] == steps[names.index("try_to_wake_up")]["pid"]
    assert steps[names.index("accept4")]["pid"] == accepted["tid"]
    assert "sock_def_readable" in (run / "path.svg").read_text()


def boot(tmp_path: Path, script: str) -> machine.Outcome:
    with Machine(catalog.find("6.12"), ["bash", "-c", script], tmp_path) as guest:
        deadline = time.monotonic() + 120

        def check() -> None:
            assert time.monotonic() < deadline, guest.console()

        outcome = guest.wait(check)
    # As herd itself does: an emulated guest panics now and then before the command has begun.
    return outcome if guest.booted else boot(tmp_path, script)


def test_a_command_s_exit_code_and_output_come_back(tmp_path):
    outcome = boot(tmp_path, "uname -r; echo so >&2; exit 42")
    assert (outcome.status, outcome.stderr) == (42, "so\n")
    assert outcome.stdout.startswith("6.12.")


def test_a_guest_that_panics_is_told_apart_in_the_kernels_words(tmp_path):
    outcome = boot(
        tmp_path, "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger; sleep 60"
    )
    assert outcome.status is None
    error = machine.died(catalog.find("6.12"), outcome, tmp_path / "console")
    assert "died, or hung, before the run ended" in error.message
    assert "Kernel panic" in error.message


def test_a_guest_without_memory_fails_the_run_and_says_so(herd):
    output = herd.output()
    process = herd.start(
        *(
            "run",
            "-s",
            "accept",
            "-n",
            "1024",
            "-c",
            "10",
            "--kernel",
            "6.12",
            "--output",
            str(output),
        ),
        HERD_VM_MEMORY="300M",
    )
    _, error = process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0
    assert "virtual machine" in error
    assert "Traceback" not in error
    assert not output.exists() or not library.load(output).run["complete"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_boot_leaves_no_machine_behind(herd, number):
    """The fixture looks for processes; qemu is among them, and outlives virtme-run if nobody cares."""
    output = herd.output()
    process = herd.start("run", "-n", "2", "--kernel", "6.12", "--output", str(output))
    until(lambda: herd.processes("qemu-system"), "qemu")
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert error.startswith("herd: interrupted by SIGINT")
        assert [p for p in herd.folder.iterdir() if p.name.startswith("run")] == []


def test_a_kernel_that_is_not_there_is_said(herd):
    done = herd("run", "--kernel", "5.99", "-o", str(herd.output()))
    assert done.returncode == 3
    assert "kernel 5.99 is not installed" in done.stderr
    assert "herd kernels install 5.99" in done.stderr


def test_a_kernel_that_is_not_there_doesnt_keep_the_others_from_running(herd):
    args = ("-S", "accept", "-K", "5.99,host", "-n", "2", "-c", "10", "--rate", "settled")
    code, found, _ = compare(herd, *args)
    assert code == 0
    assert [run["accepts"] for run in found["runs"]] == [10]
    [absent] = found["unavailable"]
    assert (absent["kernel"], absent["strategy"]) == ("5.99", "accept")
    assert "not installed" in absent["why"]
    code, found, _ = compare(herd, "-K", "5.99")
    assert code == 3


def test_a_host_without_qemu_is_told_how_to_get_it(herd, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("busybox", "depmod", "dpkg"):
        found = shutil.which(name)
        assert found
        (programs / name).symlink_to(found)
    done = herd("run", "--kernel", "6.12", "-o", str(herd.output()), PATH=str(programs))
    assert done.returncode == 3
    assert "qemu-system-" in done.stderr
    assert "herd kernels install" in done.stderr


def test_a_full_disk_is_said_before_anything_boots(herd, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "herd", str(small)], check=True)
    try:
        done = herd("run", "--kernel", "6.12", "-o", str(herd.output()), TMPDIR=str(small))
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert done.returncode == 1
    assert f"{small} has" in done.stderr
    assert "TMPDIR" in done.stderr


def test_the_kernels_are_listed(herd):
    listed = json.loads(herd("kernels", "--json").stdout)
    assert [kernel["name"] for kernel in listed["kernels"]][:1] == ["host"]
    assert {"6.1", "6.12"} <= {kernel["name"] for kernel in listed["kernels"]}
    assert listed["kernels"][0]["release"] == os.uname().release
    assert listed["missing_tools"] == []
