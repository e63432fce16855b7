"""What makes a decision process: its chain, its costs, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.solvers.decision_process import Arrivals, DecisionProcess, Prices
from tests.analysis.solvers.stations import BATCHING, ONE


def test_no_event_leaves_the_chain_and_every_rate_is_accounted_for() -> None:
    process = DecisionProcess(BATCHING, Arrivals.mmpp2(1.0, 5.0, 20.0, 4.0), Prices(), 7)
    start, end, rates = process.moves()
    assert end.min() >= 0
    assert end.max() < process.size
    assert np.bincount(start, rates, process.size) == pytest.approx(process.total_per_s.ravel())


def test_a_policy_sends_an_event_to_the_rung_that_it_chooses() -> None:
    process = DecisionProcess(ONE, Arrivals.poisson(1.0), Prices(), 2)
    policy = np.ones(process.shape, dtype=np.int64)
    _, end, _ = process.moves(policy)
    assert (end // 3 == 1).all()  # states are numbered by rung, then by 0 to 2 jobs
    generator = process.generator(policy).toarray()
    assert generator.sum(axis=1) == pytest.approx(np.zeros(process.size))


def test_costs_are_what_the_prices_say() -> None:
    late = np.full((2, 3), 0.25)
    prices = Prices(holding=1.0, quality=10.0, late=4.0, refused=7.0)
    process = DecisionProcess(ONE, Arrivals.poisson(3.0), prices, 2, late)
    # jobs 0, 1, 2 while fast: every finished picture (2/s) loses its whole score
    assert process.cost[0, 1] == pytest.approx([3 * 4 * 0.25, 1 + 20 + 3, 2 + 20 + 3 * 7])
    # while slow nothing is lost
    assert process.cost[0, 0] == pytest.approx([3, 1 + 3, 2 + 21])


@pytest.mark.parametrize(
    ("rates", "changes", "says"),
    [
        ((1.0, 2.0), ((0.0,),), "2 x 2"),
        ((-1.0,), ((0.0,),), "not negative"),
        ((0.0,), ((0.0,),), "must have arrivals"),
        ((1.0,), ((1.0,),), "write 0 there"),
        ((), (), "0 phases"),
    ],
)
def test_arrivals_that_cannot_be_are_refused(
    rates: tuple[float, ...], changes: tuple[tuple[float, ...], ...], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Arrivals(rates, changes)


def test_other_inputs_that_cannot_be_are_refused() -> None:
    poisson = Arrivals.poisson(1.0)
    with pytest.raises(ValueError, match="must last"):
        Arrivals.mmpp2(1.0, 2.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="price switch"):
        Prices(switch=-1.0)
    with pytest.raises(ValueError, match="jobs_max 2 is below the 3 places"):
        DecisionProcess(BATCHING, poisson, Prices(), 2)
    with pytest.raises(ValueError, match="needs late_share"):
        DecisionProcess(BATCHING, poisson, Prices(late=1.0), 9)
    with pytest.raises(ValueError, match="late_share has shape"):
        DecisionProcess(BATCHING, poisson, Prices(late=1.0), 9, np.zeros((3, 3)))
