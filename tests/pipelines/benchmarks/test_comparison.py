"""Orders, medians with intervals, and slopes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.benchmarks.comparison import orders, ratios, summarise, trend


def test_every_round_holds_everybody_and_odd_rounds_run_backwards() -> None:
    rounds = orders(("a", "b", "c", "d"), 6, seed=3)
    assert all(sorted(order) == ["a", "b", "c", "d"] for order in rounds)
    assert rounds[1::2] == [order[::-1] for order in rounds[::2]]
    assert len(set(rounds[::2])) > 1


def test_a_drift_that_is_even_over_two_rounds_leaves_the_places_in_the_order_balanced() -> None:
    positions = [order.index("a") for order in orders(("a", "b"), 10, seed=1)]
    assert sum(positions) == 5


def test_ratios_are_taken_within_a_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0], [1.0, 2.0])


def test_the_median_of_ratios_does_not_see_a_machine_that_slows_down_for_both() -> None:
    speed = np.array([1.0, 1.0, 3.0, 3.0, 1.5, 1.0, 2.0])
    summary = summarise(ratios(list(1.1 * speed), list(speed)))
    assert summary.median == pytest.approx(1.1)
    assert (summary.interval.low, summary.interval.high) == pytest.approx((1.1, 1.1))


def test_the_interval_of_a_median_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for number in range(200):
        summary = summarise(list(rng.lognormal(0, 0.2, size=15)), seed=number)
        hits += summary.interval.low <= 1.0 <= summary.interval.high
    assert hits >= 180


def test_a_summary_tells_the_spread_and_needs_values() -> None:
    summary = summarise([float(value) for value in range(11)])
    assert (summary.low, summary.median, summary.high, summary.count) == (1.0, 5.0, 9.0, 11)
    with pytest.raises(ValueError, match="no values"):
        summarise([])


def test_the_slope_of_a_line_is_found_and_is_sure() -> None:
    line = trend([0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 5.0, 7.0, 9.0])
    assert line.slope == pytest.approx(2.0)
    assert line.interval.high - line.interval.low == pytest.approx(0.0, abs=1e-9)


def test_noise_around_a_level_is_no_slope() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        line = trend(list(range(36)), list(rng.normal(size=36)))
        covered += line.interval.low <= 0 <= line.interval.high
    assert covered >= 180


def test_values_like_their_neighbours_make_the_slope_less_sure() -> None:
    rng = np.random.default_rng(4)
    independent = rng.normal(size=60)
    alike = np.zeros(60)
    for i in range(1, 60):
        alike[i] = 0.8 * alike[i - 1] + 0.6 * independent[i]
    alike *= independent.std() / alike.std()

    def width(values: np.ndarray) -> float:
        interval = trend(list(range(60)), list(values)).interval
        return interval.high - interval.low

    assert width(alike) > 1.5 * width(independent)


def test_a_series_that_only_wanders_slowly_says_nothing_about_its_slope() -> None:
    wave = [math.cos(2 * math.pi * i / 60) for i in range(60)]
    assert math.isinf(trend(list(range(60)), wave).interval.high)


def test_a_slope_needs_four_points() -> None:
    with pytest.raises(ValueError, match="4 points"):
        trend([0.0, 1.0, 2.0], [0.0, 1.0, 2.0])
