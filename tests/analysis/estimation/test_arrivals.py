"""Poisson arrivals pass, and each way of not being Poisson is found and told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analysis.estimation.arrivals import (
    constant_rate_tests,
    cv,
    dispersions,
    drift_tests,
    holm,
    locally_exponential,
    power_at,
    study_arrivals,
)
from loadgen.arrivals import Burst, bursty, deterministic, poisson

Draw = Callable[[int, int], np.ndarray]
N = 400


def rejected(draw: Draw, n: int, runs: int) -> float:
    count = 0
    for seed in range(runs):
        times_s = draw(n, 1000 + seed)
        duration_s = max(float(n), float(times_s[-1]))
        count += any(test.rejected for test in constant_rate_tests(times_s, duration_s))
    return count / runs


def regular(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sort(deterministic(1.0, float(n)) + rng.uniform(0, 0.2, n))


def in_bursts(n: int, seed: int) -> np.ndarray:
    return bursty(1.0, float(n), seed, Burst(factor=4.0, share=0.15, mean_s=10.0))


def in_batches(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.repeat(np.cumsum(rng.exponential(3.0, n // 3)), 3)


def rising(n: int, seed: int) -> np.ndarray:
    # A Poisson process of rate 0.2 + 1.6 t / n, by the inverse of its cumulative rate.
    shares = poisson(1.0, float(n), seed) / n
    return np.asarray(n * (np.sqrt(0.04 + 3.2 * shares) - 0.2) / 1.6)


def test_95_of_100_poisson_processes_pass() -> None:
    for n in (60, N):
        assert rejected(lambda n, seed: poisson(1.0, float(n), seed), n, 150) <= 0.10


def test_each_test_alone_holds_its_level() -> None:
    low: dict[str, list[bool]] = {}
    for seed in range(300):
        times_s = poisson(1.0, 150.0, seed)
        for kind in (constant_rate_tests, drift_tests):
            for number, test in enumerate(kind(times_s, 150.0)):
                low.setdefault(f"{kind.__name__} {number} {test.name}", []).append(test.p < 0.2)
    # 20 %, and three standard errors; Lilliefors' table ends at 0.2, so less there is right.
    shares = {name: np.mean(found) for name, found in low.items()}
    assert all(share < 0.27 for share in shares.values()), shares
    assert all(share > 0.13 for name, share in shares.items() if "2 law" not in name), shares


@pytest.mark.parametrize("draw", [regular, in_bursts, in_batches, rising])
def test_other_processes_are_told_from_poisson(draw: Draw) -> None:
    assert rejected(draw, N, 20) >= 0.9


def test_a_drifting_rate_is_told_from_other_ways_of_not_being_poisson() -> None:
    drifting = [study_arrivals(rising(N, seed), float(N), power_draws=0) for seed in range(10)]
    assert sum(one.drifting for one in drifting) >= 8
    assert "rate is not constant" in next(one for one in drifting if one.drifting).verdict
    batches = in_batches(N, 1)
    found = study_arrivals(batches, float(batches[-1]), power_draws=0)
    assert not found.poisson
    assert not found.drifting
    assert "not a Poisson process" in found.verdict


def test_a_rate_that_changes_between_blocks_leaves_the_local_test_alone() -> None:
    passed = sum(
        not any(test.rejected for test in drift_tests(rising(N, seed), float(N)))
        for seed in range(60)
    )
    assert passed >= 51
    values = locally_exponential(rising(20_000, 3), 20_000.0)
    assert values.mean() == pytest.approx(1.0, abs=0.03)
    assert cv(values) == pytest.approx(1.0, abs=0.03)


def test_an_arrival_at_the_very_end_is_no_trouble() -> None:
    times_s = poisson(1.0, 100.0, 1)
    assert np.all(np.isfinite(locally_exponential(times_s, float(times_s[-1]))))


def test_rate_and_spread_are_those_of_the_process_within_their_intervals() -> None:
    inside = [study_arrivals(poisson(2.0, 200.0, seed), 200.0, power_draws=0) for seed in range(60)]
    assert sum(2.0 in one.rate_band for one in inside) >= 53
    assert sum(1.0 in one.cv_band for one in inside) >= 50
    assert inside[0].rate_per_s == inside[0].n / 200.0


def test_dispersion_is_variance_over_mean_in_windows_of_several_lengths() -> None:
    # 100 arrivals in a window of ten, none in the next, and so on.
    times_s = np.sort(np.concatenate([np.linspace(k, k + 0.99, 10) for k in range(0, 40, 2)]))
    found = dispersions(times_s, 40.0)
    assert [one.windows for one in found] == [40, 10]
    assert found[0].index == pytest.approx(40 / 39 * 25 / 5)
    assert found[1].index == pytest.approx(0.0)
    assert found[0].band.low < found[0].index < found[0].band.high


def test_more_arrivals_show_more_and_the_verdict_says_how_much() -> None:
    few = {one.alternative: one.share for one in power_at(40, draws=20)}
    many = {one.alternative: one.share for one in power_at(600, draws=20)}
    assert all(many[name] >= few[name] for name in few)
    assert few["gaps with a CV of 1.2"] < 0.6
    assert many["gaps with a CV of 1.2"] > 0.9
    verdict = study_arrivals(poisson(1.0, 40.0, 1), 40.0, power_draws=10).verdict
    assert "gaps with a CV of 1.2 in" in verdict


def test_holm_rejects_step_by_step() -> None:
    # 0.05 / 3, 0.05 / 2 and 0.05 / 1 are the limits in order of size.
    assert holm(np.array([0.04, 0.01, 0.02])).tolist() == [True, True, True]
    assert holm(np.array([0.04, 0.02, 0.01])).tolist() == [True, True, True]
    assert holm(np.array([0.03, 0.01, 0.03])).tolist() == [False, True, False]
    assert holm(np.array([0.02, 0.02, 0.02])).tolist() == [False, False, False]


def test_too_few_or_unordered_arrivals_are_refused() -> None:
    with pytest.raises(ValueError, match="3 arrivals are too few"):
        study_arrivals(np.array([1.0, 2.0, 3.0]), 4.0)
    with pytest.raises(ValueError, match="sorted"):
        study_arrivals(np.arange(30.0)[::-1], 40.0)
    with pytest.raises(ValueError, match="within the time"):
        study_arrivals(np.arange(30.0), 20.0)
