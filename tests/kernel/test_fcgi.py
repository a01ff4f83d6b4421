"""Workers that are programs, seen by real probes; and the responder behind real web servers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

import herd as library
from herd import fcgi
from herd.pool.program import waits
from tests.kernel.conftest import until

pytestmark = pytest.mark.kernel

SETTLED = ("-s", "fcgi", "-n", "3", "-c", "23", "--rate", "settled")


@pytest.fixture
def program(tmp_path):
    """Write an executable."""

    def write(text: str, mode: int = 0o755) -> str:
        path = tmp_path / "program"
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    return write


#: Knows nothing of FastCGI, and answers without having read what was asked.
STRANGER = f"""#!{sys.executable}
import socket
listener = socket.socket(fileno=0)
while True:
    connection, _ = listener.accept()
    connection.send(b"hello")
    connection.close()
"""

#: Waits in poll, and lets the kernel say that it came too late.
POLLS = f"""#!{sys.executable}
import select, socket
listener = socket.socket(fileno=0)
listener.setblocking(False)
poll = select.poll()
poll.register(0, select.POLLIN)
while True:
    poll.poll()
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    connection.send(b"hello")
    connection.close()
"""


def in_turn(run) -> None:
    """Waiters in accept are a queue: each gets every third connection, from the first worker on."""
    assert run.accepts["worker"].to_list() == [i % 3 for i in range(23)]
    assert run.workers["accepts"].to_list() == [8, 8, 7]
    assert run.workers["wakeups"].to_list() == [8, 8, 7]


def sound(summary) -> None:
    assert [law for law in summary["integrity"]["checks"] if law["ok"] is not True] == []
    assert summary["connections"]["errors"] == {}
    assert summary["arrivals"] == summary["accepts"] == summary["wakeups"]["productive"] == 23


def test_responders_take_connections_in_turn(herd):
    summary = herd.run(*SETTLED)
    sound(summary)
    assert summary["wakeups"]["total"] == 23
    assert summary["wakeups"]["wasted"] == 0
    run = library.load(summary["run"])
    in_turn(run)
    assert run.run["pool"]["logs"] is False
    # They keep no log; what they used, the kernel said as they ended.
    workers = run.workers
    assert workers["eagain"].isna().all()
    assert workers["errors"].isna().all()
    assert workers["exit_status"].to_list() == [0, 0, 0]
    assert workers["voluntary_switches"].sum() >= 23
    assert 0 < workers["cpu_user_s"].sum() + workers["cpu_system_s"].sum() < 2
    # Starting an interpreter isn't among it: that alone has over a hundred times its page faults' CPU.
    assert summary["cost"]["cpu_us_per_connection"] < 20_000


def test_a_program_that_knows_nothing_of_us_is_measured(herd, program, tmp_path):
    """The probe counts for each process what it says itself, in a file that herd knows nothing of."""
    said = tmp_path / "said"
    says = f"    print(os.getpid(), file=open({str(said)!r}, 'a'))\n"
    path = program(STRANGER.replace("import socket", "import os, socket") + says)
    summary = herd.run(*SETTLED, "--program", path)
    sound(summary)
    in_turn(library.load(summary["run"]))
    own = Counter(int(line) for line in said.read_text().split())
    assert own == {worker["pid"]: worker["accepts"] for worker in summary["workers"]}


def test_a_program_of_another_way_to_wait_is_a_herd(herd, program):
    """Its three processes share one descriptor that they polled: all wake, one gets it."""
    summary = herd.run(*SETTLED, "--program", program(POLLS))
    sound(summary)
    assert summary["wakeups"]["total"] == 3 * 23
    assert summary["prediction"]["held"] is False
    assert set(library.load(summary["run"]).wakeups["blocked_in"].dropna()) >= {"poll"}


def test_without_a_probe_accepts_are_unknown(herd):
    summary = herd.run(*SETTLED, "--probe", "none")
    assert summary["integrity"]["ok"] is True
    assert summary["accepts"] is None
    assert summary["fairness"]["jain"] is None
    assert {worker["accepts"] for worker in summary["workers"]} == {None}
    assert summary["connections"]["established"] == 23
    assert summary["connections"]["failed"] == 0
    assert herd("report", summary["run"]).returncode == 0


def test_paced_load_work_and_hold_reach_the_default_responder(herd):
    more = ("--work", "2000", "--hold", "5ms", "-c", "40", "--rate", "100")
    summary = herd.run("-s", "fcgi", "-n", "3", *more)
    assert summary["accepts"] == 40
    run = library.load(summary["run"])
    # From the kernel's accept on: a client that is late to see an answer must not shorten the hold.
    names = {"peer": "source", "peer_port": "port"}
    merged = run.connections.merge(run.accepts.rename(columns=names), on=list(names.values()))
    assert len(merged) == 40
    assert (merged["first_byte_ns"] - merged["time_ns"]).min() >= 2_000_000
    assert (merged["closed_ns"] - merged["time_ns"]).min() >= 6_000_000
    assert summary["cost"]["cpu_us_per_connection"] >= 2000


FAULTS = {
    "exits at once": (
        "#!/bin/sh\necho no database here >&2\nexit 3\n",
        0o755,
        1,
        ["ended with exit code 3 before it waited for a connection", "no database here"],
    ),
    "isn't a program": ("no program", 0o755, 1, ["cannot execute", "Exec format error"]),
    "isn't executable": ("#!/bin/sh\n", 0o644, 2, ["is not executable", "chmod +x"]),
    "has no interpreter": ("#!/no/such/thing\n", 0o755, 1, ["No such file or directory"]),
    "never waits": (
        "#!/bin/sh\necho thinking >&2\nsleep 1000\n",
        0o755,
        1,
        ["didn't wait for a connection within 10 s", "thinking", "on descriptor 0"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_program_that_cannot_serve_is_an_error_with_its_stderr(herd, program, fault):
    text, mode, status, says = FAULTS[fault]
    output = herd.output()
    done = herd("run", *SETTLED, "--program", program(text, mode), "--output", str(output))
    assert done.returncode == status
    for part in says:
        assert part in done.stderr
    assert not output.exists()


def test_a_program_that_is_not_there_is_refused_before_anything_starts(herd):
    done = herd("run", *SETTLED, "--program", "/no/such/program")
    assert done.returncode == 2
    assert "there is no program '/no/such/program'" in done.stderr


def test_a_program_that_waits_and_never_accepts_ends_the_run(herd, program):
    looks = f"#!{sys.executable}\nimport select, sys\nprint('I only look', file=sys.stderr, flush=True)\n"
    path = program(looks + "select.select([0], [], [])\nselect.select([], [], [])\n")
    output = herd.output()
    args = ("-s", "fcgi", "-n", "2", "-c", "10", "--rate", "100", "-o", str(output), "--json")
    done = herd("run", *args, "--program", path)
    assert done.returncode == 1
    assert "no connection was answered" in done.stderr
    assert "I only look" in done.stderr
    summary = json.loads(done.stdout)
    assert summary["complete"] is False
    assert summary["accepts"] == 0
    assert library.load(output).connections["error"].notna().all()


def test_programs_that_end_in_mid_run_are_named_with_their_stderr(herd, program):
    once = STRANGER.replace("while True:", "import sys\nfor _ in range(2):")
    path = program(once + "sys.exit('enough')\n")
    output = herd.output()
    done = herd("run", *SETTLED, "--program", path, "--output", str(output), "--json")
    assert done.returncode == 1
    assert "every worker has ended before the load did\nenough" in done.stderr
    run = library.load(output)
    for worker, note in enumerate(run.run["notes"]):
        assert re.match(rf"worker {worker} \(pid \d+\) ended with exit code 1 in mid-run", note)
    assert run.workers["accepts"].to_list() == [2, 2, 2]
    assert run.run["complete"] is False


def test_a_killed_program_leaves_the_others_serving(herd):
    args = ("-s", "fcgi", "-n", "3", "-c", "1000000", "--rate", "200", "-d", "3s", "--json")
    output = herd.output()
    process = herd.start("run", *args, "--output", str(output))
    raw = Path(f"{output}.partial")
    until(lambda: sum(f.stat().st_size for f in raw.glob("events-*.raw")) > 8192, "some arrivals")
    victim = max(herd.processes("herd/fcgi.py"))
    os.kill(victim, signal.SIGKILL)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"worker 2 (pid {victim}) was killed by SIGKILL" in error
    accepts = [worker["accepts"] for worker in json.loads(out)["workers"]]
    assert accepts[0] > accepts[2]
    assert accepts[1] > accepts[2]


def test_what_the_program_inherits_is_the_listener_and_nothing_else(herd, program, tmp_path):
    """Descriptors 0 to 2, no blocked signals, none ignored."""
    said = tmp_path / "said"
    look = f"""
