"""``make bench``: how fast records get from the kernel to disk, and into the recording.

**Drain**: the same BPF program makes the same records, into herd's lanes (herd/probes/bpf/lanes.c) and into
the kernel's ring buffer; timed is what it takes to get all of them into a file, by herd's reader and by bcc's
callback in Python, in turn. The callback does no more than that: it writes the bytes to a buffered file.

**Flow**: the program runs on one CPU, paced or as fast as it can, while herd's reader, on another CPU, drains
the lanes at the probe process's pace. What the program made must be what was kept and what found no place.

**End**: ``herd run`` under as much load as two processes make: how long after its last event the recording
has its name. As root, on an idle machine:

    make bench                                           # writes the table into docs/performance.md
    .venv/bin/python benchmarks/recording.py --turns 1 --print
    .venv/bin/python benchmarks/recording.py --turns 3 --json --no-end
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import functools
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from _bench import output
from _page import machine, options, spread, write

from herd import bpf, probes
from herd.host.bcc import bcc_version, find_bcc, import_bcc
from herd.host.headers import use_kernel_headers
from herd.loader import cache
from herd.loader.loaded import Loaded
from herd.loader.maps import possible_cpus
from herd.probes.events import EVENT, KIND_WAKEUP, kinds
from herd.probes.lanes import Lanes
from herd.probes.main import SHORTEST_S
from herd.probes.session import lane_bits
from herd.recording.read import Recording

HERE: Final = Path(__file__).parent
BPF: Final = Path(probes.__file__).parent / "bpf"
CPUS: Final = possible_cpus()
BITS: Final = lane_bits(CPUS)
RING_PAGES: Final = 8192  # 32 MiB: a record has 8 bytes more there
BATCH: Final = 1000  # records a call of the program
FILL: Final = (1 << BITS) * 9 // 10 // BATCH * BATCH  # records: most of a lane
RECORDED: Final = "tables, laws: the recording"
RATES: Final = (
    1_000_000,
    3_000_000,
    0,
)  # records/s that are asked for; 0: all that the kernel can make
TINY_BITS: Final = 6

Flow = dict[str, float]


def program_text(emit: Path) -> str:
    """C: a producer.

    :param emit: where it puts its records
    """
    parts = (BPF / "event.h", emit, HERE / "producer.c")
    return "".join(f'#line 1 "{part.name}"\n{part.read_text()}' for part in parts)


def load(bits: int) -> tuple[Loaded, Lanes]:
    """The producer, with the probes' lanes.

    :param bits: a lane has ``2**bits`` places
    """
    defines = {"CPUS": str(CPUS), "LANE_BITS": str(bits), "BATCH": str(BATCH)}
    loaded = Loaded(cache.get(program_text(BPF / "lanes.c"), defines))
    maps = loaded.maps
    return loaded, Lanes(maps["lanes"].fd, maps["records"].fd, CPUS, bits)


@dataclass(frozen=True)
class Reader:
    """Someone who drains a ring to a file.

    :param program: fills it
    :param drain: returns when the ring is empty, and all is written
    """

    program: int
    drain: Callable[[], object]


def herd_reader(out: int) -> Reader:
    """As the probe process does it."""
    loaded, lanes = load(BITS)
    return Reader(loaded.fds["walk__produce"], functools.partial(lanes.drain, out))


def bcc_reader(out: int) -> Reader:
    """A callback a record, the way that bcc's tools have it; it returns 0, which spares bcc an exception."""
    use_kernel_headers()
    bcc = import_bcc()
    flags = [f"-DRING_PAGES={RING_PAGES}", f"-DBATCH={BATCH}"]
    kernel = bcc.BPF(text=program_text(HERE / "ringbuf.c"), cflags=flags)
    program = kernel.load_func("walk__produce", bcc.BPF.RAW_TRACEPOINT)
    file = open(out, "wb", closefd=False)  # noqa: SIM115

    def keep(_context: object, data: int, size: int) -> int:
        file.write(ctypes.string_at(data, size))
        return 0

    def drain() -> None:
        kernel.ring_buffer_consume()
        file.flush()

    kernel["events"].open_ring_buffer(keep)
    return Reader(program.fd, drain)


