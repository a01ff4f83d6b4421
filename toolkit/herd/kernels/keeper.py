"""Runs a command in a process group of its own and ends the whole group with its caller, however that ends.

``python -m herd.kernels.keeper FD COMMAND …``: FD is the reading end of a pipe that the caller holds.
A virtual machine is started by programs that fork it, so the kernel's parent-death signal doesn't reach it.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys


def main() -> int:
    """Wait for the command to end, or for the caller to go away."""
    caller = int(sys.argv[1])
    ended, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    process = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL)
    while process.poll() is None:
        if caller in select.select([caller, ended], [], [])[0]:
            os.killpg(0, signal.SIGKILL)  # this process, too
        os.read(ended, 64)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
