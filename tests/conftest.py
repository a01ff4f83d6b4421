"""What the tests need of the host, and how ``HERD_REQUIRE`` turns a skip into a failure."""

from __future__ import annotations

import functools
import os

import pytest

#: Markers of tests that not every host can run → the word in HERD_REQUIRE that insists on them.
NEEDS = {"kernel": "ebpf"}


@functools.cache
def lacking(marker: str) -> str | None:
    """Why tests with this marker cannot run here."""
    from herd.host.checks import run_checks

    assert marker == "kernel"
    return next((f"{c.name}: {c.detail}" for c in run_checks() if c.required and not c.found), None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    required = os.environ.get("HERD_REQUIRE", "").split(",")
    for marker, word in NEEDS.items():
        why = lacking(marker) if item.get_closest_marker(marker) else None
        if why and word in required:
            pytest.fail(f"HERD_REQUIRE={word}, but {why}", pytrace=False)
        elif why:
            pytest.skip(why)
