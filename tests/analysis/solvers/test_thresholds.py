"""The textbook's optimal threshold, exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.models.steady import Unstable
from analysis.solvers.thresholds import TwoSpeeds, optimal_threshold

REFERENCE = Path(__file__).parents[2] / "reference" / "queueing_cases.json"
CASES: list[dict[str, Any]] = json.loads(REFERENCE.read_text())["optimal_threshold"]


def problem_of(case: dict[str, Any]) -> TwoSpeeds:
    price = case["quality_cost_per_degraded_job"]
    return TwoSpeeds(case["lam"], case["mu1"], case["mu2"], case["h"], price)


def test_there_are_four_cases() -> None:
    assert len(CASES) == 4


@pytest.mark.parametrize("case", CASES)
def test_the_optimum_and_its_neighbours_match_the_reference(case: dict[str, Any]) -> None:
    best = optimal_threshold(problem_of(case))
    assert best.threshold == case["K_opt"]
    assert best.cost == pytest.approx(case["cost"], rel=1e-12)
    assert best.cost_below == pytest.approx(case["cost_Kminus1"], rel=1e-12)
    assert best.cost_above == pytest.approx(case["cost_Kplus1"], rel=1e-12)


@given(
    rate=st.floats(0.05, 1.9),
    slow=st.floats(0.1, 1.5),
    holding=st.floats(0.1, 5.0),
    degraded=st.floats(0.0, 20.0),
)
def test_no_threshold_up_to_a_hundred_is_cheaper(
    rate: float, slow: float, holding: float, degraded: float
) -> None:
    problem = TwoSpeeds(rate, slow, 2.0, holding, degraded)
    best = optimal_threshold(problem)
    assert best.cost <= min(problem.cost(k) for k in range(1, 101)) * (1 + 1e-9)


def test_a_server_that_is_always_fast_is_the_plain_queue() -> None:
    problem = TwoSpeeds(1.2, 1.0, 2.0, holding=1.0, degraded=3.0)
    assert problem.cost(1) == pytest.approx(0.6 / 0.4 + 3.0 * 1.2)  # every job ends while fast


def test_if_degrading_is_free_the_server_is_always_fast() -> None:
    best = optimal_threshold(TwoSpeeds(0.8, 1.0, 2.0, holding=1.0, degraded=0.0))
    assert best.threshold == 1
    assert best.cost_below is None


def test_a_price_beyond_all_others_ends_the_search_and_not_the_patience() -> None:
    best = optimal_threshold(TwoSpeeds(0.3, 1.0, 2.0, holding=1.0, degraded=1e6))
    assert best.cost == pytest.approx(0.3 / 0.7)  # in effect never fast


def test_a_slow_rate_far_below_the_load_does_not_overflow() -> None:
    problem = TwoSpeeds(1.9, 0.001, 2.0, holding=1.0, degraded=1.0)
    assert problem.cost(300) == pytest.approx(299 + 19 + 1.9, rel=0.01)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((1.0, 2.0, 2.0, 1.0, 1.0), "slow rate 2.0"),
        ((0.0, 1.0, 2.0, 1.0, 1.0), "rate_per_s"),
        ((1.0, 1.0, 2.0, 0.0, 1.0), "holding cost"),
        ((1.0, 1.0, 2.0, 1.0, -1.0), "not negative"),
    ],
)
def test_problems_that_cannot_be_are_refused(values: tuple[float, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TwoSpeeds(*values)


def test_a_load_beyond_the_fast_rate_is_unstable_and_a_threshold_of_none_refused() -> None:
    with pytest.raises(Unstable):
        TwoSpeeds(2.0, 1.0, 2.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="threshold 0"):
        TwoSpeeds(1.0, 1.0, 2.0, 1.0, 1.0).cost(0)
