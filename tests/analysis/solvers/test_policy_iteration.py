"""Optimal policies: the textbook's, and on small chains those of brute force."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.models.lps import build_chain
from analysis.solvers.decision_process import Arrivals, DecisionProcess, Prices, Rungs
from analysis.solvers.evaluation import evaluate, policy_of
from analysis.solvers.monotone import is_monotone
from analysis.solvers.policy_iteration import NotSolved, bound_per_s, solve
from analysis.solvers.station import Station
from analysis.solvers.thresholds import TwoSpeeds
from policies import Controller, Hysteresis, Static
from tests.analysis.solvers.stations import BATCHING, ONE

REFERENCE = Path(__file__).parents[2] / "reference" / "queueing_cases.json"
CASES: list[dict[str, Any]] = json.loads(REFERENCE.read_text())["optimal_threshold"]
ROOM = 200
"""Jobs at most: the textbook's queue has no bound, so the chain must hardly ever get there."""


def textbook(case: dict[str, Any], jobs_max: int = ROOM) -> DecisionProcess:
    station = Station(((float(case["mu1"]),), (float(case["mu2"]),)), (1.0, 0.0), (1, 1))
    prices = Prices(holding=case["h"], quality=case["quality_cost_per_degraded_job"])
    return DecisionProcess(station, Arrivals.poisson(case["lam"]), prices, jobs_max)


@pytest.mark.parametrize("case", CASES)
def test_the_best_of_all_policies_is_the_reference_threshold(case: dict[str, Any]) -> None:
    found = solve(textbook(case))
    reference = case["rvi"]
    assert found.evaluation.cost_per_s == pytest.approx(reference["g"], rel=1e-9)
    assert found.evaluation.cost_per_s == pytest.approx(case["cost"], rel=1e-9)
    assert found.bound_per_s == pytest.approx(case["cost"], rel=1e-9)
    slow, fast = found.table()
    assert slow.index(1) == reference["switch_up_at_n"] == case["K_opt"]
    assert max(n for n, rung in enumerate(fast) if rung == 0) == reference["switch_down_at_n"]
    assert is_monotone(found.policy) == reference["monotone"]


