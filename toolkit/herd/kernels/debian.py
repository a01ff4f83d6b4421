"""Fetches and unpacks Debian's kernel packages: nothing is installed, apt's own lists stay as they are."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from herd.errors import HerdError, HostError
from herd.kernels import catalog
from herd.kernels.catalog import Kernel

_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
#: Where a kernel may be found beside the suites of the host's own release, newest last.
_SUITES: Final = ("bookworm", "bookworm-backports", "trixie", "trixie-backports")

Say = Callable[[str], None]


class _Apt:
    """apt with lists and settings of its own, for one suite of the mirror that the host uses."""

    def __init__(self, folder: Path, uri: str, suite: str) -> None:
        for name in ("lists/partial", "cache/archives/partial", "parts"):
            (folder / name).mkdir(parents=True)
        source = folder / "sources.list"
        source.write_text(f"deb [arch={_architecture()} signed-by={_KEYRING}] {uri} {suite} main\n")
        settings = {
            "Dir::Etc::sourcelist": source,
            "Dir::Etc::sourceparts": folder / "parts",
            "Dir::Etc::preferencesparts": folder / "parts",
            "Dir::State::Lists": folder / "lists",
            "Dir::Cache": folder / "cache",
            "Acquire::Languages": "none",
            "APT::Sandbox::User": "root",
        }
        self._options = [f"-o{name}={value}" for name, value in settings.items()]
        self._folder = folder

    def __call__(self, program: str, *args: str) -> str:
        return _run([program, *self._options, *args], self._folder)


def install(series: str, say: Say = lambda line: None) -> Kernel:
    """Fetch the kernel of a series, such as ``6.12``, unless it is there.

    :raises HostError: this host has no apt, or no suite of Debian has that series
    """
    with contextlib.suppress(HostError):  # not installed yet
        return catalog.find(series)
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise HostError(
            "kernels are fetched with apt-get and dpkg-deb, which this host has not",
            f"unpack one yourself, so that {catalog.folder()}/NAME/boot/vmlinuz-RELEASE is there",
        )
    with tempfile.TemporaryDirectory(prefix="herd-apt-") as scratch:
        for suite, apt in _suites(Path(scratch), say):
            package = _package(apt)
            if package and _series(package) == series:
                say(f"{suite} has {package}: downloading")
                return _unpack(apt, package, Path(scratch), say)
    raise HostError(
        f"no Debian suite of {', '.join(_SUITES)} has a kernel {series}", "herd kernels"
    )


def _suites(scratch: Path, say: Say) -> Iterator[tuple[str, _Apt]]:
    uri = _mirror()
    for suite in _SUITES:
        apt = _Apt(scratch / suite, uri, suite)
        say(f"looking in {suite}")
        try:
            apt("apt-get", "-q", "update")
        except HerdError as error:
            say(f"{suite} can't be read: {error.message.splitlines()[-1]}")
            continue
        yield suite, apt


def _package(apt: _Apt) -> str | None:
    """What the suite's meta-package depends on: its current kernel."""
    depends = apt("apt-cache", "depends", f"linux-image-{_architecture()}")
    match = re.search(r"Depends: (linux-image-\d\S+)", depends)
    return match[1] if match else None


def _series(package: str) -> str:
    match = re.match(r"linux-image-(\d+\.\d+)", package)
    return match[1] if match else ""


def _unpack(apt: _Apt, package: str, scratch: Path, say: Say) -> Kernel:
    apt("apt-get", "-q", "download", package)
    [archive] = scratch.glob(f"*/{package}_*.deb")
    release = package.removeprefix("linux-image-")
    aside = catalog.partial(release)
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        say(f"unpacking into {catalog.folder() / release}")
        _run(["dpkg-deb", "-x", str(archive), str(aside)], scratch)
        aside.rename(catalog.folder() / release)
    except OSError as error:
        raise HerdError(f"cannot unpack {package}: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return catalog.find(release)


def _mirror() -> str:
    """The one that this host's own sources name."""
    listed = _run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], Path("/")
    )
    mirrors = [line for line in listed.split() if line.rstrip("/").endswith("/debian")]
    if not mirrors:
        raise HostError("this host's apt sources name no Debian mirror", "herd kernels --help")
    return mirrors[0]


def _architecture() -> str:
    return _run(["dpkg", "--print-architecture"], Path("/")).strip()


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise HerdError(f"{command[0]} failed ({' '.join(command[-2:])}):\n{last}")
    return done.stdout
