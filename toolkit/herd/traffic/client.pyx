# cython: language_level=3, boundscheck=False, wraparound=False
"""Connections from the client's side: many at once, in one thread, each phase with its time.

In Cython: a connection takes some ten system calls, and Python around them took as long as half of those.
"""

import select
from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EALREADY, EINPROGRESS, ENODATA, EPROTO, EAGAIN, ECONNRESET, EINTR
from libc.errno cimport ECONNABORTED, ECONNREFUSED, EPIPE
from libc.errno cimport errno as failure
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from posix.unistd cimport close

from herd.area import HEADER_BYTES
from herd.families import INET
from herd.traffic.log import LAYOUT
from herd.traffic.manners import Manners
from herd.traffic.requests import BadAnswer, Unfinished
from herd.traffic.requests.first_byte import FirstByte


cdef extern from "<sys/epoll.h>" nogil:
    int EPOLL_CTL_ADD
    uint32_t EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP, EPOLLET
    ctypedef union epoll_data_t:
        int fd
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)


cdef extern from "<sys/socket.h>" nogil:
    int SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC, SOL_SOCKET, SO_ERROR, SO_LINGER, MSG_NOSIGNAL
    ctypedef unsigned int socklen_t
    struct sockaddr:
        pass
    struct linger:
        int l_onoff
        int l_linger
    int socket(int domain, int kind, int protocol)
    int bind(int fd, const sockaddr *address, socklen_t size)
    int connect(int fd, const sockaddr *address, socklen_t size)
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
    ssize_t send(int fd, const void *bytes, size_t size, int flags)
    ssize_t recv(int fd, void *bytes, size_t size, int flags)


cdef extern from "<netinet/in.h>" nogil:
    int IPPROTO_IP
    struct sockaddr_in6:
        uint16_t sin6_port  # sockaddr_in has its port in the same place
    uint16_t ntohs(uint16_t value)


cdef extern from *:
    """
    #define HERD_IP_BIND_ADDRESS_NO_PORT 24 /* linux/in.h, which can't be included beside netinet/in.h */
    /* Whoever sees the count sees the row. */
    static inline void count(int64_t *counter, int64_t value) { __atomic_store_n(counter, value, __ATOMIC_RELEASE); }
    """
    int IP_BIND_ADDRESS_NO_PORT "HERD_IP_BIND_ADDRESS_NO_PORT"
    void count(int64_t *counter, int64_t value) nogil


cdef packed struct Row:  # herd.traffic.log.LAYOUT
    uint64_t intended, started, established, first_byte, done, closed
    unsigned char source[4]
    uint16_t port, turn, error


if sizeof(Row) != LAYOUT.row.size:
    raise ImportError("herd.traffic.client was built for another layout of the log: install herd again")

cdef enum:
    EVENTS = 256
    BUFFER_BYTES = 65536

cdef int ROWS = 0
cdef int STARTED = LAYOUT.counters["started"] // 8
cdef int ESTABLISHED = LAYOUT.counters["established"] // 8
cdef int FINISHED = LAYOUT.counters["finished"] // 8
cdef int FAILED = LAYOUT.counters["failed"] // 8


cdef inline int64_t now() noexcept nogil:
    """Of CLOCK_MONOTONIC, ns."""
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1_000_000_000 + time.tv_nsec


cdef class Connection:
    cdef int fd  # -1: it has none (any more)
    cdef int which  # of the sources
    cdef int turn
    cdef uint16_t port
    cdef bint busy
    cdef int64_t intended, started, established, first_byte, done
    # Of an answer that has come in part: what there is, and how much more there must be at least.
    cdef list parts
    cdef Py_ssize_t missing

    def __cinit__(self):
        self.fd = -1
        self.busy = True


cdef class Verdict:
    """What was said of an answer: another one that is the same is not looked at again."""

    cdef bytes answer
    cdef bint usable
    cdef Py_ssize_t missing  # 0: it is whole


