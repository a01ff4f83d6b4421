"""What Python programs and notebooks call, without privileges."""

from __future__ import annotations

import os
import socket

import pytest

import herd
from herd import lessons
from herd.errors import UsageError
from herd.host import privileges
from tests.recordings import reference


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def unprivileged(monkeypatch):
    monkeypatch.setattr(privileges, "may_load_bpf", lambda: False)
    lessons.why_not_live.cache_clear()
    yield
    lessons.why_not_live.cache_clear()


def test_each_public_name_is_there():
    assert all(getattr(herd, name) for name in herd.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        herd.nonsense  # noqa: B018


def test_inspect_tells_who_holds_a_socket_by_address_or_by_process(listener):
    port = listener.getsockname()[1]
    [by_port] = herd.inspect(f"127.0.0.1:{port}")["listeners"]
    assert os.getpid() in by_port["shared_by"]
    held = herd.inspect(pid=os.getpid())["listeners"]
    assert port in {int(each["address"].rpartition(":")[2]) for each in held}


@pytest.mark.parametrize("look", [herd.inspect, herd.waitqueue, herd.watch])
def test_where_nobody_listens_the_error_is_that_of_the_command(look, listener):
    target = f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    with pytest.raises(UsageError, match="nothing listens"):
        look(target)


def test_an_observation_that_would_not_end_is_refused(listener):
    with pytest.raises(UsageError, match="duration_s"):
        herd.watch(":80", duration_s=0)


def test_a_picture_that_is_not_there_is_named_with_its_nearest():
    with pytest.raises(UsageError, match="overvew"):
        herd.draw("overvew", herd.load(reference("accept")))


def test_a_picture_is_a_figure():
    assert herd.draw("overview", herd.load(reference("accept"))).axes


def test_a_recording_shows_itself_in_a_notebook_in_the_words_of_the_report():
    shown = herd.load(reference("epoll"))._repr_html_()
    assert shown.startswith("<pre>epoll, 16 workers, 200 connections")
    assert "16.00  (predicted 16: held)" in shown
    assert "workers&#x27; CPU" in shown


def test_without_privileges_the_recording_is_shown_and_said_to_be_one(unprivileged, capsys):
    run = herd.live_or_recorded(reference("epoll"), live=pytest.fail)
    assert run.path == reference("epoll")
    said = capsys.readouterr().out
    assert "may not load BPF programs): epoll, 16 workers, 200 connections" in said
    assert run.run["started_at"][:10] in said
    assert said.startswith("RECORDED (")


def test_what_is_live_is_said_to_be_so(monkeypatch, capsys):
    monkeypatch.setattr(lessons, "why_not_live", lambda: None)
    other = herd.load(reference("accept"))
    assert herd.live_or_recorded(reference("epoll"), live=lambda: other) is other
    assert capsys.readouterr().out.startswith("LIVE, just now: accept, 16 workers")


def test_recordings_can_be_asked_for_on_any_host(monkeypatch):
    monkeypatch.setenv(lessons.RECORDED, "1")
    lessons.why_not_live.cache_clear()
    assert herd.why_not_live() == "HERD_RECORDED is set"
    lessons.why_not_live.cache_clear()
