"""The workers' parent: small, single-threaded, forks them all and watches them.

Speaks JSON lines with the controller. It is told ``{...spec}``, ``{"do": "go"}``, ``{"do": "stop"}``, and
says ``ready``, ``waiting``, ``died`` and ``stopped``.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import select
import signal
import socket
import time
from typing import Final

from herd.area import share
from herd.errors import HerdError
from herd.pool.log import LAYOUT, SERVING
from herd.pool.program import Start, blocked_in, record_usage, signal_group, waits
from herd.pool.settle import Sleepers
from herd.pool.worker import Worker, run
from herd.process import Channel, Message, describe_exit, serve
from herd.strangers import guarded
from herd.strategies import Listen, Strategy, load

_PATIENCE_S: Final = 10.0
_PROGRAM: Final = "a worker's program must wait for connections on descriptor 0, in its main thread"


class Pool:
    """The workers of one run."""

    def __init__(self, spec: Message) -> None:
        self._spec = spec
        self._listen = Listen(spec["host"], spec["port"], spec["backlog"])
        self._name = spec["strategy"]
        found = load(self._name)
        with guarded(f"strategy {self._name} cannot be made", HerdError):
            self._strategy: Strategy = found(spec["options"])
        self._areas = share(spec["area_fd"], LAYOUT, spec["capacity"], spec["workers"])
        self.pids: list[int] = []
        self._alive: dict[int, int] = {}
        self._starts: dict[int, Start] = {}  #: of workers that keep no log, once they wait
        self._closed = False

    def start(self) -> None:
        """Open the port and fork the workers, one after the other: they register in their order."""
        self.listener = self._open()
        port = self.listener.getsockname()[1]
        self._listen = Listen(self._listen.host, port, self._listen.backlog)
        told, tell = os.pipe()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
        gc.freeze()  # what is there now stays shared: a collection in a worker would copy its pages
        for index in range(self._spec["workers"]):
            self._fork(index, tell)
            self._await_ready(index, told)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1, signal.SIGTERM})
        os.close(told)
        os.close(tell)

    def _open(self) -> socket.socket:
        with guarded(f"strategy {self._name} failed in open", HerdError):
            return self._listening()

    def _listening(self) -> socket.socket:
        try:
            return self._strategy.open(self._listen)
        except OSError as error:
            where = f"{self._listen.host} port {self._listen.port}"
            hint = None
            if error.errno == errno.EADDRINUSE:
                hint = f"choose another --port, or see who has it: ss -ltnp sport = :{self._listen.port}"
            raise HerdError(f"cannot listen on {where}: {error.strerror}", hint) from error

    def _fork(self, index: int, tell: int) -> None:
        spec = self._spec
        area = self._areas[index]
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if spec["cpus"]:
                os.sched_setaffinity(0, spec["cpus"])
            worker = Worker(
                index,
                spec["workers"],
                self._listen,
                self.listener,
                area,
                work_us=spec["work_us"],
                hold_s=spec["hold_s"],
                batch=spec["batch"],
                blocks=self._strategy.blocks_in_accept,
            )
            run(self._strategy, worker, area, parent, tell)
        self.pids.append(pid)
        self._alive[pid] = index

    def _await_ready(self, index: int, told: int) -> None:
        if not select.select([told], [], [], _PATIENCE_S)[0]:
            raise HerdError(
                f"strategy {self._name}: worker {index} was not ready after {_PATIENCE_S:.0f} s:"
                " it hangs in prepare"
            )
        text = os.read(told, 4096).decode(errors="replace").strip()
        if text:
            raise HerdError(f"strategy {self._name}: worker {index} could not start: {text}")

    def cookies(self) -> list[int]:
        """Each worker's listener, by worker; the same one for all where they share it."""
        return [area["cookie"] for area in self._areas]

    def go(self) -> None:
        """Let the workers wait, one after the other: the order of the queue is the workers' order."""
        order = list(enumerate(self.pids))
        for index, pid in reversed(order) if self._strategy.waits_in_reverse else order:
            os.kill(pid, signal.SIGUSR1)
            if self._strategy.logs:
                self._await_worker(index, pid)
            else:
                self._await_program(index, pid)

    def _await_worker(self, index: int, pid: int) -> None:
        sleeper = Sleepers([pid])
        deadline = time.monotonic() + _PATIENCE_S
        while self._areas[index]["state"] < SERVING and time.monotonic() < deadline:
            time.sleep(0.0001)
        asleep = sleeper.wait(_PATIENCE_S)
        sleeper.close()
        if not asleep:
            raise HerdError(
                f"strategy {self._name}: worker {index} didn't wait for a connection within"
                f" {_PATIENCE_S:.0f} s: its serve runs on"
            )

    def _await_program(self, index: int, pid: int) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not waits(pid):
            for died in self.reap():
                how = describe_exit(died["status"])
                raise HerdError(
                    f"worker {died['worker']} {how} before it waited for a connection", _PROGRAM
                )
            if time.monotonic() > deadline:
                call = blocked_in(pid)
                does = "runs" if call is None else f"sleeps in system call {call}"
                raise HerdError(
                    f"worker {index} didn't wait for a connection within {_PATIENCE_S:.0f} s: it {does}",
                    _PROGRAM,
                )
            time.sleep(0.0005)
        self._starts[index] = Start.of(pid)

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
            worker = self._alive.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if told and worker in self._starts:
                code = 0 if code == -signal.SIGTERM == -told else code
                record_usage(self._areas[worker], self._starts[worker], usage)
            now = time.monotonic_ns()
            news = {"worker": worker, "pid": pid, "status": code, "time_ns": now}
            died.append({"event": "died", **news})
        return died

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


def _watch(pool: Pool, channel: Channel, child_ended: int) -> None:
    while not channel.closed:
        select.select([channel.fileno(), child_ended], [], [])
        with contextlib.suppress(BlockingIOError):
            os.read(child_ended, 4096)
        for message in pool.reap():
            channel.send(message)
        while order := channel.receive():
            _obey(pool, channel, order)


def _obey(pool: Pool, channel: Channel, order: Message) -> None:
    if order["do"] == "go":
        pool.go()
        channel.send({"event": "waiting"})
    elif order["do"] == "stop":
        channel.send({"event": "stopped", "ended": pool.stop()})


def main() -> None:
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
        pool = Pool(spec)
        pool.start()
        port = pool.listener.getsockname()[1]
        channel.send({"event": "ready", "port": port, "pids": pool.pids, "cookies": pool.cookies()})
        _watch(pool, channel, child_ended)
    except HerdError as error:
        channel.send({"event": "failed", **error.as_message()})
    finally:
        if pool:
            pool.stop()


if __name__ == "__main__":
    main()
