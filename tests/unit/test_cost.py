"""What programs cost is measured now and then, and what others have measured meanwhile isn't ours."""

from __future__ import annotations

import os

import pytest

from herd.probes import cost

SECOND = 1_000_000_000


class Kernel:
    """Its clock, and its count of one program: a run a ms, of 50 ns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 10 * SECOND
        self.measuring: list[int] = []
        monkeypatch.setattr(cost.time, "monotonic_ns", lambda: self.now)
        monkeypatch.setattr(cost.bpf, "enable_statistics", self.enable)
        monkeypatch.setattr(cost.Cost, "_read", lambda _: (self.now // 10**6, self.now // 20_000))

    def enable(self) -> int:
        self.measuring.append(os.open(os.devnull, os.O_RDONLY))
        return self.measuring[-1]

    def passes(self, ms: int, measured: cost.Cost) -> None:
        for _ in range(ms // 10):
            measured.tick()
            self.now += 10**7


@pytest.fixture
def kernel(monkeypatch):
    return Kernel(monkeypatch)


def test_a_fortieth_of_the_time_is_measured_by_who_looks_often(kernel):
    measured = cost.Cost([])
    kernel.passes(6000, measured)
    assert len(kernel.measuring) == 3
    assert measured.end() == {"runs": 150, "ns": 7500, "measured_ns": 150_000_000}
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(kernel.measuring[-1])  # the kernel measures no more


def test_the_end_comes_while_it_is_measured(kernel):
    measured = cost.Cost([])
    kernel.passes(30, measured)
    assert measured.end() == {"runs": 30, "ns": 1500, "measured_ns": 30_000_000}


def test_a_kernel_that_does_not_measure_leaves_it_unknown(kernel, monkeypatch):
    monkeypatch.setattr(cost.bpf, "enable_statistics", lambda: None)
    measured = cost.Cost([])
    kernel.passes(3000, measured)
    assert measured.end() is None