@pytest.mark.parametrize("case", CASES)
def test_the_bound_on_jobs_is_never_felt(case: dict[str, Any]) -> None:
    half, whole = (solve(textbook(case, room)).evaluation for room in (ROOM // 2, ROOM))
    assert half.refused_share < 1e-15
    assert half.cost_per_s == pytest.approx(whole.cost_per_s, rel=1e-12)


def small(
    rate_per_s: float, prices: Prices, jobs_max: int = 3, station: Station = ONE
) -> DecisionProcess:
    return DecisionProcess(station, Arrivals.poisson(rate_per_s), prices, jobs_max)


def all_policies(process: DecisionProcess) -> list[Rungs]:
    rungs = range(process.shape[1])
    return [
        np.array(choice).reshape(process.shape) for choice in product(rungs, repeat=process.size)
    ]


@settings(max_examples=15, deadline=None)
@given(
    rate=st.floats(0.2, 4.0),
    holding=st.floats(0.0, 2.0),
    quality=st.floats(0.0, 3.0),
    switch=st.floats(0.0, 2.0),
    refused=st.floats(0.0, 5.0),
)
def test_no_policy_of_a_small_chain_is_cheaper(
    rate: float, holding: float, quality: float, switch: float, refused: float
) -> None:
    process = small(rate, Prices(holding, quality, switch, refused=refused), jobs_max=2)
    found = solve(process)
    cheapest = min(evaluate(process, policy).cost_per_s for policy in all_policies(process))
    assert found.evaluation.cost_per_s == pytest.approx(cheapest, abs=1e-9)
    assert found.bound_per_s == pytest.approx(cheapest, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(
    rate=st.floats(0.2, 7.0),
    switch=st.floats(0.0, 3.0),
    enter=st.tuples(st.integers(1, 6), st.integers(0, 6)),
    gap=st.integers(1, 6),
)
def test_no_hysteresis_and_no_static_policy_is_cheaper(
    rate: float, switch: float, enter: tuple[int, int], gap: int
) -> None:
    prices = Prices(holding=0.3, quality=2.0, switch=switch, refused=4.0)
    process = small(rate, prices, jobs_max=20, station=BATCHING)
    found = solve(process)
    down = (enter[0], enter[0] + enter[1])
    hysteresis = Hysteresis(down, tuple(max(0, depth - gap) for depth in down))
    controllers: list[Controller] = [hysteresis, Static(0), Static(1), Static(2)]
    for controller in controllers:
        start = controller.initial().rung
        theirs = evaluate(process, policy_of(process, controller), start).cost_per_s
        assert found.bound_per_s <= theirs + 1e-9
        assert found.evaluation.cost_per_s <= theirs + 1e-9


def test_a_price_on_switching_gives_hysteresis_and_a_huge_one_a_static_server() -> None:
    def policy(switch: float) -> Rungs:
        prices = Prices(holding=1.0, quality=5.0, switch=switch)
        return solve(small(1.2, prices, jobs_max=60)).policy[0]

    free, dear, huge = policy(0.0), policy(2.0), policy(1e4)
    assert (free[0] == free[1]).all()  # what is best does not depend on what was
    assert (dear[0] <= dear[1]).all()
    assert (dear[0] < dear[1]).any()
    assert (huge[1] == 1).all()  # of the static servers, only the fast one keeps up


def test_static_policies_form_several_classes_and_the_cheapest_counts() -> None:
    process = small(0.5, Prices(holding=1.0, quality=4.0), jobs_max=40)
    stay = np.broadcast_to(np.arange(2)[None, :, None], process.shape)
    always_slow = evaluate(process, np.zeros(process.shape, dtype=np.int64))
    assert evaluate(process, stay).cost_per_s == pytest.approx(always_slow.cost_per_s)
    assert evaluate(process, stay, start=0).cost_per_s == pytest.approx(always_slow.cost_per_s)
    fast = evaluate(process, stay, start=1)
    assert fast.cost_per_s > always_slow.cost_per_s
    assert fast.mean_score == 0.0


def test_an_evaluation_says_what_the_cost_consists_of() -> None:
    prices = Prices(holding=1.0, quality=3.0, switch=0.5, refused=2.0)
    process = small(1.5, prices, jobs_max=6)
    policy = policy_of(process, Hysteresis((3,), (1,)))
    found = evaluate(process, policy)
    lost = found.finished_per_s * (1 - found.mean_score)
    parts = (
        found.mean_jobs + 3.0 * lost + 0.5 * found.switches_per_s + 2.0 * 1.5 * found.refused_share
    )
    assert found.cost_per_s == pytest.approx(parts)
    assert found.finished_per_s == pytest.approx(1.5 * (1 - found.refused_share))
    assert found.switches_per_s > 0
    assert found.late_share is None


def test_an_uncontrolled_chain_is_the_queueing_model() -> None:
    process = small(1.2, Prices(holding=1.0), jobs_max=400, station=BATCHING)
    ours = evaluate(process, policy_of(process, Static(0)), start=0)
    chain = build_chain(1.2, BATCHING.rates_per_s[0])
    assert ours.mean_jobs == pytest.approx(np.arange(chain.share.size) @ chain.share, rel=1e-6)


def test_a_threshold_policy_costs_what_the_formula_says() -> None:
    formula = TwoSpeeds(1.2, 1.0, 2.0, holding=1.0, degraded=5.0)
    process = small(1.2, Prices(holding=1.0, quality=5.0), jobs_max=ROOM)
    for threshold in (2, 3, 7):
        # One runs, so that many jobs in the system are one less in the line.
        controller = Hysteresis.threshold((threshold - 1,))
        ours = evaluate(process, policy_of(process, controller)).cost_per_s
        assert ours == pytest.approx(formula.cost(threshold), rel=1e-9)


def test_phases_of_equal_rates_are_a_poisson_process() -> None:
    prices = Prices(holding=0.5, quality=2.0, switch=0.3, refused=5.0)
    plain = solve(DecisionProcess(BATCHING, Arrivals.poisson(3.0), prices, 25))
    two = solve(DecisionProcess(BATCHING, Arrivals.mmpp2(3.0, 3.0, 5.0, 2.0), prices, 25))
    assert two.evaluation.cost_per_s == pytest.approx(plain.evaluation.cost_per_s, rel=1e-9)
    assert (two.policy[0] == two.policy[1]).all()


def test_in_a_burst_quality_falls_at_a_shorter_line() -> None:
    prices = Prices(holding=0.2, quality=2.0, refused=5.0)
    process = DecisionProcess(BATCHING, Arrivals.mmpp2(0.5, 6.0, 30.0, 10.0), prices, 40)
    quiet, busy = solve(process).policy
    assert (busy >= quiet).all()
    assert (busy > quiet).any()


def test_any_function_of_the_states_gives_a_bound() -> None:
    process = small(1.2, Prices(holding=1.0, quality=5.0, switch=1.0, refused=50.0), jobs_max=30)
    found = solve(process)
    worse = found.values * 0.9
    assert bound_per_s(process, worse) < found.evaluation.cost_per_s
    assert bound_per_s(process, found.values) == pytest.approx(found.evaluation.cost_per_s)


def test_a_policy_that_does_not_fit_is_refused() -> None:
    process = small(1.0, Prices())
    with pytest.raises(ValueError, match="shape"):
        evaluate(process, np.zeros((1, 2, 2), dtype=np.int64))
    with pytest.raises(ValueError, match="rungs 0 to 1"):
        evaluate(process, np.full(process.shape, 2))


def test_a_search_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.solvers.policy_iteration.ROUNDS_MAX", 1)
    with pytest.raises(NotSolved, match="after 1 rounds"):
        solve(small(1.2, Prices(holding=1.0, quality=5.0), jobs_max=30))
