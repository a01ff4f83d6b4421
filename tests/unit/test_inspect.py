"""The model and the findings, from facts: recorded from real servers, and made up where a server is ill."""

from __future__ import annotations

from dataclasses import replace

import pytest

from herd.observe.holders import EPOLLET, EPOLLEXCLUSIVE, EpollItem, Holder, Seen
from herd.observe.inspect import facts as inspect_facts
from herd.observe.inspect import model, words
from herd.observe.inspect.facts import Facts
from herd.observe.inspect.findings import findings, named
from herd.observe.inspect.programs import recognise
from herd.observe.inspect.steering import Program
from herd.observe.listeners import Listener
from herd.observe.options import Options
from herd.observe.processes import Process
from herd.observe.waiting import Waiting
from tests.real_servers import EXPECTED, RECORDED, as_expected, load

PARENT = 100
WORKERS = range(101, 105)
EPOLLIN = 1


@pytest.mark.parametrize("name", EXPECTED)
def test_the_model_of_each_real_server(name):
    as_expected(name, load(name))


def test_every_recording_is_looked_at():
    assert {path.stem for path in RECORDED.glob("*.json")} == set(EXPECTED)


# -- Servers that are made up ----------------------------------------------------------------------


def listener(inode=1, **more):
    known = {"family": "inet", "address": "127.0.0.1", "port": 80, "backlog": 511, "queue": 0}
    return Listener(cookie=0xC0 + inode, inode=inode, netns=1, **(known | more))


def process(pid, parent=PARENT, comm="server", *arguments):
    return Process(pid, parent, comm, comm, (comm, *arguments))


def server(kind="accept", pids=WORKERS, fd=3, comm="server", **more) -> Facts:
    """A parent and its workers, which share one socket and all sleep in one kind of call."""
    people = [process(PARENT, 1, comm), *(process(pid, PARENT, comm) for pid in pids)]
    known = {
        "listeners": [listener()],
        "seen": Seen(holders=[Holder(each.pid, comm, fd, 1) for each in people]),
        "options": {1: Options(False, -1, 0)},
        "processes": {each.pid: each for each in people},
        "waiting": [Waiting(pid, pid, kind, (fd,)) for pid in pids],
        "programs": {},
        "somaxconn": 4096,
    }
    return Facts(**(known | more))


def polling(events, sets=None, pids=WORKERS) -> Facts:
    """The same, each with an epoll set as descriptor 7."""
    items = [EpollItem(pid, "server", 7, 3, 1, EPOLLIN | events) for pid in pids]
    seen = server().seen
    return server(
        "epoll",
        seen=replace(seen, epoll_items=items),
        waiting=[Waiting(pid, pid, "epoll", (7,)) for pid in pids],
        sets=sets or {(pid, 7): pid for pid in pids},
    )


def group(facts) -> model.Group:
    [only] = model.groups(facts)
    return only


def found(facts) -> dict:
    return {finding.id: finding for finding in findings(model.groups(facts))}


def test_accept_wakes_one():
    [socket] = group(server("accept")).sockets
    assert socket.wakes_at_most == 1
    assert socket.awaiting == socket.sleepers == set(WORKERS)
    assert set(found(server("accept"))) == {"master-holds"}


@pytest.mark.parametrize("kind", ["select", "poll"])
def test_polling_calls_are_a_herd(kind):
    assert group(server(kind)).sockets[0].wakes_at_most == 4
    finding = found(server(kind))["everyone-wakes"]
    assert (finding.level, finding.sure) == ("warning", "certain")
    assert f"4 workers: pids 101, 102, 103, 104 wait on one socket by {kind}" in finding.evidence
    assert "up to 4 wakeups" in finding.meaning


def test_one_plain_epoll_set_beside_exclusive_ones():
    plain, *rest = polling(EPOLLEXCLUSIVE).seen.epoll_items
    mixed = polling(EPOLLEXCLUSIVE)
    mixed.seen.epoll_items[:] = [replace(plain, events=EPOLLIN), *rest]
    assert group(mixed).sockets[0].wakes_at_most == 2
    assert not {"everyone-wakes", "exclusive-order"} & set(found(mixed))