import os, json
fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
masks = [status[name].strip() for name in ("SigBlk", "SigIgn")]
with open({str(said)!r}, "w") as file:
    json.dump([fds[:-1], masks, os.environ.get("PYTHONPATH")], file)
"""
    # Python itself ignores SIGPIPE and SIGXFSZ: a shell shows what it was given.
    inner = tmp_path / "inner.py"
    inner.write_text(look + STRANGER.partition("\n")[2])
    shell = (
        f"#!/bin/sh\ngrep SigIgn /proc/$$/status > {said}.ignored\nexec {sys.executable} {inner}\n"
    )
    herd.run("-s", "fcgi", "-n", "1", "-c", "3", "--rate", "settled", "--program", program(shell))
    fds, (blocked, _), path = json.loads(said.read_text())
    assert fds == [0, 1, 2]
    assert int(blocked, 16) == 0
    assert path is None
    # 32 and 33 are the C library's own, which no program can set.
    assert int(Path(f"{said}.ignored").read_text().split()[1], 16) & ~(0b11 << 31) == 0


def test_what_a_program_starts_ends_with_it(herd, program):
    """The fixture looks: the shell's own child must be gone, too."""
    server = STRANGER.partition("\n")[2]
    shell = f"#!/bin/sh\nsleep 1000 &\nexec {sys.executable} -c '{server}'\n"
    sound(herd.run(*SETTLED, "--program", program(shell)))