READERS: Final = {"herd": herd_reader, "bcc": bcc_reader}
#: Of what each writes beside the records: herd's says that it had them all.
MORE: Final = {"herd": 1, "bcc": 0}


def drain_rates(turns: int, folder: Path) -> dict[str, list[float]]:
    """Records/s of each reader, in turn."""
    outs = {name: os.open(folder / name, os.O_WRONLY | os.O_CREAT) for name in READERS}
    readers = {name: make(outs[name]) for name, make in READERS.items()}
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(-1, turns):
        for name, reader in readers.items():
            rate = _drain_once(reader, outs[name], (FILL + MORE[name]) * EVENT.itemsize)
            if turn >= 0:  # the first warms up
                rates[name].append(rate)
    return rates


def _drain_once(reader: Reader, out: int, expected: int) -> float:
    os.ftruncate(out, 0)
    os.lseek(out, 0, os.SEEK_SET)
    for _ in range(FILL // BATCH):
        bpf.run(reader.program, 0)
    begin = time.perf_counter()
    reader.drain()
    seconds = time.perf_counter() - begin
    assert os.fstat(out).st_size == expected
    return FILL / seconds


def flow(rate: int, seconds: float, folder: Path, bits: int = BITS) -> Flow:
    """Let one CPU produce, and another drain.

    :param rate: records/s; 0: as many as the kernel makes
    :returns: ``asked``, ``made`` as the producer counts them, ``produced`` and ``lost`` as the kernel does,
        ``kept``, the ``rate`` that was reached, and the reader's share of a CPU
    """
    loaded, lanes = load(bits)
    writer, cpus = loaded.fds["walk__produce"], sorted(os.sched_getaffinity(0))
    receiver, sender = multiprocessing.Pipe(duplex=False)
    arguments = (writer, rate, seconds, cpus[0], sender)
    process = multiprocessing.get_context("fork").Process(target=_produce, args=arguments)
    out = os.open(folder / "flow", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with contextlib.closing(loaded), _pinned(cpus[-1]):
        process.start()
        began = time.process_time()
        while not receiver.poll(SHORTEST_S):
            lanes.drain(out)
        lanes.drain(out)
        busy = time.process_time() - began
        made, took = receiver.recv()
        process.join()
        found = {"made": made, **lanes.account(), "kept": lanes.kept}
    os.close(out)
    records = np.fromfile(folder / "flow", EVENT)
    assert np.count_nonzero(kinds(records) == KIND_WAKEUP) == lanes.kept
    return {"asked": rate, **found, "rate": made / took, "reader": busy / took}


@contextlib.contextmanager
def _pinned(cpu: int) -> Any:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _produce(program: int, rate: int, seconds: float, cpu: int, report: Any) -> None:
    os.sched_setaffinity(0, {cpu})
    period = BATCH / rate if rate else 0.0
    begin = time.perf_counter()
    calls = 0
    while (now := time.perf_counter() - begin) < seconds:
        if now >= calls * period:
            bpf.run(program, 0)
            calls += 1
    report.send((calls * BATCH, time.perf_counter() - begin))


def end(connections: int, folder: Path, *options: str) -> dict[str, float]:
    """One ``herd run``, in a network namespace of its own; seconds, until its last event and after."""
    where = folder / "run"
    run = ["-m", "herd", "run", "-s", "epoll", "-n", "32", "-c", str(connections), "-q"]
    load = ["--pattern", "closed", "--load-processes", "2", *options, "--output", str(where)]
    inside = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, *run, *load]
    output(["unshare", "-n", *inside])
    # Its folder changed last when it was given its name, or then a picture.
    changed_ns = max(path.stat().st_ctime_ns for path in (where, *where.glob("overview.*")))
    published_ns = changed_ns - (time.time_ns() - time.monotonic_ns())
    recording = Recording(where)
    last_ns = int(recording.table("wakeups", ["slept_ns"])["slept_ns"].max())
    found = {
        "events": recording.run["probe"]["kept"],
        "run": (last_ns - recording.run["begin_ns"]) / 1e9,
        "after": (published_ns - last_ns) / 1e9,
    }
    shutil.rmtree(where)
    return found


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    """All that was asked for: ``drain``, ``flow``, ``end``."""
    with tempfile.TemporaryDirectory(prefix="herd-benchmark-") as scratch:
        folder = Path(scratch)
        found: dict[str, Any] = {"drain": drain_rates(asked.turns, folder)}
        found["flow"] = [
            [flow(rate, asked.seconds, folder) for rate in RATES] for _ in range(asked.turns)
        ]
        found["tiny"] = flow(0, asked.seconds / 4, folder, TINY_BITS)
        if asked.end:
            found["end"] = {
                label: [end(asked.connections, folder, *options) for _ in range(asked.turns)]
                for label, options in ((RECORDED, ["--no-picture"]), ("and drawn", []))
            }
    return found


def show(found: dict[str, Any], turns: int) -> str:
    """The tables of docs/performance.md."""
    where = find_bcc()
    programs = [f"bcc {bcc_version(where)}"] if where else []
    drain = found["drain"]
    ratios = [a / b for a, b in zip(drain["herd"], drain["bcc"], strict=True)]
    lines = [
        f"{machine(*programs)} {turns} turns. Median (lowest to highest).",
        "",
        "| drained to a file | records/s | compared, turn by turn |",
        "|---|---|---|",
        f"| bcc, callback in Python | {spread(drain['bcc'], ',.0f')} |  |",
        f"| herd | {spread(drain['herd'], ',.0f')} | {spread(ratios, '.0f')} × bcc; goal ≥ 10 |",
        "",
        "| made on one CPU, drained on the other | records/s | lost | the reader's share of its CPU |",
        "|---|---|---|---|",
    ]
    lines += [_flow_row(list(turn)) for turn in zip(*found["flow"], strict=True)]
    if "end" in found:
        lines += [
            "",
            "| a run's end | events | the run, s | since the last event |",
        ]
        lines += ["|---|---|---|---|", *(_end_row(*row) for row in found["end"].items())]
    return "\n".join(lines)


def _flow_row(turns: list[Flow]) -> str:
    asked = f"{turns[0]['asked']:,.0f}/s" if turns[0]["asked"] else "as many as the kernel makes"
    rate, lost, share = (
        spread(values, form)
        for values, form in (
            ([turn["rate"] for turn in turns], ",.0f"),
            ([turn["lost"] / turn["made"] for turn in turns], ".1%"),
            ([turn["reader"] for turn in turns], ".0%"),
        )
    )
    return f"| {asked} | {rate} | {lost} | {share} |"


def _end_row(label: str, turns: list[dict[str, float]]) -> str:
    shares = [turn["after"] / turn["run"] for turn in turns]
    events, run, after = (
        spread([turn[what] for turn in turns], form)
        for what, form in (("events", ",.0f"), ("run", ".1f"), ("after", ".2f"))
    )
    goal = "; goal ≤ 20%" if label == RECORDED else ""
    return f"| {label} | {events} | {run} | {after} s: {spread(shares, '.0%')}{goal} |"


def main() -> None:
    """Measure, check the account, print, and write."""
    parser = options(__doc__)
    parser.add_argument("--turns", type=int, default=7, help="of each (default: 7)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a flow (2)")
    parser.add_argument("--connections", type=int, default=40_000, help="of a run (40000)")
    parser.add_argument("--no-end", action="store_false", dest="end", help="leave the runs out")
    parser.add_argument(
        "--json", action="store_true", help="print the numbers; don't write the page"
    )
    asked = parser.parse_args()
    found = measure(asked)
    for one in [*(one for turn in found["flow"] for one in turn), found["tiny"]]:
        if not one["made"] == one["produced"] == one["kept"] + one["lost"]:
            sys.exit(f"records are unaccounted for: {one}")
    if asked.json:
        print(json.dumps(found))
        return
    tables = show(found, asked.turns)
    print(tables)
    if not asked.only:
        write("recording", tables)


if __name__ == "__main__":
    main()
