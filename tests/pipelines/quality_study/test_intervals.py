"""Intervals: known values, and as many misses as 95 % allows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from pipelines.quality_study.intervals import bootstrap_mean, wilson


@pytest.mark.parametrize(("right", "of"), [(0, 20), (1, 30), (95, 100), (199, 200), (200, 200)])
def test_wilson_is_scipys(right: int, of: int) -> None:
    mine = wilson(right, of)
    theirs = binomtest(right, of).proportion_ci(0.95, method="wilson")
    assert (mine.low, mine.high) == pytest.approx((theirs.low, theirs.high), abs=1e-6)
    assert mine.low <= mine.value == right / of <= mine.high


@pytest.mark.parametrize(("right", "of"), [(1, 0), (-1, 5), (6, 5)])
def test_a_share_that_cannot_be_is_refused(right: int, of: int) -> None:
    with pytest.raises(ValueError, match="a share needs"):
        wilson(right, of)


def test_the_bootstrap_repeats_and_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        found = bootstrap_mean(rng.normal(3.0, 1.0, (2, 60)), seed=2)
        inside += found.low <= 3.0 <= found.high
    assert 180 <= inside <= 199


def test_the_same_values_give_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(size=(1, 40))
    assert bootstrap_mean(values, 4) == bootstrap_mean(values, 4)


def test_no_difference_at_all_leaves_no_interval() -> None:
    found = bootstrap_mean(np.zeros((2, 50)), seed=1)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_pictures_are_drawn_within_their_category() -> None:
    # All of one category lost and none of the other: the mean over both is certain.
    found = bootstrap_mean(np.stack([np.ones(50), np.zeros(50)]), seed=1)
    assert (found.low, found.high) == (0.5, 0.5)


def test_values_without_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="groups, pictures"):
        bootstrap_mean(np.zeros(5), seed=1)
