"""Intervals hold what they promise, and know that neighbours are alike."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import intervals
from analysis.intervals import (
    block_bootstrap,
    correlation_length,
    count_rate,
    effective_size,
    growth,
    mean_of,
    percentile_of,
    share_difference,
    student,
    wilson,
)


def autoregressive(n: int, rho: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(n)
    values = np.empty(n)
    values[0] = noise[0] / np.sqrt(1 - rho**2)
    for i in range(1, n):
        values[i] = rho * values[i - 1] + noise[i]
    return values


def test_wilson_matches_published_values() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263, and 0 of 20.
    band = wilson(81, 263)
    assert (band.low, band.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20).high == pytest.approx(0.1611, abs=5e-5)
    assert wilson(0, 20).low == 0.0


def test_wilson_refuses_a_share_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="share"):
        wilson(3, 2)
    with pytest.raises(ValueError, match="share"):
        wilson(0, 0)


def test_difference_of_shares_matches_published_values() -> None:
    # Newcombe 1998, Statistics in Medicine 17, 873-890, table II, method 10: 56/70 and 48/80.
    band = share_difference(56, 70, 48, 80)
    assert (band.low, band.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_correlation_length_is_one_for_independent_values_and_known_for_a_chain() -> None:
    independent = np.random.default_rng(1).standard_normal(20_000)
    assert correlation_length(independent) == pytest.approx(1.0, abs=0.15)
    # Theory for an autoregressive chain: (1 + rho) / (1 - rho).
    assert correlation_length(autoregressive(50_000, 0.8, 2)) == pytest.approx(9.0, rel=0.15)
    assert effective_size(np.ones(10)) == 10.0


def test_bootstrap_covers_the_mean_of_a_chain_where_independence_would_not() -> None:
    covered = naive = 0
    for seed in range(120):
        values = autoregressive(600, 0.8, seed)
        covered += 0.0 in block_bootstrap(values, mean_of, seed, draws=300)
        half = 1.96 * values.std() / np.sqrt(values.size)
        naive += abs(values.mean()) <= half
    assert covered >= 0.85 * 120
    assert naive <= 0.65 * 120


def test_bootstrap_of_a_percentile_holds_the_true_one_and_is_seeded() -> None:
    values = np.random.default_rng(3).exponential(size=2000)
    band = block_bootstrap(values, percentile_of(0.95), 1)
    assert -np.log(0.05) in band
    assert band == block_bootstrap(values, percentile_of(0.95), 1)
    with pytest.raises(ValueError, match="no values"):
        block_bootstrap(np.array([]), mean_of, 1)


def test_growth_of_a_random_walk_is_its_drift_within_the_interval() -> None:
    inside = 0
    for seed in range(200):
        steps = np.random.default_rng(seed).poisson(3.0, 100) - 2.0
        levels = np.concatenate(([0.0], np.cumsum(steps)))[::10]
        found = growth(np.arange(0.0, 101.0, 10.0).tolist(), levels.tolist())
        inside += 1.0 in found.band
    assert inside >= 180


def test_growth_needs_looks_enough() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        growth([0.0, 1.0], [0.0, 1.0])


def test_rate_of_a_count_matches_published_values() -> None:
    # Garwood 1936, table 1: 10 events, 4.80 to 18.39; none, 0 to 3.69.
    band = count_rate(10, 1.0)
    assert (band.low, band.high) == pytest.approx((4.795, 18.390), abs=1e-3)
    assert count_rate(10, 20.0).low == pytest.approx(band.low / 20)
    assert (count_rate(0, 1.0).low, count_rate(0, 1.0).high) == pytest.approx((0, 3.689), abs=1e-3)
    with pytest.raises(ValueError, match="some time"):
        count_rate(3, 0.0)


def test_student_covers_a_mean_in_95_of_100_samples_of_four() -> None:
    rng = np.random.default_rng(5)
    covered = sum(0.0 in student(rng.standard_normal(4)) for _ in range(2000))
    assert 0.93 * 2000 <= covered <= 0.97 * 2000
    with pytest.raises(ValueError, match="at least 2 values"):
        student(np.ones(1))


def test_a_bootstrap_in_parts_is_the_same_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(6).exponential(size=300)
    whole = block_bootstrap(values, mean_of, 1)
    monkeypatch.setattr(intervals, "HELD_MAX", 5000)
    assert block_bootstrap(values, mean_of, 1) == whole
