"""The FastCGI responder's protocol, over a socket pair; and fcgistarter's way to find a program."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from herd import fcgi, fcgistarter
from herd.errors import HerdError, UsageError

PATIENCE_S = 10.0
GET = {b"REQUEST_METHOD": b"GET", b"REQUEST_URI": b"/there?a=1"}


class Peer:
    """A web server's end of a connection that the responder holds in a thread."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(PATIENCE_S)
        self.stream = self.ours.makefile("rb")
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._hold, args=(theirs,))
        self._thread.start()

    def _hold(self, connection: socket.socket) -> None:
        with connection:
            try:
                fcgi.Conversation(connection).hold()
            except (fcgi.Garbage, OSError) as error:
                self.error = error

    def send(self, *parts: bytes) -> None:
        self.ours.sendall(b"".join(parts))

    def record(self) -> tuple[int, int, bytes]:
        return next(fcgi.records(self.stream))

    def answer(self, request: int = 1) -> str:
        """The standard output of a request, whose records must come in order."""
        kind, of, content = self.record()
        assert (kind, of) == (fcgi.STDOUT, request)
        assert self.record() == (fcgi.STDOUT, request, b"")
        assert self.record() == (fcgi.END, request, bytes(8))
        header, _, body = content.decode().partition("\r\n\r\n")
        assert header == "Content-type: text/plain"
        return body

    def closed(self) -> bool:
        return self.stream.read(1) == b""

    def stop(self) -> None:
        self.stream.close()
        self.ours.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def peer():
    found = Peer()
    yield found
    found.stop()


def request(number: int = 1, flags: int = 0, body: bytes = b"") -> bytes:
    parts = [fcgi.begin(number, flags=flags), fcgi.record(fcgi.PARAMS, number, fcgi.pack(GET))]
    parts.append(fcgi.record(fcgi.PARAMS, number))
    if body:
        parts.append(fcgi.record(fcgi.STDIN, number, body))
    return b"".join([*parts, fcgi.record(fcgi.STDIN, number)])


def test_a_request_is_answered_with_the_pid_and_the_connection_closed(peer):
    peer.send(request())
    assert peer.answer() == f"pid {os.getpid()} answers GET /there?a=1, 0 bytes of input\n"
    assert peer.closed()


def test_the_whole_request_of_the_load_is_one(peer):
    peer.send(fcgi.get({b"SCRIPT_NAME": b"/short"}))
    assert "GET /short" in peer.answer()
    assert peer.closed()


def test_a_connection_that_is_to_be_kept_takes_more_requests(peer):
    for number in (1, 2, 7):
        peer.send(request(number, fcgi.KEEP_CONNECTION, b"x" * number))
        assert f"{number} bytes of input" in peer.answer(number)
    peer.send(request())
    peer.answer()
    assert peer.closed()


def test_parameters_and_input_may_come_in_any_pieces(peer):
    values = fcgi.pack(GET | {b"LONG": b"v" * 70_000})
    pieces = [values[i : i + 997] for i in range(0, len(values), 997)]
    whole = fcgi.begin(1) + b"".join(fcgi.record(fcgi.PARAMS, 1, piece) for piece in pieces)
    whole += fcgi.record(fcgi.PARAMS, 1)
    whole += b"".join(fcgi.record(fcgi.STDIN, 1, b"z" * 10) for _ in range(5))
    whole += fcgi.record(fcgi.STDIN, 1)
    for at in range(0, len(whole), 1013):
        peer.send(whole[at : at + 1013])
    assert "50 bytes of input" in peer.answer()


def test_padding_is_left_out(peer):
    values = fcgi.pack(GET)
    padded = bytes([1, fcgi.PARAMS, 0, 1, 0, len(values), 5, 0]) + values + b"PAD.."
    peer.send(fcgi.begin(1), padded, fcgi.record(fcgi.PARAMS, 1), fcgi.record(fcgi.STDIN, 1))
    assert "GET /there?a=1" in peer.answer()


def test_an_aborted_request_ends_at_once(peer):
    peer.send(fcgi.begin(1, flags=fcgi.KEEP_CONNECTION), fcgi.record(fcgi.ABORT, 1))
    assert peer.record() == (fcgi.END, 1, bytes(8))
    peer.send(request(2))
    peer.answer(2)


def test_a_second_request_at_the_same_time_is_refused(peer):
    first = request(1)
    peer.send(first[:16], fcgi.begin(2), fcgi.record(fcgi.STDIN, 2), first[16:])
    assert peer.record() == (fcgi.END, 2, bytes([0, 0, 0, 0, fcgi.CANNOT_MULTIPLEX, 0, 0, 0]))
    peer.answer(1)


