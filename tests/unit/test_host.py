"""What the host offers, without asking it: fake mounts, distributions, folders and compilers."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from herd.commands.doctor import command as doctor
from herd.errors import HostError
from herd.host import bcc, checks, fix, metadata, mounts, packages, privileges, trial
from herd.host.checks import Check, capable


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# --- mounts


def test_mounted_reads_mountinfo_with_its_escapes(tmp_path, monkeypatch):
    lines = [
        "42 23 0:13 / /sys/kernel/tracing rw,relatime - tracefs nodev rw",
        r"43 23 0:8 / /mnt/a\040folder rw - ext4 /dev/vda rw",
    ]
    monkeypatch.setattr(mounts, "MOUNTINFO", write(tmp_path / "mountinfo", "\n".join(lines)))
    assert mounts.mounted("/sys/kernel/tracing")
    assert mounts.mounted(Path("/mnt/a folder"))
    assert not mounts.mounted("/sys/kernel")
    monkeypatch.setattr(mounts, "MOUNTINFO", tmp_path / "missing")
    assert not mounts.mounted("/sys/kernel/tracing")


def test_ensure_mounts_mounts_the_missing_ones_and_tells_only_those(tmp_path, monkeypatch):
    line = "42 23 0:13 / /sys/kernel/tracing rw - tracefs nodev rw"
    monkeypatch.setattr(mounts, "MOUNTINFO", write(tmp_path / "mountinfo", line))
    asked: list[str] = []
    refused = "/sys/fs/bpf"
    monkeypatch.setattr(mounts, "_mount", lambda kind, path: asked.append(path) or path != refused)
    assert mounts.ensure_mounts() == ["/sys/kernel/debug"]
    assert asked == ["/sys/kernel/debug", "/sys/fs/bpf"]


def test_fix_says_what_an_unprivileged_user_must_type(tmp_path, monkeypatch):
    monkeypatch.setattr(mounts, "MOUNTINFO", write(tmp_path / "mountinfo"))
    known = write(tmp_path / "filesystems", "nodev\ttracefs\nnodev\tbpf\n\text4")
    monkeypatch.setattr(mounts, "FILESYSTEMS", known)
    monkeypatch.setattr(mounts, "_mount", lambda kind, path: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(tmp_path))
    lines = fix.fix()
    assert len(lines) == 2  # this kernel has no debugfs, so nothing can be typed for it
    assert lines[0].endswith("type: sudo mount -t tracefs tracefs /sys/kernel/tracing")


# --- packages


@pytest.mark.parametrize(
    ("release", "machine", "command"),
    [
        (
            {"ID": "debian"},
            "x86_64",
            "apt-get install -y python3-bpfcc linux-headers-amd64 qemu-system-x86 busybox-static kmod",
        ),
        (
            {"ID": "debian"},
            "aarch64",
            "apt-get install -y python3-bpfcc linux-headers-arm64 qemu-system-arm busybox-static kmod",
        ),
        (
            {"ID": "linuxmint", "ID_LIKE": "ubuntu debian"},
            "x86_64",
            "apt-get install -y python3-bpfcc linux-headers-generic qemu-system-x86 busybox-static kmod",
        ),
        (
            {"ID": "rocky", "ID_LIKE": "rhel centos fedora"},
            "x86_64",
            "dnf install -y python3-bcc kernel-devel qemu-system-x86",
        ),
        (
            {"ID": "arch"},
            "aarch64",
            "pacman -S --needed --noconfirm python-bcc linux-headers qemu-system-aarch64",
        ),
        (
            {"ID": "opensuse-leap", "ID_LIKE": "suse opensuse"},
            "x86_64",
            "zypper --non-interactive install python3-bcc kernel-default-devel qemu-x86",
        ),
    ],
)
def test_install_command_names_this_distributions_packages(release, machine, command, monkeypatch):
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert packages.install_command("bcc", "headers", "qemu") == command
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert packages.install_command("bcc", "headers", "qemu") == f"sudo {command}"


def test_an_unknown_distribution_gets_a_sentence(monkeypatch):
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": "plan9"})
    assert packages.packages("bcc") == []
    assert "install bcc with" in packages.install_command("bcc")


def test_every_distribution_names_every_capability(monkeypatch):
    for family in packages._PACKAGES:
        monkeypatch.setattr(
            platform, "freedesktop_os_release", lambda family=family: {"ID": family}
        )
        assert all(packages.packages(capability) for capability in packages.CAPABILITIES)


# --- bcc


@pytest.fixture
def no_bcc(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "bcc"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delenv("HERD_BCC_PATH", raising=False)
    monkeypatch.setattr(bcc, "SYSTEM_FOLDERS", ())
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("bcc", None)


def ebpf_bcc(folder: Path) -> Path:
    write(folder / "bcc/__init__.py", "BPF = object")
    write(folder / "bcc/libbcc.py")
    write(folder / "bcc/version.py", "__version__ = '0.26.0'\n")
    return folder


def test_the_unrelated_package_of_pypi_is_passed_over(no_bcc, tmp_path, monkeypatch):
    write(tmp_path / "pypi/bcc/__init__.py")
    real = ebpf_bcc(tmp_path / "lib/python3.99/site-packages")
    monkeypatch.setattr(bcc, "SYSTEM_FOLDERS", (str(tmp_path / "lib/python3*/site-packages"),))
    sys.path.insert(0, str(tmp_path / "pypi"))
    assert bcc.find_bcc() == real
    assert bcc.bcc_version(real) == "0.26.0"
    assert "bcc" not in sys.modules
    with pytest.raises(HostError, match="hides"):
        bcc.import_bcc()


def test_bcc_is_imported_from_the_end_of_the_path(no_bcc, tmp_path, monkeypatch):
    real = ebpf_bcc(tmp_path)
    monkeypatch.setattr(bcc, "SYSTEM_FOLDERS", (str(real),))
    assert bcc.import_bcc().BPF is object
    assert sys.path[-1] == str(real)


def test_herd_bcc_path_is_the_only_place_looked_in(no_bcc, tmp_path, monkeypatch):
    monkeypatch.setattr(bcc, "SYSTEM_FOLDERS", (str(ebpf_bcc(tmp_path)),))
    monkeypatch.setenv("HERD_BCC_PATH", "/nonexistent")
    assert bcc.find_bcc() is None
    with pytest.raises(HostError, match="HERD_BCC_PATH=/nonexistent") as missing:
        bcc.import_bcc()
    assert missing.value.hint == packages.install_command("bcc")


# --- trials


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (
            "echo first >&2; echo 'LLVM ERROR: no' >&2; kill -ABRT $$",
            "ended by SIGABRT: LLVM ERROR: no",
        ),
        ("echo 'chdir: error: no' >&2; echo later >&2; exit 1", "chdir: error: no"),
        ("echo refused; echo noise >&2; exit 1", "refused"),
        ("exit 7", "exit code 7"),
        ("exec sleep 9", "no answer within 0.3 s"),
    ],
)
def test_an_abort_a_refusal_or_a_hang_becomes_text(script, text, tmp_path, monkeypatch):
    fake = write(tmp_path / "python", f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.3)
    assert trial.attempt("bcc") == trial.Outcome(False, text)


def test_an_interpreter_that_cannot_be_started_becomes_text(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert trial.attempt("bcc").text.startswith("cannot be tried")


# --- the doctor


def check(name: str, found: bool, required: bool) -> Check:
    return Check(name, found, "seen", "much", None if found else "type this", required)


def test_only_what_is_required_decides():
    assert capable([check("bcc", True, True), check("qemu", False, False)])
    assert not capable([check("bcc", False, True), check("qemu", True, False)])


@pytest.mark.parametrize(("found", "code"), [(True, 0), (False, 3)])
def test_doctor_says_the_same_in_words_and_in_json(found, code, monkeypatch):
    monkeypatch.setattr(checks, "run_checks", lambda: [check("bcc", found, True)])
    words = CliRunner().invoke(doctor)
    answer = CliRunner().invoke(doctor, ["--json"])
    assert words.exit_code == answer.exit_code == code
    assert ("type this" in words.output) is not found
    assert json.loads(answer.stdout)["capable"] is found
    assert json.loads(answer.stdout)["checks"][0]["name"] == "bcc"


def test_capabilities_decide_about_privileges_not_the_user(tmp_path, monkeypatch):
    some = f"Name:\tx\nCapEff:\t{1 << 38 | 1 << 39:016x}\n"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(privileges, "STATUS", write(tmp_path / "status", some))
    assert checks._privileges().found
    monkeypatch.setattr(
        privileges, "STATUS", write(tmp_path / "status", "CapEff:\t0000008000000000\n")
    )
    assert checks._privileges().mend == f"sudo {sys.executable} -m herd run"


# --- metadata


def test_metadata_is_json_and_unknown_is_null(tmp_path, monkeypatch):
    known = json.loads(json.dumps(metadata.metadata()))
    assert known["memory_bytes"] > 0
    assert known["sysctls"]["net.core.somaxconn"].isdigit()
    assert len(known["sysctls"]["net.ipv4.ip_local_port_range"].split()) == 2
    monkeypatch.setattr(metadata, "PROC", tmp_path)
    monkeypatch.setattr(metadata, "SYS", tmp_path)
    unknown = metadata.metadata()
    assert unknown["memory_bytes"] is None
    assert unknown.keys() == known.keys()