cdef class Client:
    """Opens connections to one address and sees them through: established, first byte, done, closed.

    :param target: host and port, or a unix socket's name
    :param sources: addresses to connect from, in turn
    :param area: where finished connections are written
    :param request: what to send on each
    :param family: of the target and the sources
    :param writes_ports: ask the kernel which port each connection has
    """

    cdef readonly object area, epoll
    cdef readonly int64_t started, established, finished, failed
    #: Failures since the last connection that did not fail.
    cdef readonly int64_t failed_in_a_row

    cdef object request
    cdef bint answered, server_closes, says_something, waits  # the request's
    cdef bytes says, says_last
    cdef Verdict midway, ended
    cdef int requests
    cdef int64_t hold_ns, think_ns
    cdef bint reset

    cdef int domain, epoll_fd
    cdef bint tcp, writes_ports, closing
    cdef bytes target
    cdef list sources, packed

    cdef unsigned char[::1] memory
    cdef int64_t *counters
    cdef Row *rows
    cdef int64_t capacity

    cdef dict connections  # by descriptor
    cdef object held, pausing, thinking
    cdef epoll_event events[EVENTS]
    cdef char buffer[BUFFER_BYTES]

    def __init__(
        self, target, sources, area, request=None, family=INET, manners=Manners(), *, writes_ports=True
    ):
        self.area = area
        cdef Py_ssize_t first_row = HEADER_BYTES
        self.memory = area.memory
        self.counters = <int64_t *>&self.memory[0]
        self.rows = <Row *>&self.memory[first_row]
        self.capacity = area.capacity
        self.domain, self.tcp = family.number, family.tcp
        self.target = family.sockaddr(target)
        self.sources = [family.sockaddr((source, 0)) for source in sources] if self.tcp else [b""]
        self.packed = [family.pack((source, 0))[0] for source in sources]
        self.writes_ports = writes_ports and self.tcp
        self.requests, self.reset = manners.requests, manners.reset
        self.hold_ns, self.think_ns = manners.hold_ns, manners.think_ns
        self.epoll = select.epoll()
        self.epoll_fd = self.epoll.fileno()
        self.connections = {}
        self.held, self.pausing, self.thinking = deque(), deque(), deque()
        self._ask_for(request or FirstByte())

    cdef int _ask_for(self, request) except -1:
        self.request = request
        self.answered, self.server_closes = request.answered, request.server_closes
        self.waits = self.answered or self.server_closes
        self.says, self.says_last = request.says(last=False), request.says(last=True)
        self.says_something = len(self.says_last) > 0
        self.midway, self.ended = Verdict(), Verdict()
        return 0

    @property
    def open_now(self):
        """Connections that aren't finished, and clients that think before they open the next."""
        return len(self.connections) + len(self.thinking)

    @property
    def unfinished(self):
        """Connections that aren't finished."""
        return len(self.connections)

    def start(self, int64_t intended):
        """Start one connection.

        :param intended: when it should have started, ns
        """
        cdef Connection connection = Connection.__new__(Connection)
        cdef bint pending = False
        connection.which = self.started % len(self.sources)
        connection.intended, connection.started = intended, now()
        self.started += 1
        count(&self.counters[STARTED], self.started)
        cdef int failed = self._connect(connection)
        if failed == EINPROGRESS or failed == EALREADY:
            pending = True
        elif failed:
            self._finish(connection, failed)
            return
        self.connections[connection.fd] = connection
        if not pending:
            self._establish(connection)
        if pending or (self.waits and connection.fd >= 0):
            self._watch(connection.fd, pending)

    cdef int _connect(self, Connection connection) except -1:
        """0, or why not, or not yet."""
        cdef int fd = socket(self.domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if fd < 0:
            return failure
        connection.fd = fd
        cdef const sockaddr *target = <const sockaddr *>PyBytes_AS_STRING(self.target)
        cdef socklen_t size = PyBytes_GET_SIZE(self.target)
        if self.tcp and self._bind(fd, self.sources[connection.which]):
            return failure
        cdef int failed = failure if connect(fd, target, size) else 0
        if failed == EINPROGRESS:
            # On loopback the handshake is over by now; asking again is cheaper than an epoll set. To send at
            # once would be, too, but then nobody knows whether it was over before.
            failed = failure if connect(fd, target, size) else 0
        if self.writes_ports and failed in (0, EINPROGRESS, EALREADY):
            connection.port = self._port(fd)
        return failed

    cdef int _bind(self, int fd, bytes source) except -2:
        """The address only: the port is chosen by connect, when the whole four-tuple is known, so that ports
        can't run out early."""
        cdef int yes = 1
        if setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes)):
            return -1
        return bind(fd, <const sockaddr *>PyBytes_AS_STRING(source), PyBytes_GET_SIZE(source))

    cdef uint16_t _port(self, int fd) noexcept:
        cdef sockaddr_in6 address
        cdef socklen_t size = sizeof(address)
        return 0 if getsockname(fd, <sockaddr *>&address, &size) else ntohs(address.sin6_port)

    cdef int _watch(self, int fd, bint pending) except -1:
        cdef epoll_event event
        event.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (EPOLLOUT if pending else 0)
        event.data.fd = fd
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, fd, &event):
            raise OSError(failure, "epoll_ctl")
        return 0

    def poll(self, double seconds=0):
        """Take in what has happened.

        :param seconds: to wait for something, in steps of 1 ms
        """
        cdef int timeout = <int>(seconds * 1000 + 0.5)
        cdef int found, i
        cdef Connection connection
        with nogil:
            found = epoll_wait(self.epoll_fd, self.events, EVENTS, timeout)
        if found < 0:
            if failure != EINTR:
                raise OSError(failure, "epoll_wait")
            PyErr_CheckSignals()
        for i in range(found):
            connection = self.connections.get(self.events[i].data.fd)
            if connection is not None:
                self._advance(connection, self.events[i].events)
        if self.held or self.pausing or self.thinking:
            self._wake(now())

    def next_wake(self):
        """When the first held or thinking client has something to do, ns; ``None``: there is none."""
        if not (self.held or self.pausing or self.thinking):
            return None
        heads = [queue[0][0] for queue in (self.held, self.pausing) if queue]
        return min([*heads, *list(self.thinking)[:1]], default=None)

    cdef int _wake(self, int64_t time) except -1:
        cdef Connection connection
        while self.thinking and self.thinking[0] <= time:
            self.thinking.popleft()
        while self.held and self.held[0][0] <= time:
            connection = self.held.popleft()[1]
            if connection.fd >= 0:
                self._finish(connection, 0)
        while self.pausing and self.pausing[0][0] <= time:
            due, connection = self.pausing.popleft()
            if connection.fd >= 0:
                self._ask_again(connection, due)
        return 0

    cdef int _advance(self, Connection connection, uint32_t events) except -1:
        if not connection.established and not self._connected(connection, events):
            return 0
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP) and connection.fd >= 0:
            self._receive(connection, events)
        return 0

    cdef bint _connected(self, Connection connection, uint32_t events) except -1:
        cdef int failed = 0
        cdef socklen_t size = sizeof(failed)
        if events & EPOLLERR:
            getsockopt(connection.fd, SOL_SOCKET, SO_ERROR, &failed, &size)
            self._finish(connection, failed)
            return False
        if not events & EPOLLOUT:
            return False
        self._establish(connection)
        return True

    cdef int _establish(self, Connection connection) except -1:
        connection.established = now()
        self.established += 1
        count(&self.counters[ESTABLISHED], self.established)
        if self.answered:
            self._ask(connection)
        else:
            self._answered(connection, connection.established, False)
        return 0

    # -- request and answer -----------------------------------------------------------------------

    cdef int _ask(self, Connection connection) except -1:
        cdef bytes says = self.says_last if connection.turn + 1 >= self.requests else self.says
        connection.busy = True
        if not PyBytes_GET_SIZE(says):
            return 0
        if send(connection.fd, PyBytes_AS_STRING(says), PyBytes_GET_SIZE(says), MSG_NOSIGNAL) >= 0:
            return 0
        if failure not in (EPIPE, ECONNRESET, ECONNREFUSED, ECONNABORTED):  # what came back is still to be read
            self._finish(connection, failure)
        return 0

    cdef int _ask_again(self, Connection connection, int64_t intended) except -1:
        connection.intended, connection.started = intended, now()
        return self._ask(connection)

    cdef int _receive(self, Connection connection, uint32_t events) except -1:
        """Read what is there. The connection may be finished afterwards."""
        cdef ssize_t size = 1
        cdef int64_t time
        while size > 0:
            size = recv(connection.fd, self.buffer, BUFFER_BYTES, 0)
            if size <= 0:
                break
            time = now()
            connection.first_byte = connection.first_byte or time
            if not connection.done:
                self._take(connection, size, time)
            if connection.fd < 0:
                return 0
            if size < BUFFER_BYTES and not events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
                return 0  # what comes from now on is another event
        if size < 0 and failure == EAGAIN:
            return 0
        # Who answers without having read the request resets the connection as it closes.
        if size < 0 and not (failure == ECONNRESET and self.says_something and connection.first_byte):
            return self._finish(connection, failure)
        return self._ended(connection)

    cdef int _take(self, Connection connection, ssize_t size, int64_t time) except -1:
        cdef bytes answer
        cdef Verdict last = self.midway
        if connection.parts is None and self._is(last.answer, size):
            answer = last.answer
        else:
            answer = PyBytes_FromStringAndSize(self.buffer, size)
        if connection.parts is not None:
            connection.parts.append(answer)
            connection.missing -= size
            if connection.missing > 0:
                return 0
            answer = b"".join(connection.parts)
        cdef int bad = self._judge(last, answer, False)
        if bad:
            return self._finish(connection, bad)
        if last.missing:
            connection.parts, connection.missing = [answer], last.missing
            return 0
        return self._answered(connection, time, last.usable)

    cdef bint _is(self, bytes answer, ssize_t size) noexcept:
        """Whether what has just come is the same."""
        return (
            answer is not None
            and PyBytes_GET_SIZE(answer) == size
            and memcmp(PyBytes_AS_STRING(answer), self.buffer, size) == 0
        )

    cdef int _judge(self, Verdict last, bytes answer, bint ended) except -1:
        """What is wrong with an answer: 0, or what to count it as; the rest is in `last`."""
        if last.answer is not None and answer == last.answer:
            return 0
        last.answer, last.missing, last.usable = None, 0, False
        try:
            last.usable = self.request.check_answer(answer, ended=ended)
        except Unfinished as more:
            last.missing = more.missing
        except BadAnswer as bad:
            return bad.error
        last.answer = answer
        return 0

    cdef int _answered(self, Connection connection, int64_t time, bint usable) except -1:
        connection.done = time
        connection.busy = self.server_closes
        if usable and not self.closing and connection.turn + 1 < self.requests:
            self._write(connection, 0, 0)
            connection.turn += 1
            connection.first_byte = connection.done = connection.missing = 0
            connection.parts = None
            if not self.think_ns:
                return self._ask_again(connection, time)
            connection.busy = False
            self.pausing.append((time + self.think_ns, connection))
        elif self.server_closes and not self.closing:
            return 0
        elif self.hold_ns:
            self.held.append((time + self.hold_ns, connection))
        else:
            self._finish(connection, 0)
        return 0

    cdef int _ended(self, Connection connection) except -1:
        """The server has closed its side."""
        cdef int64_t time = now()
        if connection.done:
            return self._finish(connection, 0)
        if not connection.first_byte:
            return self._finish(connection, ENODATA)
        cdef bytes answer = b"".join(connection.parts or ())
        cdef int bad = self._judge(self.ended, answer, True)
        if bad or self.ended.missing:
            return self._finish(connection, bad or EPROTO)
        connection.done = time
        return self._finish(connection, 0)

    # -- the end ----------------------------------------------------------------------------------

    cdef int _finish(self, Connection connection, int error) except -1:
        cdef linger at_once = linger(1, 0)  # close sends a RST, and nothing stays in TIME_WAIT
        if connection.fd >= 0:
            self.connections.pop(connection.fd, None)
            if self.reset and connection.established:
                setsockopt(connection.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once))
            close(connection.fd)
            connection.fd = -1
        cdef int64_t time = now()
        self._write(connection, time if connection.established else 0, error)
        self.finished += 1
        count(&self.counters[FINISHED], self.finished)
        self.failed_in_a_row = self.failed_in_a_row + 1 if error else 0
        if error:
            self.failed += 1
            count(&self.counters[FAILED], self.failed)
        if self.think_ns:
            self.thinking.append(time + self.think_ns)
        return 0

    cdef int _write(self, Connection connection, int64_t closed, int error) except -1:
        cdef int64_t written = self.counters[ROWS]
        cdef bytes source = self.packed[connection.which]
        if written >= self.capacity:
            return 0
        cdef Row *row = &self.rows[written]
        row.intended, row.started = connection.intended, connection.started
        row.established, row.first_byte = connection.established, connection.first_byte
        row.done, row.closed = connection.done, closed
        memcpy(row.source, PyBytes_AS_STRING(source), sizeof(row.source))
        row.port, row.turn, row.error = connection.port, connection.turn, error
        count(&self.counters[ROWS], written + 1)
        return 0

    def close_after_answer(self):
        """Ask no more on the connections that are open."""
        cdef Connection connection
        self.closing = self.requests > 1
        for _, connection in self.pausing:
            if connection.fd >= 0:
                self._finish(connection, 0)
        self.pausing.clear()

    def give_up(self, int error, before=None):
        """End what is still open, each with this error.

        :param before: only those that have waited for an answer since then, ns
        """
        cdef Connection connection
        for connection in list(self.connections.values()):
            if before is None or (connection.busy and connection.started < before):
                self._finish(connection, error)