def test_a_set_that_workers_share_is_one_entry_whose_waiters_wake_each_other():
    shared = dict.fromkeys(((pid, 7) for pid in WORKERS), 0)
    level, edge = polling(0, shared), polling(EPOLLET, shared)
    for facts, wakes in ((level, 4), (edge, 1)):
        [entry] = group(facts).sockets[0].entries
        assert entry.pids == entry.sleepers == tuple(WORKERS)
        assert group(facts).sockets[0].wakes_at_most == wakes
    assert "chained-wakeups" in found(level)
    assert "chained-wakeups" not in found(edge)


def test_a_worker_that_is_awake_still_has_its_place_in_the_queue():
    busy = replace(polling(0), waiting=[Waiting(101, 101, "epoll", (7,))])
    [socket] = group(busy).sockets
    assert (socket.awaiting, socket.sleepers) == (set(WORKERS), {101})
    assert socket.wakes_at_most == 1
    assert "4 sets of 101, 102, 103, 104; 3 awake now" in "\n".join(words.describe(group(busy)))


def test_io_uring_leaves_the_number_of_wakeups_unknown():
    ring = server(waiting=[Waiting(101, 101, "io_uring", (9,))])
    [socket] = group(ring).sockets
    assert (socket.complete, socket.wakes_at_most) == (False, None)
    assert "what io_uring waits for: herd waitqueue sees it" in inspect_facts.not_seen(ring)
    assert "nobody-waits" not in found(ring)


def test_reuseport_of_one_socket_names_the_option_that_asked_for_it():
    asked = server("select", comm="gunicorn", options={1: Options(True, -1, 0)})
    asked.processes[PARENT] = process(PARENT, 1, "gunicorn", "--reuse-port")
    finding = found(asked)["reuseport-without-effect"]
    assert finding.evidence == (
        "gunicorn was started with --reuse-port, but all 4 workers (101, 102, 103, 104) hold the"
        " same socket"
    )
    assert "the option had no effect" in finding.meaning
    assert "gunicorn 24" in finding.advice
    alone = server("select", pids=range(101, 102), options={1: Options(True, -1, 0)})
    assert "reuseport-without-effect" not in found(alone)


def reuseport(waiting) -> Facts:
    """Two workers, each with a socket of its own; these threads wait."""
    return Facts(
        listeners=[listener(1), listener(2)],
        seen=Seen(holders=[Holder(101, "server", 3, 1), Holder(102, "server", 3, 2)]),
        options=dict.fromkeys((1, 2), Options(True, -1, 0)),
        processes={pid: process(pid) for pid in (101, 102)},
        waiting=waiting,
        programs={},
    )


def test_a_group_is_told_as_one_and_its_abandoned_socket_is_a_problem():
    both = [Waiting(pid, pid, "accept", (3,)) for pid in (101, 102)]
    assert found(reuseport(both)) == {}
    told = list(words.describe(group(reuseport(both))))
    assert told[0] == "127.0.0.1:80: a reuseport group of 2 sockets, held by 2 processes"
    assert told[1].startswith("  sockets c1, c2, each: backlog 511, 0 queued, SO_REUSEPORT set")
    hung = [both[0], Waiting(102, 102, "lock", ())]
    finding = found(reuseport(hung))["reuseport-socket-abandoned"]
    assert (finding.level, finding.sure) == ("problem", "likely")
    assert "cookie c2 is awaited by none of its holders (102)" in finding.evidence
    assert found(reuseport(both[:1]))["reuseport-socket-abandoned"].sure == "possible"


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (Program("sk_reuseport", 17, "steer"), "sk_reuseport program steer (id 17) is attached"),
        (Program("classic", None, ""), "classic program (without an id) is attached"),
    ],
)
def test_a_bpf_program_of_the_group(program, says):
    both = [Waiting(pid, pid, "accept", (3,)) for pid in (101, 102)]
    steered = replace(reuseport(both), programs={0xC2: program})
    assert says in found(steered)["bpf-program-chooses"].evidence
    assert f"  a BPF program ({program.kind}) chooses among them" in words.describe(group(steered))
    assert words.as_json(group(steered))[0]["program"]["id"] == program.id


@pytest.mark.parametrize(
    ("queued", "finding"), [(255, None), (256, "accept-queue-long"), (512, "accept-queue-full")]
)
def test_the_accept_queue(queued, finding):
    ids = set(found(server(listeners=[listener(queue=queued)]))) - {"master-holds"}
    assert ids == ({finding} if finding else set())


