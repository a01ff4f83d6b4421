"""What a user may point at."""

from __future__ import annotations

import pytest

from herd.errors import UsageError
from herd.observe.targets import Target, parse


@pytest.mark.parametrize(
    ("text", "target"),
    [
        (":80", Target(port=80)),
        ("127.0.0.1:65535", Target(port=65535, address="127.0.0.1")),
        ("[::1]:80", Target(port=80, address="::1")),
        ("[0:0::0:1]:80", Target(port=80, address="::1")),
        ("unix:/run/a:b.sock", Target(path="/run/a:b.sock")),
        ("unix:@name", Target(path="@name")),
    ],
)
def test_a_target(text, target):
    assert parse(text) == target
    assert parse(str(target)) == target


def test_a_process():
    assert parse(None, 1) == Target(pid=1)
    assert str(Target(pid=1)) == "--pid 1"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "80",
            ":",
            ":0",
            ":65536",
            ":-1",
            ":8o",
            ":٨٠",
            "127.0.0.1:",
            "localhost:80",
            "tcp:80",
        ),
        *("::1:80", "[127.0.0.1]:80", "[::1]", "[::1:80", "unix:", "unix:@"),
    ],
)
def test_what_is_no_target_is_refused_with_the_ways_to_write_one(text):
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert "unix:" in str(refused.value.hint)


@pytest.mark.parametrize(("text", "pid"), [(None, None), (":80", 1)])
def test_one_of_target_and_process_is_needed(text, pid):
    with pytest.raises(UsageError, match="one target or --pid"):
        parse(text, pid)
