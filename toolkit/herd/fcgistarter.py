"""What Apache's fcgistarter does: N processes, each with the same listening socket as descriptor 0."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from herd.errors import HerdError, UsageError
from herd.fcgi import LISTENER

BACKLOG: Final = 1024
CANNOT_EXECUTE: Final = 127
"""Exit code of a process that could not become its program, as shells have it."""


def executable(program: str) -> str:
    """The absolute path of a program, also of one that is found by PATH.

    :raises UsageError: there is none, or it can't be executed
    """
    found = shutil.which(program)
    if found:
        return str(Path(found).absolute())
    path = Path(program)
    if path.is_dir():
        raise UsageError(f"{program} is a folder, not a program")
    if path.exists():
        raise UsageError(f"{program} is not executable", f"chmod +x {program}")
    raise UsageError(
        f"there is no program {program!r}", "name an executable that accepts on descriptor 0"
    )


def become(listener: int, command: Sequence[str]) -> NoReturn:
    """Replace this process by a program that has the listener as descriptor 0, and 1 and 2 as they are.

    Nothing else of ours goes with it: descriptors, blocked or ignored signals, herd's own PYTHONPATH.

    :raises OSError: it could not be executed
    """
    for descriptor in list(Path("/proc/self/fd").iterdir()):
        if int(descriptor.name) > 2:
            _keep_to_ourselves(int(descriptor.name))
    os.dup2(listener, LISTENER)
    os.set_inheritable(LISTENER, True)
    for number in signal.valid_signals():  # Python ignores two, and whoever started us perhaps more
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    os.execve(command[0], list(command), environment)


def _keep_to_ourselves(descriptor: int) -> None:
    try:
        os.set_inheritable(descriptor, False)
    except OSError:  # the one by which the folder was listed
        return


def listen(interface: str | None, port: int) -> socket.socket:
    """A socket that listens, on any interface if none is named.

    :raises HerdError: the name is unknown, or the port is taken
    """
    where = f"{interface or 'any interface'} port {port}"
    try:
        found = socket.getaddrinfo(
            interface, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        hint = (
            f"choose another port, or see who has it: ss -ltnp sport = :{port}" if taken else None
        )
        raise HerdError(f"cannot listen on {where}: {error.strerror}", hint) from error
    return sock


def start(command: Sequence[str], listener: socket.socket, number: int) -> None:
    """Start ``number`` processes that outlive this one, detached as daemons are.

    Unlike Apache's, it returns only when all of them run the program, so that it can say if one can't.

    :raises HerdError: one can't
    """
    told, tell = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _as_daemon(command, listener, number, tell)
    os.close(tell)
    with open(told) as errors:  # it ends once every process has executed the program, or has ended
        text = errors.readline().strip()
    os.waitpid(child, 0)
    if text:
        raise HerdError(f"cannot start {command[0]}: {text}")


def _as_daemon(command: Sequence[str], listener: socket.socket, number: int, tell: int) -> NoReturn:
    """In the child: detach, fork, end; the processes are init's from then on."""
    started: list[int] = []
    try:
        os.chdir("/")
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (1, 2):
            os.dup2(nothing, standard)
        for _ in range(number):
            started.append(_fork(command, listener, tell))
    except OSError as error:
        for pid in started:
            os.kill(pid, signal.SIGTERM)
        os.write(tell, f"{error.strerror}\n".encode())
    finally:
        os._exit(0)


def _fork(command: Sequence[str], listener: socket.socket, tell: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            become(listener.fileno(), command)
        except OSError as error:
            os.write(tell, f"{error.strerror}\n".encode())
        finally:
            os._exit(CANNOT_EXECUTE)
    return pid
