"""Runs of an experiment on the machines of a Dask cluster, one at a time on each.

Two runs at once on one machine would measure each other. So the runs are dealt out here, the next one to a
machine when it has ended one; a lock by the machine's name keeps those of another experiment away. A Dask
resource would need every worker to be started with it, and can't be shared by two workers of one machine.
"""

from __future__ import annotations

import io
import logging
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from herd import __version__
from herd.errors import HerdError, HostError, from_message
from herd.experiments.local import Note
from herd.experiments.sweep import Run, configured
from herd.recording import write

_CONNECT_S: Final = 10.0


def perform(address: str, runs: Sequence[Run], folder: Path, note: Note) -> None:
    """Do them, and bring the recordings back.

    :param address: of the scheduler, such as ``tcp://10.0.0.1:8786``
    :param folder: a recording is put into it under the run's name
    :raises HostError: there is no such scheduler, it has no workers, or they have no herd of this version
    """
    waiting = iter(runs)
    with _client(address) as client:
        from distributed import as_completed

        running: dict[Any, tuple[Run, str]] = {}
        ended = as_completed()

        def send(worker: str) -> None:
            run = next(waiting, None)
            if run is not None:
                future = client.submit(
                    work,
                    _settings(run),
                    workers=[worker],
                    allow_other_workers=True,  # where that one dies
                    pure=False,
                )
                running[future] = run, worker
                ended.add(future)

        for worker in _one_a_machine(client, address):
            send(worker)
        for future in ended:
            run, worker = running.pop(future)
            note(run, _receive(future, folder / run.name))
            send(worker)


@contextmanager
def _client(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        raise HostError(
            "--scheduler needs Dask's distributed, which is not installed",
            "pip install 'herd[dask]'",
        ) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # errors are told once, by us
    try:
        client = Client(address, timeout=_CONNECT_S)
    except (OSError, ValueError) as error:
        raise HostError(
            f"no Dask scheduler answers at {address}: {str(error) or type(error).__name__}",
            "start one: dask scheduler; and on each machine: dask worker ADDRESS --nthreads 1",
        ) from error
    with client:
        yield client


def _one_a_machine(client: Any, address: str) -> list[str]:
    """A worker of each machine; several workers of one would be in each other's way."""
    if not client.scheduler_info()["workers"]:
        raise HostError(
            f"the Dask scheduler at {address} has no workers",
            f"on each machine, as root: dask worker {address} --nthreads 1",
        )
    try:
        said = client.run(hello)
    except Exception as error:  # whatever another machine raises
        raise HostError(
            f"a worker of {address} cannot import herd: {error}",
            f"install herd {__version__} there",
        ) from error
    for worker, (_, version) in said.items():
        if version != __version__:
            raise HostError(
                f"worker {worker} has herd {version}, and this is {__version__}",
                "install the same one everywhere",
            )
    return list({machine: worker for worker, (machine, _) in said.items()}.values())


def hello() -> tuple[str, str]:
    """On a worker: which machine this is, and its version of herd.

    :returns: ``boot_id``: containers on one machine have the same, and are in each other's way, too
    """
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip(), __version__


def _settings(run: Run) -> dict[str, Any]:
    from herd.config import as_dict

    settings = as_dict(configured(run, ""))
    return {key: value for key, value in settings.items() if value is not None and key != "output"}


def work(settings: dict[str, Any]) -> tuple[dict[str, Any] | None, bytes | None]:
    """On a worker: do a run in a fresh interpreter, while no other one is done on this machine.

    :returns: its error, if there is one; its recording, if there is one
    """
    from distributed import Lock

    from herd.api import run

    error: HerdError | None = None
    with Lock(f"herd-{hello()[0]}"), tempfile.TemporaryDirectory(prefix="herd-") as scratch:
        output = Path(scratch, "run")
        try:
            run(check=False, picture=False, output=str(output), **settings)
        except HerdError as raised:
            error = raised
        return error.as_message() if error else None, pack(output) if output.exists() else None


def _receive(future: Any, directory: Path) -> HerdError | None:
    """Put a recording in its place."""
    try:
        said, packed = future.result()
    except Exception as error:  # whatever the cluster raises: the worker died, or was taken away
        return HerdError(f"the cluster could not do it: {error}")
    if packed is not None:
        aside = write.reserve(directory)
        unpack(packed, aside)
        write.publish(aside, directory)
    return from_message(said) if said else None


def pack(directory: Path) -> bytes:
    """A folder as one ZIP; Parquet is compressed already."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(directory.rglob("*")):
            archive.write(path, path.relative_to(directory))
    return file.getvalue()


def unpack(packed: bytes, directory: Path) -> None:
    """The same folder again; a name in it can't lead out of it (zipfile sees to that)."""
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        archive.extractall(directory)