# -- fcgistarter -----------------------------------------------------------------------------------


@pytest.fixture
def starter(herd, program):
    """``herd fcgistarter`` with the responder, on a free port; its processes are ended afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    path = program(f"#!/bin/sh\nexec {sys.executable} -I -S {fcgi.__file__}\n")

    def start(number: int) -> int:
        args = ("-c", path, "-p", str(port), "-i", "127.0.0.1", "-N", str(number))
        done = herd("fcgistarter", *args)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        until(lambda: len(herd.processes("herd/fcgi.py")) == number, "its processes", 10)
        all_wait(herd)
        return port

    yield start
    for pid in herd.processes("herd/fcgi.py"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def all_wait(herd) -> None:
    """Each sleeps in accept: the next connection goes to the one that has slept the longest."""
    until(lambda: all(map(waits, herd.processes("herd/fcgi.py"))), "all wait again", 10)


def needs(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def test_it_stands_in_for_apaches(starter, herd):
    port = starter(3)
    listed = subprocess.run(
        ["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=True
    ).stdout
    assert listed.split()[:4] == ["LISTEN", "0", "1024", f"127.0.0.1:{port}"]
    pids = herd.processes("herd/fcgi.py")
    assert sorted(map(int, re.findall(r"pid=(\d+),fd=0", listed))) == sorted(pids)
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        assert os.getsid(pid) != os.getsid(0)
        assert re.search(r"^SigBlk:\s*0+$", status, re.MULTILINE)
        assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
        assert {fd.name for fd in Path(f"/proc/{pid}/fd").iterdir()} == {"0", "1", "2"}
    taken = herd("fcgistarter", "-c", "/bin/true", "-p", str(port), "-i", "127.0.0.1")
    assert taken.returncode == 1
    assert "Address already in use" in taken.stderr


def test_fcgistarter_says_what_apaches_cannot(herd, program):
    done = herd("fcgistarter", "-c", program("no program"), "-p", "9", "-i", "127.0.0.77")
    assert done.returncode == 1
    assert "Exec format error" in done.stderr
    assert herd("fcgistarter", "-p", "9").returncode == 2
    assert herd("fcgistarter", "-c", "/no/such", "-p", "9").returncode == 2
    assert herd("fcgistarter", "-c", "/bin/true", "-p", "0").returncode == 2


def test_cgi_fcgi_gets_its_answers_from_each_in_turn(herd, starter):
    cgi_fcgi = needs("cgi-fcgi")
    port = starter(3)
    pids = []
    for _ in range(6):
        all_wait(herd)
        done = subprocess.run(
            [cgi_fcgi, "-bind", "-connect", f"127.0.0.1:{port}"],
            input="12345",
            capture_output=True,
            text=True,
            timeout=20,
            env={"REQUEST_METHOD": "POST", "SCRIPT_NAME": "/six", "CONTENT_LENGTH": "5"},
        )
        found = re.fullmatch(
            r"Content-type: text/plain\r?\n\r?\npid (\d+) answers POST /six, 5 bytes of input\n",
            done.stdout,
        )
        assert found, done
        pids.append(found[1])
    assert set(Counter(pids).values()) == {2}


NGINX = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fcgi;
    proxy_temp_path {folder}/proxy;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream ours {{ server 127.0.0.1:{port}; {keepalive} }}
    server {{
        listen 127.0.0.1:{front};
        location / {{
            fastcgi_pass ours;
            {keep}
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param CONTENT_LENGTH $content_length;
        }}
    }}
}}
"""


