"""The programs that boot a virtual machine: Debian's qemu, busybox and kmod, PyPI's virtme-ng."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from herd.errors import HostError
from herd.host.packages import distribution, install_command, packages
from herd.kernels import catalog
from herd.kernels.catalog import Kernel

VIRTME: Final = "virtme-ng==1.42"
_KVM_DEADLINE_S: Final = 5.0


def missing() -> list[str]:
    """Programs that aren't there."""
    names = [f"qemu-system-{platform.machine()}", "busybox", "depmod"]
    absent = [name for name in names if not shutil.which(name)]
    return absent + ([] if importlib.util.find_spec("virtme") else ["virtme-ng"])


def check() -> None:
    """Refuse to go on without them.

    :raises HostError: with the command that installs them
    """
    absent = missing()
    if absent:
        raise HostError(
            f"virtual machines need {', '.join(absent)}, which this host has not",
            "herd kernels install 6.1",
        )


def install() -> list[str]:
    """Install what is missing, if root on a Debian; returns what was done.

    :raises HostError: it can't be done from here; the hint is the command to type
    """
    absent = missing()
    done = []
    if "virtme-ng" in absent:
        _pip()
        done.append(f"installed {VIRTME} from PyPI")
        absent.remove("virtme-ng")
    if absent:
        _apt(absent)
        done.append(f"installed {' '.join(packages('qemu'))}")
    return done


def _pip() -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", VIRTME]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise HostError(
            f"virtme-ng could not be installed: {ended.stderr.strip()}", " ".join(command)
        )
    importlib.invalidate_caches()


def _apt(absent: list[str]) -> None:
    hint = install_command("qemu")
    if distribution() not in ("debian", "ubuntu") or os.geteuid() != 0:
        raise HostError(f"{', '.join(absent)} must be installed first", hint)
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages("qemu")]
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if ended.returncode:
        subprocess.run(["apt-get", "-q", "update"], capture_output=True, check=False)
        ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise HostError(f"apt-get failed: {ended.stderr.strip()}", hint)


def virtme_run() -> str:
    """The program ``virtme-run`` of this interpreter's virtme-ng."""
    beside = Path(sys.executable).with_name("virtme-run")
    return str(beside) if beside.exists() else "virtme-run"


def kvm_works(kernel: Kernel) -> bool:
    """Whether KVM really boots this kernel: tried, with a deadline; remembered until the next boot.

    ``/dev/kvm`` may be there and still hang, or fail to emulate an instruction, inside another VM.
    """
    if not Path("/dev/kvm").exists():
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    remembered = catalog.folder() / f"kvm-{boot}"
    if not remembered.exists():
        answer = "yes" if _try_kvm(kernel) else "no"
        catalog.folder().mkdir(parents=True, exist_ok=True)
        for old in catalog.folder().glob("kvm-*"):
            old.unlink(missing_ok=True)
        remembered.write_text(answer)
    return remembered.read_text() == "yes"


def _try_kvm(kernel: Kernel) -> bool:
    """Boot it without a root; its first line on the console is proof enough."""
    command = [
        f"qemu-system-{platform.machine()}",
        *("-accel", "kvm", "-m", "256", "-nodefaults", "-display", "none", "-serial", "stdio"),
        *("-no-reboot", "-kernel", str(kernel.image)),
        *("-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"),
    ]
    with tempfile.TemporaryFile() as console:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(_KVM_DEADLINE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        console.seek(0)
        return re.search(rb"Linux version", console.read()) is not None
