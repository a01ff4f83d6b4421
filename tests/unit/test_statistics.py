"""Intervals and effect sizes, against distributions whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from herd.analysis import statistics


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says():
    random = np.random.default_rng(7)
    covered = [10.0 in statistics.mean(random.normal(10, 2, 30)) for _ in range(100)]
    assert 85 <= sum(covered) <= 100


def test_one_value_says_nothing_of_its_spread():
    assert statistics.mean([3.0]) == statistics.Interval(3.0, None, None, 1)


def test_repeats_that_are_all_alike_have_an_interval_of_no_width():
    assert statistics.mean([16.0] * 5) == statistics.Interval(16.0, 16.0, 16.0, 5)


def test_the_same_data_give_the_same_interval():
    assert statistics.mean([1, 2, 4, 8]) == statistics.mean([1, 2, 4, 8])


def test_one_that_is_far_off_moves_the_median_little_and_the_mean_much():
    values = [float(value) for value in range(1, 20)]
    before, after = statistics.median(values), statistics.median([*values, 1000.0])
    assert (before.estimate, after.estimate) == (10.0, 10.5)
    assert 5 < after.ends[0] < 10 < after.ends[1] < 16
    assert statistics.mean([*values, 1000.0]).estimate > 50


def test_difference_and_ratio_say_which_way():
    before, after = [1.0, 2.0, 3.0], [11.0, 12.0, 13.0]
    change = statistics.difference(before, after)
    assert change.estimate == pytest.approx(10)
    assert change.low is not None
    assert change.low > 0
    assert statistics.ratio(before, after).estimate == pytest.approx(6)
    assert statistics.cliffs_delta(before, after) == 1
    assert statistics.cliffs_delta(after, before) == -1
    assert statistics.cliffs_delta(before, before) == 0


def test_whether_an_interval_reaches_between_two_values():
    interval = statistics.Interval(2.0, 1.0, 3.0, 5)
    assert interval.overlaps(2.9, 4)
    assert not interval.overlaps(3.1, 4)
    assert 1.5 in interval
    assert 3.5 not in interval