def test_another_role_is_refused(peer):
    peer.send(fcgi.begin(1, role=2))
    assert peer.record() == (fcgi.END, 1, bytes([0, 0, 0, 0, fcgi.UNKNOWN_ROLE, 0, 0, 0]))
    assert peer.closed()


def test_management_records_are_answered(peer):
    asked = fcgi.pack({b"FCGI_MPXS_CONNS": b"", b"FCGI_MAX_CONNS": b"", b"OTHER": b""})
    peer.send(fcgi.record(fcgi.GET_VALUES, 0, asked), fcgi.record(99, 0, b"what?"))
    kind, number, content = peer.record()
    assert (kind, number) == (fcgi.GET_VALUES_RESULT, 0)
    assert fcgi.unpack(content) == {b"FCGI_MPXS_CONNS": b"0", b"FCGI_MAX_CONNS": b"1"}
    assert peer.record() == (fcgi.UNKNOWN_TYPE, 0, bytes([99, *bytes(7)]))


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x01\x01",
        fcgi.begin(1)[:-3],
        fcgi.record(fcgi.BEGIN, 1, b"\x00\x01"),
        fcgi.begin(1) + fcgi.record(fcgi.PARAMS, 1, b"\x04\x04ab") + fcgi.record(fcgi.STDIN, 1),
        fcgi.begin(1) + fcgi.record(fcgi.PARAMS, 1, b"\xff\xff") + fcgi.record(fcgi.STDIN, 1),
        fcgi.record(fcgi.GET_VALUES, 0, b"\x7f"),
    ],
)
def test_garbage_ends_the_connection(peer, garbage):
    peer.send(garbage)
    peer.ours.shutdown(socket.SHUT_WR)
    assert peer.closed()
    peer.stop()
    assert isinstance(peer.error, fcgi.Garbage)


def test_parameters_without_an_end_end_the_connection(peer):
    pieces = fcgi.record(fcgi.PARAMS, 1, bytes(60_000)) * 100
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        peer.send(fcgi.begin(1), pieces)
    peer.stop()
    assert isinstance(peer.error, fcgi.Garbage)


@pytest.mark.parametrize("sizes", [(0, 0), (1, 127), (127, 128), (128, 1), (70_000, 3)])
def test_pairs_come_back(sizes):
    values = {b"n" * sizes[0]: b"v" * sizes[1], b"other": b""}
    assert fcgi.unpack(fcgi.pack(values)) == values


def test_as_a_script_it_serves_one_peer_after_the_other():
    """Also after one that sent garbage, and on a listener that somebody left non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        command = [sys.executable, "-I", "-S", fcgi.__file__]
        with subprocess.Popen(command, stdin=listener.fileno()) as process:
            try:
                for sent in (b"nonsense that is long enough", request(), request()):
                    with socket.create_connection(listener.getsockname(), PATIENCE_S) as sock:
                        sock.sendall(sent)
                        sock.shutdown(socket.SHUT_WR)
                        answer = sock.makefile("rb").read()
                assert re.search(rb"pid %d answers GET" % process.pid, answer)
            finally:
                process.terminate()


def test_as_a_script_without_a_listener_it_says_so():
    connected, _other = socket.socketpair()
    for stdin in (subprocess.DEVNULL, connected):
        done = subprocess.run(
            [sys.executable, "-S", fcgi.__file__],
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("fcgi.py: descriptor 0 is not a listening socket")


def test_a_program_is_found_by_its_path_or_by_path(tmp_path, monkeypatch):
    program = tmp_path / "serve"
    program.touch(mode=0o755)
    assert fcgistarter.executable(str(program)) == str(program)
    monkeypatch.chdir(tmp_path)
    assert fcgistarter.executable("./serve") == str(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fcgistarter.executable("serve") == str(program)


def test_a_program_that_cannot_be_one_is_refused(tmp_path):
    plain = tmp_path / "plain"
    plain.touch(mode=0o644)
    for name, why in (
        (str(plain), "is not executable"),
        (str(tmp_path), "is a folder"),
        (str(tmp_path / "none"), "there is no program"),
        ("no-such-program", "there is no program"),
    ):
        with pytest.raises(UsageError, match=why):
            fcgistarter.executable(name)


def test_a_port_that_is_taken_or_a_name_that_is_unknown_is_said():
    with fcgistarter.listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(HerdError, match=f"127.0.0.1 port {port}: Address already in use"):
            fcgistarter.listen("127.0.0.1", port)
    with pytest.raises(HerdError, match=r"cannot listen on nosuch[.]invalid port 9"):
        fcgistarter.listen("nosuch.invalid", 9)


def test_the_responder_needs_nothing_of_ours():
    """A bare interpreter runs it: only the standard library is imported."""
    text = Path(fcgi.__file__).read_text()
    assert "herd" not in " ".join(re.findall(r"^(?:from|import) .*", text, re.MULTILINE))
