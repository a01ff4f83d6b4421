"""Attach the probes to a server that we did not start, look for a while, and write the same recording."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from herd import counters, families
from herd.crew import Crew
from herd.discover import unknown
from herd.errors import HerdError, HostError, Interrupted, UsageError
from herd.facts import Facts, ProbeFacts
from herd.observe import collect, holders, portrait
from herd.observe.crowd import Crowd, Member, threads_of
from herd.observe.listeners import Listener, find
from herd.observe.tail import Tail, Tally
from herd.observe.targets import Target
from herd.observe.waitqueue.snapshots import Snapshots
from herd.probes import modes
from herd.process import ChildFailed, Message
from herd.recording import collect as recordings
from herd.recording import convert, write
from herd.recording.read import Recording
from herd.supervisor import Supervisor

#: Threads of the server, those included that come meanwhile.
_CAPACITY: Final = 16384
_LONGEST_S: Final = 7 * 86400.0
_PATIENCE_S: Final = 60.0
_COLLECT_S: Final = 30.0
_EVERY_S: Final = 1.0
#: Through ``/proc``, until nobody new is found; who forks without an end can't be waited for.
_LOOKS: Final = 4


@dataclass(frozen=True)
class Frame:
    """What a second brought.

    :param passed_s: since the observation began
    :param seconds: how long this part of it was
    :param tallies: by thread id, of those that wait for connections, or did something
    """

    server: str
    passed_s: float
    seconds: float
    tallies: dict[int, Tally]
    crowd: Crowd


class Gone(HerdError):
    """The server closed what it listened on: there is nothing left to observe."""


def observe(
    target: Target,
    *,
    duration_s: float | None = 10.0,
    probe: str = "auto",
    output: str | None = None,
    show: Callable[[Frame], None] = lambda frame: None,
    picture: bool = True,
) -> Recording:
    """Observe a server and return the recording.

    :param duration_s: ``None``: until interrupted, or the server ends
    :param show: called as it begins, then about once a second
    :raises UsageError: nothing listens there, or what is asked for makes no sense
    :raises HerdError: no probe can be attached, or (with the recording kept) the observation ended early
    """
    _check(duration_s, probe)
    config = {"strategy": "observed", "target": str(target), "duration_s": duration_s}
    config |= {"probe": probe, "kernel": "host", "output": output}
    return _Observation(target, config, show).run(picture=picture)


def _check(duration_s: float | None, probe: str) -> None:
    if duration_s is not None and not 0 < duration_s <= _LONGEST_S:
        raise UsageError(
            f"duration: more than nothing and at most 7 days, not {duration_s:g} s",
            "--duration 0 goes on until Ctrl-C",
        )
    known = ["auto", *modes.names()]
    if probe not in known:
        raise unknown("probe", probe, known)


class _Observation:
    """One look at a server. The methods stand in the order in which they are called."""

    def __init__(
        self, target: Target, config: dict[str, Any], show: Callable[[Frame], None]
    ) -> None:
        from herd.host.metadata import metadata

        self._target = target
        self._config = config
        self._show = show
        seen = portrait.look(target)
        self._listeners: dict[int, Listener] = {}
        self._comm = _most(holder.comm for holder in _holders(find(target)))
        self._server = seen.server or self._comm
        self._crowd = Crowd()
        self._directory, self._aside = write.place(config["output"], f"observed-{_label(target)}")
        self._supervisor = Supervisor(_PATIENCE_S)
        self._crew = Crew([config["probe"]], _CAPACITY, follow=True)
        self._snapshots = Snapshots(True, self._supervisor)
        prediction = dict.fromkeys(("low", "expected", "high", "who", "why"))
        now = datetime.now().astimezone().isoformat()
        self._facts = Facts(config, prediction, metadata(), now, logs=False)
        self._observed: dict[str, Any] = {"server": self._server, "advice": seen.advice}
        self._observed |= {"findings": seen.as_json(), "overhead": None}
        self._waiting: set[int] = set()
        self._pids: list[int] = []

    def run(self, *, picture: bool) -> Recording:
        """Everything."""
        with self._supervisor, self._crew:
            try:
                self._start()
                self._look()
                self._stop()
            except BaseException:
                shutil.rmtree(self._aside, ignore_errors=True)  # nothing was recorded: no trace
                raise
            finally:
                self._snapshots.stop()
        return self._write(picture)

    # -- start ------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._crew.start()
        self._snapshots.start()
        probes = self._crew.children
        [said] = self._supervisor.expect("attached", probes, probes)
        self._probe = ProbeFacts(said["mode"], f"events-{said['mode']}.raw", said["functions"])
        self._facts.probes.append(self._probe)
        self._facts.notes += said["notes"]
        raw = self._aside / self._probe.raw
        self._tell({"do": "record", "events": str(raw)}, "recording")
        self._tail = Tail(raw)
        self._look_at_queue()
        self._follow(find(self._target))
        self._facts.begin_ns = self._shown_ns = time.monotonic_ns()

    def _look_at_queue(self) -> None:
        """Who waits without doing anything, and whom an idle server's next connection wakes."""
        try:
            self._snapshots.take("before", lambda: find(self._target))
        except (HostError, ChildFailed) as error:
            self._facts.notes.append(f"the wait queue could not be read: {error.message}")
            return
        [taken] = self._snapshots.taken
        self._waiting, expected = waiters_in(taken)
        self._facts.prediction["expected"] = expected

    def _tell(self, order: Message, answer: str) -> Message:
        [probe] = self._crew.children
        probe.channel.send(order)
        [said] = self._supervisor.expect(answer, [probe], [])
        return said

    def _follow(self, listeners: list[Listener]) -> None:
        """From now on these sockets, and all threads of who holds them.

        What a followed thread starts is followed, too. So who came after a look through ``/proc``, of a
        parent that wasn't followed yet, is found by the next look.
        """
        for _ in range(_LOOKS):
            self._pids = sorted({*self._pids, *(holder.pid for holder in _holders(listeners))})
            new = [tid for tid in threads_of(self._pids) if tid not in self._crowd.members]
            if not new:
                break
            self._crowd.meet(new)
            self._watch(new, [])
        self._watch([], listeners)
        self._listeners |= {listener.cookie: listener for listener in listeners}

    def _watch(self, tids: list[int], listeners: list[Listener]) -> None:
        order = {
            "do": "watch",
            "tids": tids,
            "cookies": [listener.cookie for listener in listeners],
            "unix": any(listener.family == "unix" for listener in listeners),
        }
        self._tell(order, "watching")

    # -- look -------------------------------------------------------------------------------------

    def _look(self) -> None:
        facts = self._facts
        facts.counters_before = facts.counters_after = self._counters()
        self._present = self._crowd.look(self._waiting)
        self._show(Frame(self._server, 0.0, 0.0, {}, self._crowd))
        try:
            self._supervisor.watch(self._crew.children, self._config["duration_s"], self._tick)
        except (Gone, Interrupted) as end:
            facts.notes.append(end.message)
        except HerdError as error:
            facts.ended_by = error
        facts.end_ns = time.monotonic_ns()
        facts.counters_after = self._counters()
        full = facts.counters_after["ListenOverflows"] - facts.counters_before["ListenOverflows"]
        if full:
            facts.notes.append(
                f"{full} connections met a full accept queue (ListenOverflows) in its network namespace"
            )

    def _counters(self) -> dict[str, int]:
        """Of the server's network namespace; what was read last, once the server is gone."""
        for pid in self._pids:
            with contextlib.suppress(OSError):
                return counters.snapshot(f"/proc/{pid}/net")
        return self._facts.counters_before or counters.snapshot()

    def _tick(self) -> None:
        now = time.monotonic_ns()
        if now - self._shown_ns < _EVERY_S * 1e9:
            return
        seconds, self._shown_ns = (now - self._shown_ns) / 1e9, now
        passed_s = (now - self._facts.begin_ns) / 1e9
        news = self._tail.news()
        present = self._crowd.look(self._present | news.keys())
        tallies = {tid: news.get(tid, Tally()) for tid in present | news.keys()}
        self._show(Frame(self._server, passed_s, seconds, tallies, self._crowd))
        self._present = present
        self._look_for_listeners(passed_s)

    def _look_for_listeners(self, passed_s: float) -> None:
        """A server that reloads may listen anew; one that ends does not listen any more."""
        try:
            found = find(self._target)
        except HerdError as error:
            raise Gone(
                f"after {passed_s:.1f} s {self._server} had closed what it listened on"
            ) from error
        fresh = [listener for listener in found if listener.cookie not in self._listeners]
        if fresh:
            self._meet(fresh, passed_s)

    def _meet(self, fresh: list[Listener], passed_s: float) -> None:
        comm = _most(holder.comm for holder in _holders(fresh))
        if comm != self._comm:
            raise Gone(
                f"after {passed_s:.1f} s another program, {comm}, listened on {self._target}"
            )
        self._follow(fresh)
        self._facts.notes.append(
            f"after {passed_s:.1f} s {self._server} was seen to listen on {len(fresh)} more sockets, opened"
            f" within the {_EVERY_S:g} s before: what came to them until then is not counted"
        )

    # -- stop -------------------------------------------------------------------------------------

    def _stop(self) -> None:
        self._supervisor.forgive(_COLLECT_S)
        try:
            stopped = self._tell({"do": "stop"}, "stopped")
        except HerdError as error:
            self._facts.ended_by = self._facts.ended_by or error
            return
        probe = self._probe
        probe.produced, probe.kept, probe.lost = (stopped[k] for k in ("produced", "kept", "lost"))
        probe.calls = stopped["calls"]
        self._facts.notes += stopped["findings"]
        self._observed["overhead"] = {
            "programs": stopped["cost"],
            "reader_ns": stopped["reader_ns"],
        }
        if stopped["unfollowed"]:
            self._facts.notes.append(
                f"{stopped['unfollowed']} threads were too many to be followed"
            )

    # -- write ------------------------------------------------------------------------------------

    def _write(self, picture: bool) -> Recording:
        workers = self._workers()
        facts = self._facts
        tcp = any(listener.port is not None for listener in self._listeners.values())
        facts.config |= {"workers": len(workers), "family": "inet" if tcp else "unix"}
        facts.pids = [member.pid or member.tid for member in workers]
        facts.cookies = list(self._listeners)
        facts.observed = self._observed | {
            "listeners": [asdict(listener) for listener in self._listeners.values()],
            "workers": [{"tid": m.tid, "pid": m.pid, "comm": m.comm} for m in workers],
        }
        tids = [member.tid for member in workers]
        cast = convert.Cast(self._family(), tids, facts.cookies, self._probe.functions)
        self._snapshots.write(self._aside)
        collect.write_tables(self._aside, facts, cast, workers)
        recording = recordings.finish(self._aside, self._directory, facts.as_json())
        not_drawn = recordings.draw(recording) if picture else None
        if facts.ended_by:
            raise write.kept(facts.ended_by, recording)
        if not_drawn:
            raise not_drawn
        return recording

    def _family(self) -> families.Family | None:
        """The clients'; of an IPv6 address four bytes are kept, which say nothing."""
        names = {listener.family for listener in self._listeners.values()}
        return families.find(names.pop()) if len(names) == 1 and "inet6" not in names else None

    def _workers(self) -> list[Member]:
        """Threads that an arrival woke, or that accepted, or that waited as we began."""
        tids = collect.active(self._aside / self._probe.raw) | self._waiting
        self._crowd.look(tids)
        return [self._crowd.members[tid] for tid in sorted(tids)]