@pytest.mark.parametrize(
    ("backlog", "somaxconn", "finding"),
    [(4096, 4096, "backlog-at-limit"), (100, 4096, "backlog-short"), (4096, None, None)],
)
def test_the_backlog(backlog, somaxconn, finding):
    facts = server(listeners=[listener(backlog=backlog)], somaxconn=somaxconn)
    ids = set(found(facts)) - {"master-holds"}
    assert ids == ({finding} if finding else set())


def test_all_workers_that_do_something_else_wait_for_nothing():
    finding = found(server(waiting=[]))["nobody-waits"]
    assert (finding.level, finding.sure) == ("warning", "possible")
    assert "awaited by nobody now" in "\n".join(words.describe(group(server(waiting=[]))))


def test_busy_workers_are_not_taken_for_workers_that_take_turns():
    one = [Waiting(101, 101, "select", (3,))]
    assert "one-waits-at-a-time" not in found(server(waiting=one))
    locked = [*one, *(Waiting(pid, pid, "lock", ()) for pid in WORKERS[1:])]
    finding = found(server(waiting=locked))["one-waits-at-a-time"]
    assert finding.sure == "likely"
    assert "102, 103, 104 sleep for a lock" in finding.evidence


def test_a_stranger_that_holds_the_socket():
    facts = server()
    facts.seen.holders.append(Holder(300, "sleep", 3, 1))
    facts.processes[300] = process(300, 1, "sleep")
    finding = found(facts)["socket-leaked"]
    assert "process 300 (sleep) holds the socket without waiting" in finding.evidence


def test_socket_activation():
    facts = server()
    facts.seen.holders.append(Holder(1, "systemd", 40, 1))
    facts.processes[1] = process(1, 0, "systemd")
    assert {"socket-activation", "master-holds"} == set(found(facts))


# -- What could not be seen ------------------------------------------------------------------------


def test_without_root_what_is_unknown_is_null_and_said():
    blind = Facts(listeners=[listener()], seen=Seen(hidden=[100, 101]), why_no_programs="refused")
    [told] = words.as_json(group(blind))
    assert told["shared_by"] == []
    for unknown in ("reuseport", "program", "wakes_at_most", "defer_accept_s", "server"):
        assert told[unknown] is None
    assert found(blind) == {}
    text = "\n".join(words.describe(group(blind)))
    assert "SO_REUSEPORT unknown" in text
    assert "who waits is unknown" in text
    assert "how many the next connection wakes is unknown" in text
    said = "\n".join(inspect_facts.not_seen(blind))
    assert "who holds the sockets: root sees it" in said
    assert "chooses in a reuseport group: refused" in said


def test_a_hidden_relative_may_wait_too_an_unrelated_process_does_not():
    facts = server("select")
    facts.seen.hidden[:] = [1, 999]
    assert group(facts).sockets[0].wakes_at_most == 4
    facts.seen.hidden.append(103)
    assert group(facts).sockets[0].wakes_at_most is None
    assert found(facts)["everyone-wakes"].sure == "likely"
    said = list(inspect_facts.not_seen(facts))
    assert said[:2] == [
        "the descriptors of processes that are unrelated: 2",
        "the descriptors of the server's relatives [103]: root sees them",
    ]


def test_threads_that_could_not_be_read_leave_it_unknown():
    facts = replace(server("select"), unread=[102])
    assert group(facts).sockets[0].wakes_at_most is None


# -- Small things ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "arguments", "name"),
    [
        ("nginx", ("nginx: worker process",), "nginx"),
        ("python3.11", ("/usr/bin/python3", "/usr/bin/gunicorn", "--reuse-port"), "gunicorn"),
        ("python3.11", ("gunicorn: worker [app]",), "gunicorn"),
        ("python3.11", ("python3", "-m", "gunicorn"), "gunicorn"),
        ("uwsgi-core", ("uwsgi", "--master"), "uwsgi"),
        ("httpd", ("/usr/sbin/httpd", "-DFOREGROUND"), "apache"),
        ("node", ("/usr/bin/node", "server.js"), "node"),
        ("systemd", ("/sbin/init",), "systemd"),
        ("vim", ("vim", "/etc/nginx/nginx.conf"), None),
        (None, ("",), None),
    ],
)
def test_servers_are_recognised(program, arguments, name):
    assert recognise(Process(7, 1, "comm", program, arguments)) == name


def test_many_pids_are_cut_short():
    assert named(range(8)) == "0, 1, 2, 3, 4, 5, 6, 7"
    assert named(range(20)) == "0, 1, 2, 3, 4, 5, 6, 7 and 12 more"
