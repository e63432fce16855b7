"""The best policy against missed deadlines, and the bound for all."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.solvers.deadlines import Deadlines
from analysis.solvers.decision_process import Arrivals, DecisionProcess, Prices
from analysis.solvers.evaluation import policy_of
from analysis.solvers.monotone import is_monotone
from policies import Hysteresis, Static
from policies.controllers import DecisionTable, RateBand
from tests.analysis.solvers.stations import BATCHING


def problem(rate_per_s: float = 3.0, late: float = 1.0, jobs_max: int = 12) -> Deadlines:
    prices = Prices(quality=1.0, late=late, refused=late)
    return Deadlines(BATCHING, Arrivals.poisson(rate_per_s), prices, jobs_max, 3.0, stages=4)


def test_the_table_is_monotone_and_a_controller_decides_as_it_says() -> None:
    one = problem()
    found = one.solve()
    assert is_monotone(found.policy)
    rows = tuple(tuple(row) for row in found.table())
    controller = DecisionTable((RateBand(float("inf"), rows),))
    process = DecisionProcess(BATCHING, one.arrivals, Prices(), one.jobs_max)
    assert (policy_of(process, controller) == found.policy).all()
    again = one.evaluate(found.policy)
    assert again.cost_per_s == pytest.approx(found.evaluation.cost_per_s, rel=1e-12)


def test_the_solution_lies_between_the_bound_and_simple_policies() -> None:
    one = problem()
    found = one.solve()
    process = DecisionProcess(BATCHING, one.arrivals, Prices(), one.jobs_max)
    assert found.bound_per_s <= found.evaluation.cost_per_s
    assert found.evaluation.cost_per_s <= 1.25 * found.bound_per_s
    for controller in (Static(0), Static(1), Static(2), Hysteresis((1, 3), (0, 1))):
        start = controller.initial().rung
        theirs = one.evaluate(policy_of(process, controller), start)
        assert theirs.cost_per_s >= found.evaluation.cost_per_s * (1 - 1e-9)


@settings(max_examples=10, deadline=None)
@given(rate=st.floats(0.5, 7.0), late=st.floats(0.05, 3.0), seed=st.integers(0, 1000))
def test_no_policy_beats_the_bound(rate: float, late: float, seed: int) -> None:
    one = problem(rate, late, jobs_max=8)
    policy = np.random.default_rng(seed).integers(0, 3, (1, 3, 9))
    assert one.evaluate(policy).cost_per_s >= one.bounding().bound_per_s - 1e-9


@pytest.mark.parametrize("late", [0.1, 1.0, 5.0])
def test_the_search_finds_the_best_thresholds_there_are(late: float) -> None:
    one = problem(late=late)
    sizes = one.jobs_max + 1
    costs = []
    for first, second in combinations_with_replacement(range(sizes + 1), 2):
        row = (np.arange(sizes) >= first).astype(np.int64) + (np.arange(sizes) >= second)
        costs.append(one.evaluate(np.broadcast_to(row, (1, 3, sizes)).copy()).cost_per_s)
    assert one.solve().evaluation.cost_per_s == pytest.approx(min(costs), rel=1e-9)


def test_dearer_lateness_is_rarer_and_costs_quality() -> None:
    cheap, dear = (problem(late=late).solve().evaluation for late in (0.1, 5.0))
    assert cheap.late_share is not None
    assert dear.late_share is not None
    assert dear.late_share < cheap.late_share
    assert dear.mean_score < cheap.mean_score


def test_a_higher_rate_never_gets_a_better_score() -> None:
    scores = [problem(rate).solve().evaluation.mean_score for rate in (0.5, 1.5, 3.0, 5.0)]
    assert scores == sorted(scores, reverse=True)


def test_deadlines_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="deadline_s -1"):
        Deadlines(BATCHING, Arrivals.poisson(1.0), Prices(late=1.0), 9, -1.0)
