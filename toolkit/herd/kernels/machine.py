"""One boot of a kernel in a virtual machine, on this host's own files, to run one command in it.

virtme-ng does the work; its exit code and the guest's output are not to be had without udev in the guest, so
everything comes back through files in a shared folder. A missing ``status`` means that the machine died.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from herd.errors import HerdError
from herd.kernels import tools
from herd.kernels.catalog import Kernel

CPUS: Final = 4
_MEMORY: Final = "2G"
#: Where the guest finds the folder that it shares with the host.
SHARED: Final = "/run/herd"
#: Folders of the host that the guest makes anew, or that are overlaid: /tmp and /var.
_NOT_SHARED: Final = ("boot", "dev", "lost+found", "proc", "run", "sys", "tmp", "var")
_POLL_S: Final = 0.1

# virtme mounts the host's files without a cache, which costs minutes: a second mount has one. The guest's
# modules and the shared folder are kept aside meanwhile.
_SCRIPT: Final = """
set -e
umount /run/host
mount -t 9p -o ro,version=9p2000.L,trans=virtio,access=any,cache=loose,msize=512000 \\
  virtme.initmount1 /run/host
mkdir -p /run/modules
mount --bind /lib/modules /run/modules
for folder in {folders}; do mount --bind "/run/host/$folder" "/$folder"; done
mount --bind /run/modules /lib/modules
cd {shared}
echo booted > booted
set +e
env {environment} {command} > stdout 2> stderr
echo $? > status
sync
"""


@dataclass
class Outcome:
    """How a command in a guest ended.

    :param status: its exit code; ``None``: the machine ended before the command did
    """

    status: int | None
    stdout: str
    stderr: str
    console: str


class Machine:
    """A booting or running guest; leaving the context ends it.

    :param share: a folder that the guest may write; there it is ``/run/herd``
    :param environment: variables of the command, beside the guest's own
    """

    def __init__(
        self,
        kernel: Kernel,
        command: Sequence[str],
        share: Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        tools.check()
        self.kernel = kernel
        self.accelerator = "kvm" if tools.kvm_works(kernel) else "tcg"
        self._share = share
        self._console = share / "console"
        folders = sorted(
            entry.name
            for entry in os.scandir("/")
            if entry.is_dir(follow_symlinks=False) and entry.name not in _NOT_SHARED
        )
        script = _SCRIPT.format(
            folders=" ".join(map(shlex.quote, folders)),
            shared=SHARED,
            environment=" ".join(shlex.quote(f"{k}={v}") for k, v in (environment or {}).items()),
            command=shlex.join(command),
        )
        (share / "script").write_text(script)
        (share / "booted").unlink(missing_ok=True)  # of a guest before
        self._start()

    def _start(self) -> None:
        ours, theirs = os.pipe()
        self._life = theirs  # the keeper ends the guest when this end is closed
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "herd.kernels.keeper",
                    str(ours),
                    "sh",
                    "-c",
                    self._virtme(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                pass_fds=[ours],
                start_new_session=True,
                env={**os.environ, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[2])},
            )
        os.close(ours)

    def _virtme(self) -> str:
        words = [
            tools.virtme_run(),
            *("--kimg", str(self.kernel.image), "--mods", "auto", "--force-9p"),
            *(["--disable-kvm"] if self.accelerator == "tcg" else []),
            *("--cpus", str(CPUS), "--memory", os.environ.get("HERD_VM_MEMORY", _MEMORY)),
            *("--overlay-rwdir", "/tmp", "--overlay-rwdir", "/var"),
            *("--rodir", "/run/host=/", "--rwdir", f"{SHARED}={self._share}"),
            *("--show-boot-console", "--kopt", "loglevel=4"),
            *("--script-sh", f"bash {SHARED}/script"),
        ]
        # A pipe: qemu would truncate a file that it takes for its console.
        return f"{shlex.join(words)} 2>&1 | cat"

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._life)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)

    @property
    def booted(self) -> bool:
        """Whether the command has begun."""
        return (self._share / "booted").exists()

    def wait(self, check: Callable[[], None]) -> Outcome:
        """Wait until the command has ended, or the guest has.

        :param check: called about ten times a second; what it raises ends the wait
        """
        # Not whether the file is there: it is, before the guest has written into it.
        while not self._text("status").endswith("\n") and self._process.poll() is None:
            check()
            time.sleep(_POLL_S)
        code = self._text("status").strip()
        return Outcome(
            int(code) if code else None, self._text("stdout"), self._text("stderr"), self.console()
        )

    def _text(self, name: str) -> str:
        try:
            return (self._share / name).read_text(errors="replace")
        except OSError:
            return ""

    def console(self) -> str:
        """What the guest's console printed so far."""
        return self._console.read_text(errors="replace")


def died(kernel: Kernel, outcome: Outcome, kept: Path) -> HerdError:
    """The error that says that a guest died, with the kernel's own last words.

    :param kept: where the whole console is
    """
    lines = [line.strip() for line in outcome.console.splitlines() if line.strip()]
    panic = [line for line in lines if "Kernel panic" in line or "Out of memory" in line]
    words = "\n".join((panic or lines)[-3:]) or "its console is empty"
    return HerdError(
        f"the virtual machine ({kernel.release}) died, or hung, before the run ended:\n{words}",
        f"its console: {kept}",
    )
