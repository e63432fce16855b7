"""The nearest policy that never answers more waiting with a better rung."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import pytest

from analysis.solvers.decision_process import Arrivals, DecisionProcess, Prices
from analysis.solvers.evaluation import evaluate
from analysis.solvers.lateness import late_shares
from analysis.solvers.monotone import _isotone, is_monotone, monotone
from analysis.solvers.policy_iteration import solve
from tests.analysis.solvers.stations import BATCHING, ONE


def hopeless() -> DecisionProcess:
    """A long room, so that whoever finds it full is late at every rung."""
    late = late_shares(BATCHING, 40, 2.0)
    prices = Prices(quality=1.0, late=1.0, refused=1.0)
    return DecisionProcess(BATCHING, Arrivals.poisson(5.5), prices, 40, late)


def test_an_optimum_that_gives_up_the_late_is_made_monotone_at_little_cost() -> None:
    process = hopeless()
    found = solve(process)
    assert not is_monotone(found.policy)
    ours = monotone(process, found)
    assert is_monotone(ours)
    assert (ours == ours[:, :1]).all()  # switching is free, so the current rung says nothing
    cost = evaluate(process, ours, start=0).cost_per_s
    assert found.bound_per_s <= cost <= 1.01 * found.evaluation.cost_per_s


def test_a_monotone_optimum_stands() -> None:
    process = DecisionProcess(ONE, Arrivals.poisson(1.2), Prices(holding=1.0, quality=5.0), 60)
    found = solve(process)
    assert monotone(process, found) is found.policy


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_the_best_rising_ones(seed: int) -> None:
    loss = np.random.default_rng(seed).random((3, 6))
    row = _isotone(loss)
    best = min(
        sum(loss[rung, n] for n, rung in enumerate(rising))
        for rising in combinations_with_replacement(range(3), 6)
    )
    assert (np.diff(row) >= 0).all()
    assert sum(loss[rung, n] for n, rung in enumerate(row)) == pytest.approx(best)
