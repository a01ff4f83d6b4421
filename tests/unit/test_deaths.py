"""What became of the connections of a worker that died, read from recordings made to hold such a death."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from herd.analysis import integrity
from herd.analysis.deaths import deaths, explained
from herd.recording.read import load
from tests.recordings import edit_run, edit_table, reference

DEAD = 3
ACCOUNTS = "established = arrivals = accepts"
NOTHING = {"unlogged": 0, "unserved": 0, "lost": 0, "migrated": 0, "announced": 0}

Rows = list[dict[str, Any]]


class Damaged:
    """A copy of a reference recording in which worker 3 was killed after half the load.

    :param strategy: whose recording; workers of reuseport have a socket each, those of accept share one
    """

    def __init__(self, strategy: str, folder: Path) -> None:
        self.path = Path(shutil.copytree(reference(strategy), folder / strategy))
        # Workers count what they served only since these were recorded.
        self.edit("workers", lambda rows: [row.update(served=row["accepts"]) for row in rows])
        run = load(self.path).run
        half_ns = (run["end_ns"] - run["begin_ns"]) // 2
        died = {"worker": DEAD, "pid": run["pool"]["pids"][DEAD], "status": -9}
        self.died_ns = run["begin_ns"] + half_ns
        self.half_s = half_ns / 1e9
        self.edit_run("pool", "deaths", value=[died | {"time_ns": self.died_ns}])

    def edit_run(self, *keys: str, value: Any) -> None:
        edit_run(self.path, *keys, value=value)

    def edit(self, table: str, change: Callable[[Rows], Any]) -> None:
        edit_table(self.path, table, change)

    def of_dead(self, count: int) -> list[tuple[str, int]]:
        """Clients of the first connections that it accepted."""
        accepts = load(self.path).accepts
        mine = accepts[accepts["worker"] == DEAD].head(count)
        return list(zip(mine["peer"], mine["peer_port"], strict=True))

    def fail(self, clients: list[tuple[str, int]], error: str) -> None:
        """Those clients met an error."""
        self.edit(
            "connections",
            lambda rows: [
                row.update(error=error) for row in rows if (row["source"], row["port"]) in clients
            ],
        )

    def change_accepts(self, clients: list[tuple[str, int]], **values: Any) -> None:
        """Alter the accepts of those clients."""
        self.edit(
            "accepts",
            lambda rows: [
                row.update(values) for row in rows if (row["peer"], row["peer_port"]) in clients
            ],
        )

    def leave_in_queue(self, clients: list[tuple[str, int]]) -> None:
        """Nobody accepted those, and the dead worker didn't count them."""

        def drop(rows: Rows) -> None:
            rows[:] = [row for row in rows if (row["peer"], row["peer_port"]) not in clients]

        self.edit("accepts", drop)
        self.count(DEAD, -len(clients))

    def count(self, worker: int, more: int, columns: tuple[str, ...] = ("accepts", "served")):
        """A worker's own counts, changed."""
        self.edit("workers", lambda rows: [_add(rows[worker], name, more) for name in columns])

    def announce_another(self) -> None:
        """An arrival without a handshake: that of a connection which migrated."""
        nobody = {"arrival": 201, "peer": None, "peer_port": None}
        self.edit("arrivals", lambda rows: rows.append(rows[-1] | nobody))

    @property
    def death(self) -> dict[str, Any]:
        [death] = deaths(load(self.path)) or []
        return death

    @property
    def explained(self) -> dict[str, int]:
        return explained(load(self.path))

    @property
    def accounts(self) -> tuple[bool, str]:
        """Whether they agree, and what they are."""
        checks = integrity.check(load(self.path))["checks"]
        [law] = [law for law in checks if law["name"] == ACCOUNTS]
        return law["ok"], law["detail"]


def _add(row: dict[str, Any], name: str, more: int) -> None:
    row[name] += more


@pytest.fixture
def shared(tmp_path) -> Damaged:
    return Damaged("accept", tmp_path)


@pytest.fixture
def own(tmp_path) -> Damaged:
    return Damaged("reuseport", tmp_path)


@pytest.mark.parametrize("strategy", ["accept", "reuseport"])
def test_without_a_death_there_is_nothing_to_tell(strategy):
    recording = load(reference(strategy))
    assert deaths(recording) is None
    assert explained(recording) == NOTHING
    assert recording.summary["deaths"] is None


