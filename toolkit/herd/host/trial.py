"""Try one thing of BPF in a process of its own: ``python -m herd.host.trial WHAT``.

LLVM can abort the process that uses it, and a kernel can refuse; either becomes text here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from herd.errors import HostError
from herd.host.bcc import find_bcc, import_bcc
from herd.loader.compiler import compiled
from herd.loader.image import Image, ProgramImage
from herd.loader.loaded import Loaded
from herd.probes import permits
from herd.probes.btf import Btf
from herd.probes.modes.light import Light
from herd.probes.modes.tracepoints import Tracepoints

TIMEOUT_S = 60.0

_FUNCTION = "inet_csk_accept"


class Outcome(NamedTuple):
    """How a trial ended."""

    worked: bool
    text: str
    """What was found, or how it was refused, in the kernel's or compiler's words."""


def attempt(what: str) -> Outcome:
    """Run one of ``TRIALS`` in a process of its own; never raises for what the trial meets."""
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    # -P: the user's current folder may hold a bcc or a herd of its own.
    command = [sys.executable, "-P", "-m", "herd.host.trial", what]
    try:
        done = subprocess.run(
            command,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(False, f"no answer within {TIMEOUT_S:g} s")
    except OSError as error:
        return Outcome(False, f"cannot be tried: {error}")
    if done.returncode == 0:
        return Outcome(True, done.stdout.strip())
    return Outcome(False, _refusal(done.returncode, done.stdout.strip(), done.stderr))


def _refusal(code: int, said: str, stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    ended = f"ended by {signal.Signals(-code).name}" if code < 0 else ""
    # A crash's last words say why; a refusal's first do.
    words = (lines[-1:] if code < 0 else errors[:1] or lines[:1]) if not said else []
    return ": ".join(filter(None, (ended, said, *words))) or f"exit code {code}"


def _bcc() -> str:
    version = getattr(import_bcc(), "__version__", "of unknown version")
    return f"{version} in {find_bcc()}"


def _compile() -> str:
    compiled("#include <uapi/linux/ptrace.h>\n" + _functions("walk__nothing"))
    return f"a program compiles with {os.environ['BCC_KERNEL_SOURCE']}"


def _tracepoints() -> str:
    image = compiled(_functions(*(f"raw_tracepoint__{name}" for name in Tracepoints.needed())))
    btf = Btf.vmlinux()
    refused = [_target(program) for program in image.programs if not _attaches(program, btf)]
    if refused:
        raise HostError(f"the kernel has no raw tracepoint {', '.join(refused)}")
    return f"attached to {', '.join(Tracepoints.needed())}"


def _functions(*names: str) -> str:
    return "".join(f"int {name}(void *ctx) {{ return 0; }}\n" for name in names)


def _target(program: ProgramImage) -> str:
    return program.name.partition("__")[2]


def _attaches(program: ProgramImage, btf: Btf) -> bool:
    try:
        Loaded(Image([], [program]), btf).close()
    except (OSError, HostError):
        return False
    return True


def _light() -> str:
    found = Light(Btf.vmlinux()).defines()
    program = "int peername4__nothing(struct bpf_sock_addr *ctx) { return 1; }\n"
    Loaded(compiled(program)).close()
    return f"attached to all cgroups; marks of tasks: {found['MARKS']}"


def _kprobe() -> str:
    refusal = permits.kprobe()
    if refusal:
        raise HostError(refusal)
    Loaded(compiled(_functions(f"entry__{_FUNCTION}"))).close()
    return f"a kprobe attaches to {_FUNCTION}"


def _fentry() -> str:
    Loaded(compiled(_functions(f"kfunc__{_FUNCTION}")), Btf.vmlinux()).close()
    return f"fentry attaches to {_FUNCTION}"


TRIALS: dict[str, Callable[[], str]] = {
    "bcc": _bcc,
    "compile": _compile,
    "tracepoints": _tracepoints,
    "light": _light,
    "kprobe": _kprobe,
    "fentry": _fentry,
}


def main() -> None:
    """Print what was found and exit 0; else print herd's own reason, leave others' on stderr."""
    try:
        found = TRIALS[sys.argv[1]]()
    except HostError as error:
        sys.stdout.write(f"{error}\n")
        raise SystemExit(1) from None
    except OSError as error:
        sys.stdout.write(f"{error.strerror}\n")
        raise SystemExit(1) from None
    sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    main()
