"""A run, stage by stage: probe, pool, load, stop, collect. Each is ready before the next begins."""

from __future__ import annotations

import importlib
import os
import select
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Final

from herd import area, counters, families, limits, strategies
from herd.config import AUTO, RunConfig, as_dict, cpus
from herd.crew import Crew
from herd.errors import HerdError, HostError
from herd.facts import Facts, ProbeFacts
from herd.lives import Lives
from herd.observe.listeners import Listener, listening
from herd.observe.waitqueue.snapshots import Snapshots
from herd.pool.log import LAYOUT as POOL_LAYOUT
from herd.pool.settle import Sleepers
from herd.process import Child, ChildFailed
from herd.recording import write
from herd.recording.read import Recording
from herd.strategies import find as find_strategy
from herd.strategies import reference
from herd.supervisor import Supervisor
from herd.traffic.log import LAYOUT as LOAD_LAYOUT
from herd.traffic.log import pause_note, paused_s

_START_DELAY_NS: Final = 5_000_000
_SETTLE_S: Final = 2.0
_COLLECT_S: Final = 30.0
#: In pieces, of which none takes long: 0.3 s, and 0.5 s.
_NEEDED_AT_THE_END: Final = ("numpy", "pandas", "pyarrow.parquet", "herd.recording.collect")
_NEEDED_BY_PICTURES: Final = ("matplotlib.figure", "scipy.special", "herd.plots.overview")

#: Called with what is being done, how much of it is done, and how much there is (0: not known).
Progress = Callable[[str, int, int], None]


def run(
    config: RunConfig,
    progress: Progress = lambda what, done, total: None,
    *,
    picture: bool = True,
    crew: Crew | None = None,
) -> Recording:
    """Run an experiment and return its recording.

    :param picture: draw ``overview.png`` and ``.svg`` into it
    :param crew: probes that have served, or will serve, another run, too; by default it has its own
    :raises HerdError: nothing was started, or (with the recording kept) the run ended early
    """
    config = config.resolved()
    why_not = strategies.unavailable(config.strategy)
    if why_not:
        raise HostError(f"strategy {config.strategy} cannot run here: {why_not}", "herd strategies")
    if config.tokens:
        # Only then: it writes tables, and the probes needn't wait for what that imports.
        from herd.tokens import runner as tokens

        return tokens.run(config, progress)
    limits.check(config)
    directory, aside = write.place(config.output, config.label)
    if crew is not None:
        return _Run(config, directory, aside, progress, picture, crew).run()
    with Crew(config.probes, config.workers) as own:
        return _Run(config, directory, aside, progress, picture, own).run()