def test_who_died_of_what_and_when_is_told(shared):
    death = shared.death
    assert (death["worker"], death["how"]) == (DEAD, "was killed by SIGKILL")
    assert death["pid"] == load(shared.path).workers["pid"][DEAD]
    assert death["at_s"] == pytest.approx(shared.half_s)
    assert load(shared.path).summary["deaths"] == [death]


def test_one_that_had_nothing_in_hand_takes_nothing_off_the_accounts(shared):
    assert (shared.death["in_hand"], shared.death["handed_on"]) == ({}, None)
    assert (shared.death["shares_queue"], shared.death["queue"]) == (True, None)
    assert shared.explained == NOTHING
    assert shared.accounts[0] is True


def test_what_the_others_accepted_afterwards_is_counted(shared):
    accepts = load(shared.path).accepts
    later = accepts[accepts["time_ns"] > shared.died_ns]
    assert shared.death["accepted_after"] == (later["worker"] != DEAD).sum()
    assert 0 < shared.death["accepted_after"] < len(later) < len(accepts)


def test_what_it_had_in_hand_failed_by_error(shared):
    [first, *others] = shared.of_dead(3)
    shared.fail([first], "ECONNRESET")
    shared.fail(others, "ENODATA")
    assert shared.death["in_hand"] == {"ENODATA": 2, "ECONNRESET": 1}
    shared.count(DEAD, -3, ("served",))
    assert shared.explained == NOTHING | {"unserved": 3}
    assert shared.accounts[0] is True


def one_answer_may_be_uncounted(shared: Damaged) -> None:
    shared.count(DEAD, -1, ("served",))
    assert shared.explained == NOTHING | {"unserved": 1}
    assert shared.accounts[0]
    shared.count(DEAD, -1, ("served",))
    assert shared.explained == NOTHING
    assert not shared.accounts[0]


def test_its_last_answer_may_not_be_counted_any_more_but_no_more_than_one(shared):
    one_answer_may_be_uncounted(shared)


def test_one_that_does_not_count_what_it_serves_has_left_nothing_uncounted(shared):
    shared.edit("workers", lambda rows: [row.update(served=None) for row in rows])
    assert shared.explained == NOTHING


def test_the_failure_of_another_workers_client_is_not_its(shared):
    accepts = load(shared.path).accepts
    other = accepts[accepts["worker"] != DEAD].iloc[0]
    shared.fail([(other["peer"], other["peer_port"])], "ECONNRESET")
    assert shared.death["in_hand"] == {}


def test_the_failure_of_a_client_that_came_just_before_it_accepted_is_not_its(shared):
    accepts = load(shared.path).accepts
    mine = accepts[accepts["worker"] == DEAD].iloc[0]
    failed = {"source": "127.0.0.9", "port": 9, "started_ns": mine["time_ns"] - 1, "error": "EPIPE"}
    shared.edit("connections", lambda rows: rows.append(rows[0] | failed))
    assert shared.death["in_hand"] == {}


@pytest.mark.parametrize("shift_ns", [-(10**9), 10**9])
def test_a_port_that_is_used_twice_is_not_taken_for_its_other_connection(shared, shift_ns):
    [(source, port)] = shared.of_dead(1)

    def again(rows: Rows) -> None:
        [row] = [row for row in rows if (row["source"], row["port"]) == (source, port)]
        times = {name: row[name] + shift_ns for name in row if name.endswith("_ns")}
        rows.append(row | times | {"error": "ECONNRESET"})

    shared.edit("connections", again)
    assert shared.death["in_hand"] == {}


def test_what_it_accepted_and_had_no_time_to_write_down_is_unlogged(shared):
    shared.count(DEAD, -2)
    shared.fail(shared.of_dead(2), "ECONNRESET")
    assert shared.explained == NOTHING | {"unlogged": 2, "unserved": 2}
    ok, detail = shared.accounts
    assert ok is True
    assert "with those of dead workers: {'unlogged': 2" in detail


def test_what_somebody_who_lives_has_not_written_down_is_still_missing(shared):
    shared.count(DEAD + 1, -2)
    assert shared.explained == NOTHING
    assert shared.accounts[0] is False


def dispatch(shared: Damaged) -> None:
    """Worker 0 accepts all, the others serve."""
    shared.edit("accepts", lambda rows: [row.update(worker=0) for row in rows])
    shared.edit("workers", lambda rows: [row.update(accepts=0) for row in rows])
    shared.count(0, 200, ("accepts",))


def test_a_last_answer_of_a_connection_that_was_handed_on_may_not_be_counted_either(shared):
    dispatch(shared)
    one_answer_may_be_uncounted(shared)


