"""The workers' parent: small, single-threaded, forks them all and watches them.

Speaks JSON lines with the controller. It is told ``{...spec}``, ``{"do": "go"}``, ``{"do": "stop"}``, and
says ``ready``, ``waiting``, ``died`` and ``stopped``.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import select
import signal
import socket
import time
from typing import Final

from herd.area import Area, share
from herd.errors import HerdError
from herd.pool.life import GO, Home, Plan, signal_thread
from herd.pool.log import LAYOUT, SERVING
from herd.pool.processes import Processes
from herd.pool.program import blocked_in, signal_group, waits
from herd.pool.settle import Sleepers
from herd.pool.threads import Threads
from herd.pool.usage import Usage, note_end, note_start
from herd.pool.worker import Worker
from herd.process import Channel, Message, describe_exit, serve
from herd.strangers import guarded
from herd.strategies import Listen, Strategy, load

_PATIENCE_S: Final = 10.0
_HOMES: Final[dict[str, type[Home]]] = {"processes": Processes, "threads": Threads}
_PROGRAM: Final = "a worker's program must wait for connections on descriptor 0, in its main thread"


class Pool:
    """The workers of one run."""

    def __init__(self, spec: Message, channel: Channel) -> None:
        self._spec = spec
        self._channel = channel
        self._listen = Listen(spec["host"], spec["port"], spec["backlog"], spec["family"])
        found = load(spec["strategy"])
        self._name = found.name
        with guarded(f"strategy {self._name} cannot be made", HerdError):
            self._strategy: Strategy = found(spec["options"])
        self._areas = share(spec["area_fd"], LAYOUT, spec["capacity"], spec["workers"])
        self.tids: list[int] = []
        self._alive: dict[int, list[int]] = {}  #: processes, and the workers that live in each
        self._closed = False

    def start(self) -> None:
        """Open the port and fork the workers, one after the other: they register in their order."""
        self.listener = self.open()
        told, tell = os.pipe()
        plan = Plan(self._strategy, self.make_worker, self._areas, self._spec["cpus"], tell)
        home = _HOMES[self._spec["pool"]](plan)
        signal.pthread_sigmask(signal.SIG_BLOCK, {GO, signal.SIGTERM})
        gc.freeze()  # what is there now stays shared: a collection in a worker would copy its pages
        for index in range(self._spec["workers"]):
            self._alive.setdefault(home.spawn(index), []).append(index)
            self._await_ready(index, told)
            self.tids.append(self._areas[index]["pid"])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {GO, signal.SIGTERM})
        os.close(told)
        os.close(tell)

    def open(self) -> socket.socket:
        """What the workers inherit."""
        with guarded(f"strategy {self._name} failed in open", HerdError):
            listener = self._listening()
        self._listen = self._listen.on(listener)
        return listener

    def _listening(self) -> socket.socket:
        try:
            return self._strategy.open(self._listen)
        except OSError as error:
            hint = None
            if error.errno == errno.EADDRINUSE:
                hint = f"choose another --port, or see who has it: ss -ltnp sport = :{self._listen.port}"
            raise HerdError(f"cannot listen on {self._listen}: {error.strerror}", hint) from error

    def make_worker(self, index: int) -> Worker:
        """In a worker."""
        spec = self._spec
        return Worker(
            index,
            spec["workers"],
            self._listen,
            self.listener,
            self._areas[index],
            work_us=spec["work_us"],
            hold_s=spec["hold_s"],
            block_s=spec["block_s"],
            block_every=spec["block_every"],
            batch=spec["batch"],
            blocks=self._strategy.blocks_in_accept,
        )

    def _await_ready(self, index: int, told: int) -> None:
        if not select.select([told], [], [], _PATIENCE_S)[0]:
            raise HerdError(
                f"strategy {self._name}: worker {index} was not ready after {_PATIENCE_S:.0f} s:"
                " it hangs in prepare"
            )
        text = os.read(told, 4096).decode(errors="replace").strip()
        if text:
            raise HerdError(f"strategy {self._name}: worker {index} could not start: {text}")

    @property
    def port(self) -> int:
        """Where they listen; 0 where there are no ports."""
        return self._listen.port

    def cookies(self) -> list[int]:
        """Each worker's listener, by worker; the same one for all where they share it."""
        return [area["cookie"] for area in self._areas]

    def go(self) -> None:
        """Let the workers wait, one after the other: the order of the queue is the workers' order."""
        order = [(index, pid) for pid, workers in self._alive.items() for index in workers]
        for index, pid in reversed(order) if self._strategy.waits_in_reverse else order:
            signal_thread(pid, self.tids[index], GO)
            if self._strategy.logs:
                self._await_worker(index)
            else:
                self._await_program(index, pid)

    def _await_worker(self, index: int) -> None:
        sleeper = Sleepers([self.tids[index]])
        deadline = time.monotonic() + _PATIENCE_S
        while self._areas[index]["state"] < SERVING and time.monotonic() < deadline:
            self._check_lives()
            time.sleep(0.0001)
        asleep = sleeper.wait(_PATIENCE_S)
        sleeper.close()
        if not asleep:
            raise HerdError(
                f"strategy {self._name}: worker {index} didn't wait for a connection within"
                f" {_PATIENCE_S:.0f} s: its serve runs on"
            )

    def _check_lives(self, hint: str | None = None) -> None:
        for died in self.reap():
            how = describe_exit(died["status"])
            raise HerdError(
                f"strategy {self._name}: {died['who']} {how} before it waited for a connection",
                hint,
            )

    def _await_program(self, index: int, pid: int) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not waits(pid):
            self._check_lives(_PROGRAM)
            if time.monotonic() > deadline:
                call = blocked_in(pid)
                does = "runs" if call is None else f"sleeps in system call {call}"
                raise HerdError(
                    f"worker {index} didn't wait for a connection within {_PATIENCE_S:.0f} s: it {does}",
                    _PROGRAM,
                )
            time.sleep(0.0005)
        note_start(self._areas[index], Usage.of_process(pid))

    def reap(self, told: signal.Signals | None = None) -> list[Message]:
        """Those that ended since the last call.

        :param told: what they were told to end by
        """
        died: list[Message] = []
        while self._alive:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            workers = self._alive.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if told and not self._strategy.logs:
                code = 0 if code == -signal.SIGTERM == -told else code
                self._note_program(self._areas[workers[0]], usage)
            now = time.monotonic_ns()
            news = {"who": _who(workers, pid), "workers": workers, "pid": pid, "status": code}
            died.append({"event": "died", "time_ns": now, **news})
        return died

    def _note_program(self, area: Area, usage: resource.struct_rusage) -> None:
        cpu_us = int(usage.ru_utime * 1e6) + int(usage.ru_stime * 1e6)
        note_end(area, Usage(cpu_us, usage.ru_nvcsw, usage.ru_nivcsw), usage)

    def obey(self, order: Message) -> None:
        """Do what the controller says."""
        if order["do"] == "go":
            self.go()
            self._channel.send({"event": "waiting"})
        elif order["do"] == "stop":
            self._channel.send({"event": "stopped", "ended": self.stop()})

    def stop(self, grace: float = 2.0) -> list[Message]:
        """End the workers: SIGTERM, and SIGKILL for one that doesn't; returns how each ended."""
        ended = self._signal_and_reap(signal.SIGTERM, grace)
        ended += self._signal_and_reap(signal.SIGKILL, grace)
        if not self._closed:
            self._closed = True
            with guarded(f"strategy {self._name} failed in close", HerdError):
                self._strategy.close()
        return ended

    def _signal_and_reap(self, number: signal.Signals, grace: float) -> list[Message]:
        for pid in list(self._alive):
            with contextlib.suppress(ProcessLookupError):
                (os.kill if self._strategy.logs else signal_group)(pid, number)
        ended = self.reap(number)
        deadline = time.monotonic() + grace
        while self._alive and time.monotonic() < deadline:
            time.sleep(0.002)
            ended += self.reap(number)
        return ended


def _who(workers: list[int], pid: int) -> str:
    """The process that they live in; that of one worker goes by its number."""
    shared = len(workers) > 1
    who = (
        f"the process of workers {workers[0]} to {workers[-1]}"
        if shared
        else f"worker {workers[0]}"
    )
    return f"{who} (pid {pid})"


def _watch(pool: Pool, channel: Channel, child_ended: int) -> None:
    while not channel.closed:
        select.select([channel.fileno(), child_ended], [], [])
        with contextlib.suppress(BlockingIOError):
            os.read(child_ended, 4096)
        for message in pool.reap():
            channel.send(message)
        while order := channel.receive():
            pool.obey(order)


def main(kind: type[Pool] = Pool) -> None:
    """Serve one run."""
    channel = serve()
    child_ended, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    spec = channel.receive(timeout=None)
    if spec is None:
        return
    pool = None
    try:
        pool = kind(spec, channel)
        pool.start()
        channel.send(
            {"event": "ready", "port": pool.port, "tids": pool.tids, "cookies": pool.cookies()}
        )
        _watch(pool, channel, child_ended)
    except HerdError as error:
        channel.send({"event": "failed", **error.as_message()})
    finally:
        if pool:
            pool.stop()


if __name__ == "__main__":
    main()