class _Run:
    """The state of one run. The methods stand in the order in which they are called."""

    def __init__(
        self,
        config: RunConfig,
        directory: Path,
        aside: Path,
        progress: Progress,
        picture: bool,
        crew: Crew,
    ) -> None:
        from herd.host.metadata import metadata

        self._config = config
        self._directory = directory
        self._aside = aside
        self._progress = progress
        self._picture = picture
        prediction = asdict(strategies.predict(config.strategy, config.options, config.workers))
        now = datetime.now().astimezone().isoformat()
        logs = find_strategy(config.strategy).logs
        self._facts = Facts(as_dict(config), prediction, metadata(), now, logs)
        assert config.connections is not None
        assert config.timeout_s is not None
        self._host = config.host or families.abstract_name()
        self._connections = config.connections
        self._per_load = -(-config.connections // config.load_processes)
        self._pool_fd = area.create("herd-pool", POOL_LAYOUT, self._connections, config.workers)
        self._load_fd = area.create("herd-load", LOAD_LAYOUT, self._per_load, config.load_processes)
        self.pool_areas = area.share(self._pool_fd, POOL_LAYOUT, self._connections, config.workers)
        self.load_areas = area.share(
            self._load_fd, LOAD_LAYOUT, self._per_load, config.load_processes
        )
        self._supervisor = Supervisor(config.timeout_s)
        self._snapshots = Snapshots(config.snapshot, self._supervisor)
        self._crew = crew
        self._pool: Child | None = None
        self._loads: list[Child] = []

    def run(self) -> Recording:
        """Everything."""
        with self._supervisor:
            try:
                self._measure()
            finally:
                self._stop_children()
                os.close(self._pool_fd)
                os.close(self._load_fd)
            return self._write()

    def _measure(self) -> None:
        try:
            self._start()
        except BaseException:
            # Nothing was recorded: leave no trace.
            shutil.rmtree(self._aside, ignore_errors=True)
            self._crew.stop()
            raise
        try:
            self._send()
        except HerdError as error:
            self._facts.ended_by = error
        self._supervisor.forgive(_COLLECT_S)
        try:
            self._collect()
        except HerdError as error:
            self._facts.ended_by = self._facts.ended_by or error

    def _children(self) -> list[Child]:
        helpers = [*self._crew.children, *self._snapshots.children]
        return [*helpers, *([self._pool] if self._pool else []), *self._loads]

    def _unready(self) -> list[Child]:
        """Those whose word the start waits for."""
        probes = [] if self._crew.attached else self._crew.children
        return [*probes, *([self._pool] if self._pool else [])]

    def _listeners(self) -> list[Listener]:
        return [found for found in listening() if found.cookie in self._facts.cookies]

    # -- start ------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._progress("starting", 0, 0)
        self._crew.start()
        self._snapshots.start()
        self._spawn_pool()
        self._spawn_loads()
        _preload(self._picture, self._unready())
        self._attach()
        self._ready_pool()
        self._ready_loads()
        self._watch()
        assert self._pool is not None
        self._pool.channel.send({"do": "go"})
        self._supervisor.expect("waiting", [self._pool], self._children())
        self._snapshots.take("before", self._listeners)

    def _spawn_pool(self) -> None:
        config = self._config
        self._pool = Child("pool", "herd.pool.main", [self._pool_fd])
        self._lives = Lives(config, self._facts, self._pool, self.pool_areas, self.load_areas)
        self._supervisor.on_death = self._lives.note_death
        self._pool.channel.send(
            {
                "strategy": reference(config.strategy),
                "options": config.options,
                "pool": config.pool,
                "workers": config.workers,
                "family": config.family,
                "host": self._host,
                "port": config.port,
                "backlog": config.backlog,
                "work_us": config.work_us,
                "hold_s": config.hold_s,
                "block_s": config.block_s,
                "block_every": config.block_every,
                "batch": config.batch,
                "cpus": cpus(config.pin.workers),
                "area_fd": self._pool_fd,
                "capacity": self._connections,
            }
        )

    def _spawn_loads(self) -> None:
        fds = [self._pool_fd, self._load_fd]
        self._loads = [
            Child(f"load {i}", "herd.traffic.main", fds) for i in range(self._config.load_processes)
        ]

    def _attach(self) -> None:
        crew = self._crew
        if not crew.children:
            self._facts.notes.append("wakeups are unknown: --probe none was asked for")
            return
        try:
            if not crew.attached:
                crew.attached = self._supervisor.expect("attached", crew.children, self._children())
        except (HostError, ChildFailed) as error:
            if self._config.probe != AUTO:
                raise
            self._do_without(error)
            return
        for said in crew.attached:
            mode = said["mode"]
            facts = ProbeFacts(mode, raw=f"events-{mode}.raw", functions=said["functions"])
            self._facts.probes.append(facts)
            self._facts.notes += said["notes"]
        for probe, facts in zip(crew.children, self._facts.probes, strict=True):
            probe.channel.send({"do": "record", "events": str(self._aside / facts.raw)})
        self._supervisor.expect("recording", crew.children, self._children())

    def _do_without(self, error: HerdError) -> None:
        note = f"wakeups are unknown: {error.message.splitlines()[0]}"
        self._facts.notes.append(f"{note}; try: {error.hint}" if error.hint else note)
        self._crew.stop()

    def _ready_pool(self) -> None:
        assert self._pool is not None
        [ready] = self._supervisor.expect("ready", [self._pool], self._children())
        self._facts.port = ready["port"]
        self._facts.pids = ready["tids"]
        self._facts.cookies = ready["cookies"]

    def _ready_loads(self) -> None:
        config = self._config
        for index, load in enumerate(self._loads):
            share = len(range(index, self._connections, config.load_processes))
            load.channel.send(
                {
                    "family": config.family,
                    "host": self._host,
                    "port": self._facts.port,
                    "sources": limits.sources(config),
                    "connections": share,
                    "duration": config.duration_s,
                    "hold_s": config.hold_s,
                    "pattern": config.pattern,
                    "rate": config.rate_number,
                    "pattern_options": config.pattern_options,
                    "seed": config.seed,
                    "payload": find_strategy(config.strategy).request.hex(),
                    "logs": self._facts.logs,
                    "index": index,
                    "processes": config.load_processes,
                    "cpus": cpus(config.pin.load),
                    "area_fd": self._load_fd,
                    "capacity": self._per_load,
                    "pool_fd": self._pool_fd,
                    "pool_capacity": self._connections,
                    "pids": self._facts.pids,
                }
            )
        self._supervisor.expect("ready", self._loads, self._children())

    def _watch(self) -> None:
        listeners = list(dict.fromkeys(self._facts.cookies))
        order = {
            "do": "watch",
            "tids": self._facts.pids,
            "cookies": listeners,
            "unix": self._config.family == "unix",
        }
        for probe in self._crew.children:
            probe.channel.send(order)
        self._supervisor.expect("watching", self._crew.children, self._children())

    # -- run --------------------------------------------------------------------------------------

    def _send(self) -> None:
        facts = self._facts
        facts.counters_before = facts.counters_after = counters.snapshot()
        facts.begin_ns = time.monotonic_ns() + _START_DELAY_NS
        facts.end_ns = facts.begin_ns
        for load in self._loads:
            load.channel.send({"do": "go", "begin": facts.begin_ns})
        try:
            self._supervisor.expect("finished", self._loads, self._children(), self._tick)
            self._lives.check_answers()
            self._settle()
            self._snapshots.take("after", self._listeners)
        finally:
            facts.end_ns = time.monotonic_ns()
            facts.counters_after = counters.snapshot()

    def _tick(self) -> None:
        done_now = sum(load["finished"] for load in self.load_areas)
        if 0 < done_now < self._connections:
            self._snapshots.take("during", self._listeners)
        self._lives.check()
        if self._config.duration_s:
            passed_s = (time.monotonic_ns() - self._facts.begin_ns) / 1e9
            done = max(0, min(self._config.duration_s, passed_s))
            self._progress("seconds", int(done), int(self._config.duration_s))
        else:
            self._progress("connections", done_now, self._connections)

    def _settle(self) -> None:
        """Let the last connection's workers lie down, so that their wakeups end inside the recording."""
        sleepers = Sleepers(self._facts.pids)
        sleepers.wait(_SETTLE_S)
        sleepers.close()

    # -- stop -------------------------------------------------------------------------------------

    def _collect(self) -> None:
        self._progress("collecting", 0, 0)
        if self._facts.ended_by:
            for load in self._loads:
                load.channel.send({"do": "stop"})
        for probe, facts in zip(self._crew.children, self._facts.probes, strict=True):
            self._stop_probe(probe, facts)
        self._stop_pool()

    def _stop_probe(self, probe: Child, facts: ProbeFacts) -> None:
        probe.channel.send({"do": "stop"})
        try:
            [stopped] = self._supervisor.expect("stopped", [probe], [])
        except HerdError as error:
            self._facts.ended_by = self._facts.ended_by or error
            return
        facts.produced, facts.kept, facts.lost = (stopped[k] for k in ("produced", "kept", "lost"))
        facts.calls = stopped["calls"]
        self._facts.notes += stopped["findings"]

    def _stop_pool(self) -> None:
        assert self._pool is not None
        self._pool.channel.send({"do": "stop"})
        [stopped] = self._supervisor.expect("stopped", [self._pool], [])
        for ended in stopped["ended"]:
            self._lives.note_exit(ended)

    def _stop_children(self) -> None:
        for child in [*self._loads, *([self._pool] if self._pool else [])]:
            child.stop()
        self._snapshots.stop()
        if self._facts.ended_by:
            self._crew.stop()  # what a probe may still say is no other run's business
        self._facts.attempted = sum(load["started"] for load in self.load_areas)
        self._facts.missed = sum(load["missed"] for load in self.load_areas)
        if self._facts.missed:
            self._facts.notes.append(
                f"the load fell behind: {self._facts.missed} connections were due and not started"
            )
        if self.load_areas and (paused := paused_s(self.load_areas)):
            self._facts.notes.append(pause_note(paused))

    # -- write ------------------------------------------------------------------------------------

    def _write(self) -> Recording:
        from herd.recording import collect

        self._progress("writing", 0, 0)
        try:
            recording = self._write_to(self._directory, self._aside)
        except OSError as error:
            recording = self._rescue(error)
        not_drawn = collect.draw(recording) if self._picture else None
        if self._facts.ended_by:
            raise write.kept(self._facts.ended_by, recording)
        if not_drawn:
            raise not_drawn
        return recording

    def _write_to(self, directory: Path, aside: Path) -> Recording:
        from herd.recording import collect

        self._snapshots.write(aside)
        collect.write_tables(aside, self._aside, self._facts, self.pool_areas, self.load_areas)
        return collect.finish(aside, directory, self._facts.as_json())

    def _rescue(self, error: OSError) -> Recording:
        """The recording could not be written where it should: write it where temporary files go."""
        why = write.disk_full(error, self._directory)
        self._facts.ended_by = self._facts.ended_by or why
        refuge = Path(tempfile.mkdtemp(prefix="herd-"), self._directory.name)
        try:
            recording = self._write_to(refuge, write.reserve(refuge))
        except OSError as again:
            raise write.disk_full(again, refuge) from again
        shutil.rmtree(self._aside, ignore_errors=True)
        return recording


def _preload(picture: bool, awaited: list[Child]) -> None:
    """Import what the end needs now, until all ``awaited`` have spoken: it costs no time while they start."""
    for module in (*_NEEDED_AT_THE_END, *(_NEEDED_BY_PICTURES if picture else ())):
        channels = [child.channel for child in awaited]
        if len(select.select(channels, [], [], 0)[0]) == len(channels):
            return
        importlib.import_module(module)