def test_what_was_handed_on_to_it_by_another_is_told_once(shared):
    clients = shared.of_dead(4)
    dispatch(shared)
    assert shared.death["handed_on"] == {}
    shared.fail(clients, "ECONNRESET")
    assert (shared.death["handed_on"], shared.death["in_hand"]) == ({"ECONNRESET": 4}, {})
    shared.count(DEAD, -4, ("served",))
    assert shared.explained == NOTHING | {"unserved": 4}
    assert shared.accounts[0] is True


def test_its_own_queue_is_told_though_it_was_empty(own):
    assert own.death["shares_queue"] is False
    assert own.death["queue"] == {"migrated": {}, "lost": {}}
    assert own.explained == NOTHING
    assert own.accounts[0] is True


def test_what_stayed_in_its_own_queue_is_lost(own):
    clients = own.of_dead(3)
    own.leave_in_queue(clients)
    own.fail(clients, "ECONNRESET")
    assert own.death["queue"] == {"migrated": {}, "lost": {"ECONNRESET": 3}}
    assert own.death["in_hand"] == {}
    assert own.explained == NOTHING | {"lost": 3}
    assert own.accounts[0] is True


def test_what_it_had_accepted_from_its_own_queue_is_not_lost_there(own):
    own.fail(own.of_dead(2), "ECONNRESET")
    assert own.death["in_hand"] == {"ECONNRESET": 2}
    assert own.death["queue"] == {"migrated": {}, "lost": {}}


def test_what_was_lost_has_not_migrated_though_its_port_is_used_again(own):
    [(peer, port)] = clients = own.of_dead(1)
    own.leave_in_queue(clients)
    own.fail(clients, "ECONNRESET")
    later = {"arrival": 201, "peer": peer, "peer_port": port}
    own.edit("accepts", lambda rows: rows.append(rows[-1] | later))
    own.edit("arrivals", lambda rows: rows.append(rows[-1] | later | {"listener": 1}))
    assert own.death["queue"] == {"migrated": {}, "lost": {"ECONNRESET": 1}}


def test_what_stays_in_the_queue_of_one_that_lives_is_no_death_s(own):
    accepts = load(own.path).accepts
    other = accepts[accepts["worker"] != DEAD].iloc[0]
    own.leave_in_queue([(other["peer"], other["peer_port"])])
    assert own.death["queue"] == {"migrated": {}, "lost": {}}
    assert own.accounts[0] is False


def test_what_another_accepted_from_its_queue_has_migrated(own):
    clients = own.of_dead(3)
    for client, worker in zip(clients, (7, 7, 5), strict=True):
        own.change_accepts([client], worker=worker, arrival=None)
        own.count(worker, 1)
    own.count(DEAD, -3)
    queue = own.death["queue"]
    assert (list(queue["migrated"].items()), queue["lost"]) == ([("5", 1), ("7", 2)], {})
    assert own.explained == NOTHING | {"migrated": 3}
    assert own.accounts[0] is True


def test_arrivals_that_tell_of_migrated_connections_are_no_new_ones(own):
    [client] = own.of_dead(1)
    own.change_accepts([client], worker=7, arrival=None)
    own.count(7, 1)
    own.count(DEAD, -1)
    own.announce_another()
    assert own.explained == NOTHING | {"migrated": 1, "announced": 1}
    assert own.accounts[0] is True


def test_an_arrival_of_nobody_is_not_explained_where_no_queue_could_migrate(shared):
    shared.announce_another()
    assert shared.explained == NOTHING
    assert shared.accounts[0] is False


def test_without_a_probe_the_fate_of_a_queue_is_unknown_and_not_empty(own):
    for table in ("arrivals", "wakeups"):
        own.edit(table, list.clear)
    own.edit("accepts", lambda rows: [row.update(arrival=None) for row in rows])
    own.edit_run("host", "probe", value="none")
    assert own.death["queue"] is None
    assert own.death["in_hand"] == {}
    assert own.explained == NOTHING


def test_without_a_log_or_a_probe_nothing_of_its_accepts_is_known(shared):
    unknown = dict.fromkeys(("accepts", "served"))
    shared.edit("workers", lambda rows: [row.update(unknown) for row in rows])
    shared.edit("accepts", list.clear)
    shared.edit_run("host", "probe", value="none")
    shared.edit_run("pool", "logs", value=False)
    death = shared.death
    assert (death["in_hand"], death["accepted_after"], death["handed_on"]) == (None, None, None)