def waiters_in(snapshot: dict[str, Any]) -> tuple[set[int], float | None]:
    """Who waits on the listeners, and how many the next connection wakes.

    :param snapshot: as ``herd waitqueue --json`` has it
    :returns: thread ids; of several listeners that share a port, the mean: the kernel chooses one
    """
    waiting: set[int] = set()
    wakes: list[int] = []
    for listener in snapshot["listeners"]:
        if listener["waiters"] is None:
            continue
        for waiter in listener["waiters"]:
            waiting.update([*waiter["waiting"], *([waiter["tid"]] if waiter["tid"] else [])])
        wakes.append(len(listener["next_wakes_tids"]) + len(listener["then_wakes"]))
    # Nobody waits on a server that is busy: that says nothing of it when it is idle.
    return waiting, (sum(wakes) / len(wakes) if any(wakes) else None)


def _holders(listeners: Iterable[Listener]) -> list[holders.Holder]:
    return holders.look({listener.inode for listener in listeners}).holders


def _most(names: Iterable[str]) -> str:
    """The commonest."""
    counted = Counter(names).most_common(1)
    return counted[0][0] if counted else "unknown"


def _label(target: Target) -> str:
    """For a folder's name."""
    return "".join(c if c.isalnum() else "-" for c in str(target)).strip("-")
