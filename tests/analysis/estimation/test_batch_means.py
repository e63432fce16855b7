"""Batch means cover the truth where neighbours are alike, and say when they cannot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.estimation.batch_means import (
    batch_means,
    lag_1,
    overlapping_variance,
    von_neumann_p,
)
from tests.analysis.estimation.samples import autoregressive, responses


def test_the_mean_of_a_chain_is_covered_where_independence_would_not() -> None:
    found = [batch_means(autoregressive(3000, 0.8, seed)) for seed in range(200)]
    assert sum(0.0 in one.band for one in found) >= 0.91 * 200
    assert sum(0.0 in one.overlapping for one in found) >= 0.90 * 200
    naive = sum(
        abs(autoregressive(3000, 0.8, seed).mean()) < 1.96 / np.sqrt(3000 * 0.36)
        for seed in range(200)
    )
    assert naive < 0.65 * 200


def test_the_mean_response_of_a_queue_is_covered() -> None:
    # M/M/1 at load 0.5 has mean response 2; the empty start is left out.
    rows = responses(0.5, 6000, 200, 1)[:, 1000:]
    covered = sum(2.0 in batch_means(row).band for row in rows)
    assert covered >= 0.90 * 200


def test_the_asymptotic_variance_of_a_chain_is_found() -> None:
    # 1 / (1 - rho)^2.
    chains = [autoregressive(5000, 0.8, seed) for seed in range(50)]
    found = [overlapping_variance(chain, 250) for chain in chains]
    assert np.mean(found) == pytest.approx(25.0, rel=0.1)


def test_overlapping_batches_are_as_their_definition_has_it() -> None:
    values = np.random.default_rng(3).standard_normal(12)
    size, n = 4, 12
    means = np.array([values[k : k + size].mean() for k in range(n - size + 1)])
    expected = n * size * ((means - values.mean()) ** 2).sum() / ((n - size + 1) * (n - size))
    assert overlapping_variance(values, size) == pytest.approx(expected)


def test_the_overlapping_interval_is_students_with_the_freedom_of_its_kind() -> None:
    # Meketon and Schmeiser 1984: one and a half times that of separate batches.
    found = batch_means(autoregressive(3000, 0.5, 4))
    freedom = 1.5 * (3000 / found.size - 1)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(found.asymptotic_variance / 3000)
    assert found.overlapping.half_width == pytest.approx(half)


def test_von_neumanns_test_holds_its_level_and_sees_alike_neighbours() -> None:
    independent = [von_neumann_p(np.random.default_rng(s).standard_normal(30)) for s in range(400)]
    assert 0.06 <= np.mean(np.array(independent) < 0.1) <= 0.14
    alike = [von_neumann_p(autoregressive(30, 0.7, s)) for s in range(100)]
    assert np.mean(np.array(alike) < 0.1) >= 0.9
    assert von_neumann_p(np.ones(10)) == 1.0


def test_a_short_run_of_a_slow_chain_is_not_trusted() -> None:
    slow = [batch_means(autoregressive(200, 0.995, seed)) for seed in range(40)]
    assert sum(not one.trusted for one in slow) >= 20
    assert all(one.batches == 10 for one in slow if not one.trusted)
    assert batch_means(np.random.default_rng(4).standard_normal(300)).trusted


def test_correlation_of_neighbours_is_known_for_a_chain() -> None:
    assert lag_1(autoregressive(20_000, 0.6, 5)) == pytest.approx(0.6, abs=0.03)
    assert lag_1(np.ones(5)) == 0.0


def test_too_few_values_are_refused() -> None:
    with pytest.raises(ValueError, match="50 values are too few"):
        batch_means(np.ones(50))
