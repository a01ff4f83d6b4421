"""Whatever goes wrong: one clear error, a documented exit code, the data kept, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

import herd as library
from tests.kernel.conftest import until

pytestmark = pytest.mark.kernel

LONG = ("-s", "epoll", "-n", "4", "-c", "1000000", "--rate", "300", "--json")
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def started(herd, *more: str, output: Path):
    """A run that would go on for an hour, and has recorded something."""
    process = herd.start("run", *LONG, *more, "--output", str(output))
    until(lambda: recorded(output) > 8192 or process.poll() is not None, "some recorded arrivals")
    assert process.poll() is None, process.communicate()
    return process


def recorded(output: Path) -> int:
    """Bytes that the probe has written so far."""
    return sum(raw.stat().st_size for raw in Path(f"{output}.partial").glob("events-*.raw"))


def worker_of(herd) -> int:
    pool = herd.processes("herd.pool.main")
    return max(pool)  # the parent has the lowest pid


VICTIMS = {
    "a worker": worker_of,
    "the pool": lambda herd: min(herd.processes("herd.pool.main")),
    "the load": lambda herd: herd.processes("herd.traffic.main")[0],
    "the probe": lambda herd: herd.processes("herd.probes.main")[0],
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_process_leaves_a_recording_marked_incomplete(herd, victim):
    output = herd.output()
    more = ("-d", "2s") if victim == "a worker" else ()  # without a worker the run goes on
    process = started(herd, *more, output=output)
    os.kill(VICTIMS[victim](herd), signal.SIGKILL)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 1, error
    assert "was killed by SIGKILL" in error
    assert str(output) in error
    assert "Traceback" not in error
    kept(output, json.loads(out))


def kept(output: Path, summary) -> None:
    run = library.load(output)
    assert run.run["complete"] is summary["complete"] is False
    assert summary["integrity"]["ok"] is False
    assert len(run.arrivals) > 0
    assert len(run.wakeups) > 0
    assert run.workers["accepts"].sum() > 0
    assert not Path(f"{output}.partial").exists()
    assert (output / "overview.png").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_keeps_what_was_recorded(herd, number):
    output = herd.output()
    process = started(herd, output=output)
    process.send_signal(number)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted by {number.name}" in error
    kept(output, json.loads(out))


def test_an_interrupt_before_anything_was_recorded_leaves_no_trace(herd):
    output = herd.output()
    process = herd.start("run", *LONG, "--output", str(output))
    until(lambda: herd.processes("herd.probes.main"), "the probe process")
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert error.startswith("herd: interrupted by SIGINT")
    assert list(herd.folder.iterdir()) == []


def test_the_controller_killed_takes_everything_with_it(herd):
    """No orphan is left (the fixture looks), and what the probe wrote is still there."""
    output = herd.output()
    process = started(herd, output=output)
    process.kill()
    process.communicate()
    assert recorded(output) > 0


def test_a_timeout_has_its_own_exit_code(herd):
    output = herd.output()
    done = herd("run", *LONG, "--timeout", "8", "--output", str(output))
    assert done.returncode == 124
    assert "took longer than 8 s" in done.stderr
    assert "--timeout" in done.stderr
    kept(output, json.loads(done.stdout))


def test_a_full_disk_moves_the_recording_and_says_so(herd, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "herd", str(small)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr}")
    try:
        done = herd("run", *LONG, "--output", str(small / "run"), TMPDIR=str(tmp_path))
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    summary = json.loads(done.stdout)
    assert Path(summary["run"]).is_relative_to(tmp_path)
    assert summary["run"] in done.stderr
    kept(Path(summary["run"]), summary)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["-s", "epol"], 2, "did you mean 'epoll'"),
        (["-n", "0"], 2, "workers"),
        (["-n", "1025"], 2, "1024"),
        (["--rate", "fast"], 2, "'fast' is not a rate"),
        (["--host", "192.0.2.1"], 2, "not a loopback address"),
        (["--pin", "workers=4096"], 2, "no such CPU"),
        (["--probe", "tracepoint"], 2, "did you mean 'tracepoints'"),
        (["--output", "/proc/nowhere"], 2, "cannot write to /proc/nowhere"),
        (["--config", "/nonexistent.toml"], 2, "cannot read /nonexistent.toml"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(herd, args, code, said, tmp_path):
    done = herd("run", *args)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.startswith("herd: ")
    assert done.stdout == ""


@pytest.mark.parametrize("strategy", ["accept", "reuseport", "reuseport-ebpf"])
def test_a_port_in_use_is_said(herd, strategy):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = herd("run", "-s", strategy, "-p", port, "-o", str(herd.output()))
    assert done.returncode == 1
    assert f"port {port}: Address already in use" in done.stderr
    assert f"ss -ltnp sport = :{port}" in done.stderr
    assert list(herd.folder.iterdir()) == []


def test_an_existing_folder_is_not_overwritten(herd):
    output = herd.output()
    output.mkdir()
    done = herd("run", "-o", str(output))
    assert done.returncode == 2
    assert "never overwrites" in done.stderr


def test_too_few_descriptors_are_said(herd):
    done = herd("run", "-n", "64", "-o", str(herd.output()), before=("prlimit", "--nofile=100:100"))
    assert done.returncode == 3
    assert "descriptors" in done.stderr
    assert "ulimit -Hn" in done.stderr


def test_without_bcc_auto_measures_the_rest_and_tracepoints_refuses(herd):
    run = ("run", "-n", "2", "-c", "10", "--json", "-o")
    refused = herd(*run, str(herd.output()), "--probe", "tracepoints", HERD_BCC_PATH="/nonexistent")
    assert refused.returncode == 3
    assert "bcc was not found" in refused.stderr
    done = herd(*run, str(herd.output()), HERD_BCC_PATH="/nonexistent")
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    assert summary["host"]["probe"] == "none"
    assert summary["wakeups"]["total"] is None
    assert any("bcc was not found" in note for note in summary["notes"])


def test_a_compiler_that_aborts_ends_its_own_process_only(herd, tmp_path):
    """LLVM aborts on some C; the same end, from a bcc that does just that."""
    bcc = tmp_path / "fake" / "bcc"
    bcc.mkdir(parents=True)
    (bcc / "libbcc.py").touch()
    (bcc / "__init__.py").write_text(
        "import os\nclass Lib:\n    def __getattr__(self, name): os.abort()\nlib = Lib()\n"
    )
    run = ("run", "-n", "2", "-c", "10", "--json", "-o")
    refused = herd(
        *run, str(herd.output()), "--probe", "tracepoints", HERD_BCC_PATH=str(bcc.parent)
    )
    assert refused.returncode == 1
    assert "tracepoints probe process was killed by SIGABRT" in refused.stderr
    done = herd(*run, str(herd.output()), HERD_BCC_PATH=str(bcc.parent))
    assert done.returncode == 0
    assert json.loads(done.stdout)["host"]["probe"] == "none"


def test_headers_that_are_not_whole_are_named(herd, tmp_path):
    done = herd(
        "run", "--probe", "tracepoints", "-o", str(herd.output()), BCC_KERNEL_SOURCE=str(tmp_path)
    )
    assert done.returncode == 3
    assert f"the kernel headers in {tmp_path} lack include/linux/kconfig.h" in done.stderr
    assert "herd doctor" in done.stderr


def test_without_privileges_the_rest_is_measured(herd, tmp_path):
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        folder.chmod(folder.stat().st_mode | 0o055) if folder.is_relative_to(
            "/tmp/pytest-of-root"
        ) else None
    refused = herd("run", "--probe", "tracepoints", "-o", str(herd.output()), before=NOBODY)
    assert refused.returncode == 3
    assert "may not load BPF programs" in refused.stderr
    assert "sudo" in refused.stderr
    summary = herd.run("-s", "epoll", "-n", "3", "-c", "20", before=NOBODY, HOME=str(tmp_path))
    assert summary["host"]["probe"] == "none"
    assert summary["accepts"] == 20
    assert summary["wakeups"]["total"] is None
    assert any("sudo" in note for note in summary["notes"])


def test_a_reader_that_goes_away_ends_it_without_a_word(herd):
    process = herd.start("strategies")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(10) == 1


def test_in_a_pid_namespace_wakeups_are_unknown_and_not_nobodys(herd):
    """The kernel tells a probe its own process ids, and they are not those that are known there."""
    inside = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    args = ("-s", "accept", "-n", "2", "-c", "7", "--rate", "settled")
    summary = herd.run(*args, before=inside)
    assert summary["wakeups"]["total"] is None
    assert summary["accepts"] == 7
    assert any("PID namespace" in note for note in summary["notes"])
    done = herd("run", *args, "--probe", "tracepoints", before=inside)
    assert done.returncode == 3
    assert "--pid=host" in done.stderr
