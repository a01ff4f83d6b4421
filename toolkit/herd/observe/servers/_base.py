"""What is common to all real servers; each file beside this one adds a program."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from herd.errors import HostError
from herd.observe import holders

#: This Python's own programs come first; and servers lie in a folder that a user's PATH may lack.
_PATH: Final = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin"]
)


@dataclass(frozen=True)
class Place:
    """Where a server is to run: its files, its port on 127.0.0.1, how many workers it shall have."""

    folder: Path
    port: int
    workers: int

    @property
    def log(self) -> Path:
        """What it prints, and for each connection a line ``served WORKER``."""
        return self.folder / "log"

    def write(self, name: str, text: str, mode: int = 0o644) -> str:
        """Write one of its files; returns the path."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        return str(path)


class Server(ABC):
    """A program, set up in one way. It keeps no connection alive: each line of its log is one accept."""

    program: ClassVar[str]
    package: ClassVar[str]  #: Debian's
    version_option: ClassVar[str] = "-v"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def command(self, place: Place) -> list[str]:
        """Write its files; return what to execute."""

    def workers(self, pid: int, port: int) -> list[int]:
        """The processes, or threads, that serve: by default all processes that the first one has started.

        :param pid: of the process that was started
        """
        return holders.family(pid)[1:]

    def worker(self, logged: int, workers: list[int]) -> int:
        """Which of its workers a number in its log means: by default that is its pid."""
        return logged

    def complete(self, place: Place, workers: list[int]) -> bool:
        """Whether all its workers are there."""
        return len(workers) >= place.workers

    def path(self) -> str:
        """Its executable.

        :raises HostError: it isn't installed
        """
        found = shutil.which(self.program, path=_PATH)
        if found is None:
            raise HostError(f"{self.program} is not installed", f"apt-get install {self.package}")
        return found

    def unavailable(self) -> str | None:
        """Why it can't run here."""
        try:
            self.path()
        except HostError as error:
            return f"{error.message}: {error.hint}"
        return None

    def version(self) -> str:
        """As the program itself says it."""
        command = [self.path(), self.version_option]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"\d+\.\d+[.\d]*", done.stdout + done.stderr)
        return found[0] if found else "unknown"
