"""Improvements from pairs, against known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.improvement.measures import BY_KEY
from analysis.improvement.paired import Improvement, improvement, with_holm
from analysis.intervals import Band

LATENCY, RATE, SHARE = (BY_KEY[key] for key in ("mean_s", "pictures_per_s", "within_2s"))


def test_half_the_latency_is_fifty_percent_and_twice_the_rate_a_hundred() -> None:
    ones, noise = np.array([1.0, 2.0, 3.0]), np.array([0.99, 1.0, 1.01])
    half = improvement(LATENCY, ones.tolist(), (0.5 * ones * noise).tolist())
    assert half.value == pytest.approx(50.0, abs=0.1)
    assert half.band.low < 50.0 < half.band.high
    twice = improvement(RATE, ones.tolist(), (2 * ones * noise).tolist())
    assert twice.value == pytest.approx(100.0, abs=0.1)


def test_what_got_worse_is_below_zero() -> None:
    ones, others = [1.0, 1.0, 1.0], [1.2, 1.25, 1.3]
    assert improvement(LATENCY, ones, others).value == pytest.approx(-25.0, abs=0.1)
    assert improvement(RATE, others, ones).value == pytest.approx(-20.0, abs=0.1)
    assert improvement(SHARE, [0.9, 0.8], [0.8, 0.72]).value == pytest.approx(-9.0)


def test_the_interval_is_students_on_the_logarithms() -> None:
    ones, others = np.array([1.0, 1.3, 0.8, 1.1]), np.array([0.7, 1.0, 0.5, 0.9])
    found = improvement(LATENCY, ones.tolist(), others.tolist())
    test = stats.ttest_rel(np.log(ones), np.log(others))
    interval = test.confidence_interval(0.95)
    assert found.p == pytest.approx(test.pvalue)
    assert found.band.low == pytest.approx(100 * -math.expm1(-interval.low))
    assert found.band.high == pytest.approx(100 * -math.expm1(-interval.high))


def test_a_drift_from_round_to_round_falls_out_of_the_pairs() -> None:
    rng = np.random.default_rng(1)
    drift = np.exp(rng.normal(0, 1.0, 6))
    found = improvement(LATENCY, drift.tolist(), (0.8 * drift).tolist())
    assert found.band.low == pytest.approx(20.0)
    assert found.band.high == pytest.approx(20.0)


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(2000):
        ones = np.exp(rng.normal(0, 0.5, 4))
        others = 0.7 * ones * np.exp(rng.normal(0, 0.1, 4))
        band = improvement(LATENCY, ones.tolist(), others.tolist()).band
        hits += band.low <= 30.0 <= band.high
    assert 0.935 < hits / 2000 < 0.965


def test_pairs_without_any_difference_prove_nothing_and_certain_ones_are_certain() -> None:
    assert improvement(LATENCY, [1.0, 2.0], [1.0, 2.0]).p == 1.0
    assert improvement(SHARE, [0.5, 0.5], [0.75, 0.75]).p == 0.0


def with_p(p: float, value: float = 1.0) -> Improvement:
    return Improvement("mean_s", 1.0, 1.0, 4, value, Band(0.0, 2.0), p)


def test_holm_corrects_for_the_whole_family() -> None:
    found = with_holm([with_p(0.01), with_p(0.04), with_p(0.03, -1.0), with_p(0.005)])
    assert [one.p_holm for one in found] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [one.verdict for one in found] == ["better", "open", "open", "better"]
    assert with_holm([with_p(0.01, -1.0)])[0].verdict == "worse"
    assert with_holm([]) == []


def test_before_the_correction_nothing_is_claimed() -> None:
    assert with_p(0.0).verdict == "open"


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(ValueError, match="two rounds"):
        improvement(LATENCY, [1.0], [1.0])
    with pytest.raises(ValueError, match="two rounds"):
        improvement(LATENCY, [1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no ratio"):
        improvement(RATE, [1.0, 0.0], [1.0, 1.0])
