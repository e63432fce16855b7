"""The chain of many engines: against Erlang's law, against the simulator, and monotone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.planning.demand import Demand, Fleet, Setting
from analysis.planning.many_engines import ManyEngines, least_engines
from analysis.planning.trials import Trials
from analysis.prediction import TabulatedCosts
from policies.costs import completion_rates_per_s
from policies.nouns import Rung
from tests.analysis.planning.fleets import PLACES, fleet
from tests.analysis.synthetic_demo import cost_table

RUNG = Rung("full", 25, "high")
COSTS = TabulatedCosts(cost_table(PLACES), ("full",), PLACES)
EACH_PER_S = completion_rates_per_s(COSTS, RUNG, PLACES)[-1]
ALONE_S = 0.382


def chain(load: float, engines: int = 50, places: int = PLACES) -> ManyEngines:
    each = completion_rates_per_s(COSTS, RUNG, places)[-1]
    return ManyEngines(load * engines * each, engines, places, RUNG, COSTS)


def test_engines_of_one_place_follow_erlangs_law_while_nobody_waits() -> None:
    model = chain(0.7, engines=20, places=1)
    offered = 0.7 * 20
    shares, _, _ = model._shares
    expected = np.array([offered**x / math.factorial(x) for x in range(21)])
    np.testing.assert_allclose(shares / shares[0], expected, rtol=1e-9)


def test_work_without_variation_waits_half_as_long_near_capacity() -> None:
    model = chain(0.999, engines=20, places=1)
    shares, tail, ratio = model._shares
    exponential = 0.999 * shares[-1] / 0.001  # the tail of the exponential chain, unnormalised
    assert shares.sum() + tail == pytest.approx(1.0)
    assert tail == pytest.approx(exponential / 2, rel=0.01)
    assert model.mean_wait_s * model.rate_per_s == pytest.approx(tail / (1 - ratio))


def test_with_almost_no_load_everybody_is_alone() -> None:
    model = chain(0.01)
    assert model.quantile_s(0.5) == pytest.approx(ALONE_S, rel=1e-3)
    assert model.quantile_s(0.95) == pytest.approx(ALONE_S, rel=1e-3)


@pytest.mark.parametrize("load", [0.6, 0.85])
def test_mean_and_p95_are_near_the_simulators(tmp_path: Path, load: float) -> None:
    like: Fleet = fleet(tmp_path)
    engines = 30
    rate = load * engines * like.full_capacity_per_s
    trials = Trials(like, seed=3).longer()
    seen = trials.glance(Demand(rate, 9.0, None), Setting(engines, "full"), rate).figures
    model = ManyEngines(rate, engines, PLACES, like.ladder.best, like.costs)
    assert model.mean_s == pytest.approx(seen["mean_s"], rel=0.04)
    assert model.quantile_s(0.95) == pytest.approx(seen["p95_s"], rel=0.08)
    assert model.utilisation == pytest.approx(seen["busy_share"], abs=0.03)


@settings(max_examples=6, deadline=None)
@given(st.floats(0.2, 0.97), st.floats(1.005, 1.03))
def test_more_load_is_never_quicker(load: float, more: float) -> None:
    low, high = chain(load), chain(min(load * more, 0.995))
    assert high.quantile_s(0.95) >= low.quantile_s(0.95) - 0.01
    assert high.beyond(0.5) >= low.beyond(0.5) - 0.01


@settings(max_examples=6, deadline=None)
@given(st.floats(50.0, 2_000.0), st.floats(0.55, 2.0), st.floats(1.02, 2.0))
def test_engines_rise_with_the_rate_and_fall_with_the_time_allowed(
    rate: float, slo_s: float, factor: float
) -> None:
    engines = least_engines(rate, PLACES, RUNG, COSTS, slo_s)
    assert engines >= rate / EACH_PER_S
    assert least_engines(rate * factor, PLACES, RUNG, COSTS, slo_s) >= engines
    assert least_engines(rate, PLACES, RUNG, COSTS, slo_s * factor) <= engines


def test_a_rate_beyond_the_capacity_has_no_steady_state() -> None:
    with pytest.raises(ValueError, match="serve up to"):
        chain(1.01)


def test_a_promise_that_nothing_keeps_is_told() -> None:
    with pytest.raises(ValueError, match="allow more time"):
        least_engines(100.0, PLACES, RUNG, COSTS, 0.3)
