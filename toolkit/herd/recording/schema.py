"""Every table of a recording, every column, every unit: the only place.

Times are nanoseconds of CLOCK_MONOTONIC (``bpf_ktime_get_ns``, ``time.monotonic_ns``): client, worker and
kernel rows share one axis. What did not happen, or could not be seen, is null, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

#: Raised when a column changes its meaning; readers refuse a newer one.
VERSION: Final = 1


#: Kernel functions that wake the task behind a wait-queue entry and return whether it slept, by the kind
#: of waiter.
WAKE_FUNCTIONS: Final = {
    "autoremove_wake_function": "accept",
    "ep_autoremove_wake_function": "epoll",
    "pollwake": "select or poll",
    "wake_up_state": "io_uring",
}
#: What accept(2) calls, by family: inet and inet6, unix; and where each waits.
ACCEPT_FUNCTIONS: Final = {
    "inet_csk_accept": "inet_csk_wait_for_connect",
    "unix_accept": "__skb_wait_for_more_packets",
}
#: Sends the signal that wakes a task in sigtimedwait: no wait-queue entry, and no wake function.
SIGNAL_FUNCTION: Final = "sock_wake_async"


#: What a wakeup's cause and outcome can be, as text.
CAUSES: Final = ("other", "arrival", "chained", "lock", "handoff")
OUTCOMES: Final = ("productive", "wasted_in_kernel", "wasted_in_user")


@dataclass(frozen=True)
class Column:
    """One column: its name (with the unit), Arrow type and meaning."""

    name: str
    type: str
    means: str


@dataclass(frozen=True)
class Table:
    """One table: what a row is, and its columns."""

    row: str
    columns: tuple[Column, ...]

    def arrow(self) -> pa.Schema:
        """The Arrow schema; every column may be null."""
        import pyarrow as pa

        types = {"text": pa.dictionary(pa.int32(), pa.string())}
        return pa.schema(
            pa.field(c.name, types.get(c.type) or pa.type_for_alias(c.type)) for c in self.columns
        )


TABLES: Final[dict[str, Table]] = {
    "connections": Table(
        "a connection as the client saw it",
        (
            Column("intended_ns", "int64", "when it should have started"),
            Column("started_ns", "int64", "just before socket() and connect()"),
            Column("established_ns", "int64", "the client saw the connection established"),
            Column("first_byte_ns", "int64", "the worker's answer arrived"),
            Column("closed_ns", "int64", "the client saw the end, and closed"),
            Column("source", "text", "the client's address; a unix client has none"),
            Column("port", "int32", "the client's port, likewise"),
            Column("error", "text", "errno's name; ENODATA: closed before the first byte"),
        ),
    ),
    "arrivals": Table(
        "one data-ready of a listener: a connection became acceptable",
        (
            Column("arrival", "int64", "number of the arrival, from 1; one may be left out"),
            Column("time_ns", "int64", "sk_data_ready of the listening socket"),
            Column("cpu", "int32", "where the notification ran"),
            Column("listener", "uint64", "cookie of the listening socket (SO_COOKIE, ss -e)"),
            Column("queue_length", "int64", "connections in the accept queue, this one included"),
            Column(
                "peer",
                "text",
                "the client's address; null: of a connection that came from a closed listener",
            ),
            Column("peer_port", "int32", "the client's port, likewise"),
        ),
    ),
    "wakeups": Table(
        "one wakeup of a worker",
        (
            Column("time_ns", "int64", "made runnable (sched_waking)"),
            Column("cpu", "int32", "where the waker ran"),
            Column("worker", "int32", "number of the worker, from 0"),
            Column("tid", "int32", "its thread id"),
            Column(
                "cause",
                "text",
                "arrival; chained: by the waker of its epoll set; handoff: by the worker that passed it a"
                " connection; lock: by who let go a lock, such as Python's own between threads; other",
            ),
            Column("arrival", "int64", "the arrival that caused it, directly or chained"),
            Column("listener", "uint64", "cookie of that arrival's listener"),
            Column(
                "blocked_in",
                "text",
                "what it waited in: accept, epoll, select, poll, io_uring, signal, recvmsg, lock;"
                " other: another call, or none, as for a page of its memory",
            ),
            Column(
                "running_ns",
                "int64",
                "first ran on a CPU; null where that wasn't seen, and for a wakeup on the way to accept: that"
                " is part of an arrival's",
            ),
            Column("running_cpu", "int32", "that CPU"),
            Column(
                "slept_ns",
                "int64",
                "slept again; after an arrival's wakeup: to wait for connections, or having tried to accept",
            ),
            Column("on_cpu_ns", "int64", "time on a CPU in between (4.29 s at the most)"),
            Column(
                "outcome",
                "text",
                "productive, wasted_in_kernel or wasted_in_user; null where it had not slept again, or it"
                " can't be told whether it had reached user space",
            ),
            Column("accepts", "int32", "connections accepted before it slept again"),
            Column(
                "eagain",
                "int32",
                "accepts that found nothing before it slept again; null: the light probe doesn't see them",
            ),
        ),
    ),
    "accepts": Table(
        "one accept that returned a connection",
        (
            Column(
                "time_ns",
                "int64",
                "accept returned, or completed in an io_uring; by the light probe: was about to return",
            ),
            Column(
                "entered_ns",
                "int64",
                "accept was called, or submitted; a multishot one gave the connection before; null where only"
                " returns are seen: of a TCP listener, unless by the functions probe",
            ),
            Column("worker", "int32", "number of the worker, from 0"),
            Column("tid", "int32", "its thread id"),
            Column("cpu", "int32", "where it returned"),
            Column("listener", "uint64", "cookie of the listening socket"),
            Column("peer", "text", "the client's address"),
            Column("peer_port", "int32", "the client's port"),
            Column("arrival", "int64", "the arrival that it took"),
            Column(
                "queue_delay_ns",
                "int64",
                "arrival to accept's return; null: it was taken before the listener was told",
            ),
        ),
    ),
    "calls": Table(
        "one call of a kernel function on the path of an arrival (probe functions only)",
        (
            Column("time_ns", "int64", "entered"),
            Column("returned_ns", "int64", "returned"),
            Column("cpu", "int32", "where it ran"),
            Column("function", "text", "the kernel's name of it"),
            Column("listener", "uint64", "cookie of the listening socket"),
            Column(
                "arrival", "int64", "the arrival that it notified of; null in accept's own calls"
            ),
            Column(
                "pid", "int32", "the worker that it woke, or that called it; null: the notifier's"
            ),
            Column("depth", "int32", "how many calls of this table enclose it, there and then"),
            Column(
                "result", "int32", "of a wake function: 1 = it woke; of accept: 1 = a connection"
            ),
        ),
    ),
    "workers": Table(
        "a worker",
        (
            Column("worker", "int32", "number of the worker, from 0"),
            Column("pid", "int32", "its process id; where it is a thread, its thread id"),
            Column("listener", "uint64", "cookie of the socket that it accepts on"),
            Column(
                "accepts",
                "int64",
                "connections, by its own count; by the probe's where it keeps none; in a run with"
                " tokens: those it took",
            ),
            Column(
                "served",
                "int64",
                "connections it answered, whoever accepted them, by its own count, if it keeps one;"
                " or tokens it passed on",
            ),
            Column(
                "eagain", "int64", "accepts that found nothing, by its own count, if it keeps one"
            ),
            Column("signals", "int64", "signals that told it of connections, likewise"),
            Column("errors", "int64", "accepts or answers that failed otherwise, likewise"),
            Column("wakeups", "int64", "by an arrival"),
            Column("wasted", "int64", "of them, without a connection accepted"),
            Column("voluntary_switches", "int64", "getrusage, from its first wait to its stop"),
            Column("involuntary_switches", "int64", "likewise"),
            Column("cpu_user_s", "double", "likewise, seconds"),
            Column("cpu_system_s", "double", "likewise, seconds"),
            Column("exit_status", "int32", "0, or minus the signal that killed it"),
        ),
    ),
}