@pytest.mark.parametrize("keep", [False, True])
def test_behind_nginx(herd, starter, tmp_path, keep):
    nginx = needs("nginx")
    port = starter(2)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        front = sock.getsockname()[1]
    config = tmp_path / "nginx.conf"
    lines = ("keepalive 4;", "fastcgi_keep_conn on;") if keep else ("", "")
    config.write_text(
        NGINX.format(folder=tmp_path, port=port, front=front, keepalive=lines[0], keep=lines[1])
    )
    # An environment of its own: the fixture doesn't count it among herd's processes.
    with subprocess.Popen([nginx, "-c", str(config), "-p", str(tmp_path)], env={}) as server:
        try:
            until(lambda: _connects(front), "nginx listens", 10)
            answers = []
            for i in range(8):
                answers.append(_fetch(f"http://127.0.0.1:{front}/page?{i}", b"x" * i))
                if not keep:  # a kept connection's worker sleeps in read
                    all_wait(herd)
        finally:
            server.send_signal(signal.SIGQUIT)
    pids = []
    for i, answer in enumerate(answers):
        method = "POST" if i else "GET"
        found = re.fullmatch(
            rf"pid (\d+) answers {method} /page\?{i}, {i} bytes of input\n", answer
        )
        assert found, answer
        pids.append(found[1])
    # Each connection goes to the next; a kept one stays with whoever has it.
    assert set(Counter(pids).values()) == ({8} if keep else {4})


def _connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _fetch(url: str, body: bytes) -> str:
    with urllib.request.urlopen(url, body or None, timeout=20) as answer:
        assert answer.headers["Content-Type"] == "text/plain"
        return answer.read().decode()
