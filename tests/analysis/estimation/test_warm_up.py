"""MSER-5 cuts where a known transient ends, and says when it cannot tell."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.estimation.warm_up import mser5
from tests.analysis.estimation.samples import autoregressive


def test_a_step_is_cut_off_where_it_ends() -> None:
    cuts = []
    for seed in range(40):
        values = np.random.default_rng(seed).standard_normal(1000)
        values[:100] += 5.0
        found = mser5(values)
        assert found.settled
        assert abs(found.mean_of_rest) < abs(found.mean_of_all)
        cuts.append(found.cut)
    assert min(cuts) == 100
    assert np.median(cuts) <= 130


def test_a_fading_transient_is_mostly_left_out_and_the_bias_with_it() -> None:
    before, after = [], []
    for seed in range(40):
        values = autoregressive(1500, 0.5, seed) + 10 * np.exp(-np.arange(1500) / 60)
        found = mser5(values)
        before.append(found.mean_of_all)
        after.append(found.mean_of_rest)
    assert np.mean(before) > 0.3
    assert abs(np.mean(after)) < 0.1 * np.mean(before)


def test_without_a_transient_little_is_cut() -> None:
    cuts = [mser5(np.random.default_rng(seed).exponential(size=1000)).cut for seed in range(40)]
    assert np.median(cuts) <= 50


def test_a_run_that_never_settles_is_told() -> None:
    assert not mser5(np.arange(200.0) + np.random.default_rng(1).standard_normal(200)).settled


def test_the_statistic_is_whites() -> None:
    values = np.random.default_rng(2).exponential(size=103)
    means = values[:100].reshape(20, 5).mean(axis=1)
    rest = means[3:]
    found = mser5(values)
    assert len(found.statistic) == 15
    assert found.statistic[3] == pytest.approx(((rest - rest.mean()) ** 2).sum() / rest.size**2)
    assert found.cut == 5 * int(np.argmin(found.statistic))


def test_too_few_values_are_refused() -> None:
    with pytest.raises(ValueError, match="20 values are too few"):
        mser5(np.ones(20))
