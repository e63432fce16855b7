"""Violations at equal quality, quality at equal violations, and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.frontier.dominance import (
    Mixture,
    Outcome,
    at_quality,
    at_share,
    best_quality,
    fewest_violations,
    ratio_interval,
)
from analysis.frontier.study import Tally


def outcome(name: str, share: float, quality: float, jobs: int = 1000, reps: int = 4) -> Outcome:
    """The same figures in every replication."""
    lost = np.full(reps, round(share * jobs), dtype=np.float64)
    return Outcome(name, np.full(reps, float(jobs)), lost, (jobs - lost) * quality)


def uneven(name: str, lost: tuple[int, ...], quality: float) -> Outcome:
    violations = np.array(lost, dtype=np.float64)
    jobs = np.full(len(lost), 1000.0)
    return Outcome(name, jobs, violations, (jobs - violations) * quality)


def test_an_outcome_adds_up_its_replications() -> None:
    tallies = [Tally(100, {"late": 5, "expired": 5}, 81.0), Tally(300, {}, 285.0)]
    one = Outcome.of("x", tallies)
    assert one.share == pytest.approx(10 / 400)
    assert one.quality == pytest.approx(366 / 390)
    assert one.worth == pytest.approx(366 / 400)
    assert math.isnan(Outcome.of("none", [Tally(5, {"expired": 5}, 0.0)] * 2).quality)


def test_the_interval_of_a_ratio_is_students_for_equal_sizes() -> None:
    over, under = np.array([1.0, 2.0, 3.0, 6.0]), np.full(4, 10.0)
    found = ratio_interval(over, under)
    assert found.mean == pytest.approx(0.3)
    # 3.182 is Student's quantile for three degrees of freedom.
    assert found.half_width == pytest.approx(3.1824 * np.std(over / 10, ddof=1) / 2, rel=1e-4)
    assert math.isnan(ratio_interval(np.zeros(3), np.zeros(3)).mean)


def test_replications_of_unlike_size_count_by_their_size() -> None:
    constant = ratio_interval(np.array([1.0, 10.0, 3.0]), np.array([10.0, 100.0, 30.0]))
    assert (constant.mean, constant.half_width) == pytest.approx((0.1, 0.0))


def test_a_mixture_counts_pictures_and_not_jobs() -> None:
    # Half of 1000 jobs at quality 1 with half lost, half at 0.9 with none: 250 and 500 pictures.
    mixture = Mixture(outcome("a", 0.5, 1.0), outcome("b", 0.0, 0.9), 0.5)
    assert mixture.share == pytest.approx(0.25)
    assert mixture.quality == pytest.approx((250 * 1.0 + 500 * 0.9) / 750)
    assert mixture.name == "50.0% a, 50.0% b"


def test_fewest_violations_mix_two_settings_where_that_helps() -> None:
    sides = [outcome("good", 0.4, 1.0), outcome("poor", 0.0, 0.9)]
    mixed = fewest_violations(sides, 0.95)
    assert mixed is not None
    assert mixed.quality == pytest.approx(0.95)
    # Weight w of the good: 0.6 w pictures at 1 and (1 - w) at 0.9 make 0.95 at w = 0.625.
    assert mixed.share == pytest.approx(0.625 * 0.4)
    assert fewest_violations(sides, 1.01) is None


def test_of_equally_few_violations_the_better_quality_counts() -> None:
    found = fewest_violations([outcome("a", 0.0, 0.95), outcome("b", 0.0, 0.97)], 0.9)
    assert found is not None
    assert found.name == "b"


def test_best_quality_keeps_within_the_share() -> None:
    sides = [outcome("good", 0.4, 1.0), outcome("poor", 0.0, 0.9)]
    mixed = best_quality(sides, 0.1)
    assert mixed is not None
    assert mixed.share == pytest.approx(0.1)
    assert mixed.quality == pytest.approx((0.15 + 0.75 * 0.9) / 0.9)
    assert best_quality([outcome("bad", 0.5, 1.0)], 0.1) is None


def test_a_setting_that_delivers_nothing_is_never_chosen() -> None:
    nothing = Outcome("none", np.full(3, 10.0), np.full(3, 10.0), np.zeros(3))
    good = outcome("good", 0.2, 0.99, reps=3)
    assert fewest_violations([nothing, good], 0.95).name == "good"  # type: ignore[union-attr]
    assert best_quality([nothing, good], 1.0).name == "good"  # type: ignore[union-attr]


def test_the_ratio_has_an_interval_from_paired_draws() -> None:
    ours = uneven("ours", (10, 20, 30, 40), 0.99)
    theirs = uneven("theirs", (40, 80, 120, 160), 0.99)
    found = at_quality([ours], [theirs], 0.98, seed=1)
    # A quarter in every replication: paired draws of replications cannot change that.
    assert found.ratio == pytest.approx(0.25)
    assert found.band is not None
    assert (found.band.low, found.band.high) == pytest.approx((0.25, 0.25), abs=0.01)


def test_no_violations_of_ours_are_still_bounded_by_the_jobs_that_were_run() -> None:
    found = at_quality([outcome("o", 0.0, 0.99)], [outcome("t", 0.1, 0.99)], 0.98, seed=1)
    assert found.ratio == 0.0
    assert found.band is not None
    assert found.band.low == 0.0
    # Wilson's upper end for none of 4000 is 3.84 / (4000 + 3.84).
    assert found.band.high == pytest.approx(3.8415 / 4003.84 / 0.1, rel=1e-3)


def test_there_is_no_ratio_where_they_have_no_violation_or_nobody_arrives() -> None:
    calm = [outcome("t", 0.0, 0.99)]
    assert at_quality([outcome("o", 0.0, 0.99)], calm, 0.98, seed=1).ratio is None
    assert (
        at_quality([outcome("o", 0.1, 0.9)], [outcome("t", 0.1, 0.99)], 0.98, seed=1).ours is None
    )


def test_the_gain_in_quality_at_equal_violations() -> None:
    ours, theirs = [outcome("o", 0.01, 0.995)], [outcome("t", 0.02, 0.99)]
    found = at_share(ours, theirs, 0.02, seed=1)
    assert found.gain == pytest.approx(0.005)
    assert found.band is not None
    assert (found.band.low, found.band.high) == pytest.approx((0.005, 0.005))
    assert at_share(ours, theirs, 0.001, seed=1).gain is None
