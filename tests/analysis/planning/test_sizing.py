"""Engines needed: as by brute force, never below the work, and monotone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.planning.demand import Demand, Fleet, Setting
from analysis.planning.sizing import highest_rate, least, size
from analysis.planning.trials import Trials
from analysis.simulator import Arrival, Template, simulate
from tests.analysis.planning.fleets import fleet


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trials:
    monkeypatch.setattr("analysis.planning.trials.JOBS_MIN", 400)
    return Trials(fleet(tmp_path), 1, most=4)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 80))
def test_the_least_that_meets_is_found(low: int, first: int, most: int) -> None:
    found = least(lambda engines: engines >= first, low, most)
    if first > most:
        assert found == 0
    else:
        assert found == max(first, min(low, most))


def _p95_by_hand(like: Fleet, rate: float, engines: int) -> float:
    """Streams of its own, and no part of a plan but the server."""
    found = []
    for seed in (71, 72):
        times = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, 1_500))
        arrivals = [Arrival(t, Template(2)) for t in times.tolist()]
        result = simulate(arrivals, like.server(Setting(engines, "full")))
        found.append(np.percentile(result.latencies_s(300), 95))
    return float(np.mean(found))


@pytest.mark.parametrize("rate", [4.0, 16.0])
def test_engines_agree_with_brute_force(trials: Trials, rate: float) -> None:
    slo_s = 0.9
    by_hand = next(n for n in range(1, 9) if _p95_by_hand(trials.fleet, rate, n) <= slo_s)
    assert size(trials, Demand(rate, slo_s, 0.99), "full").setting.engines == by_hand


def test_early_exit_needs_no_more_and_never_less_than_the_work(trials: Trials) -> None:
    demand = Demand(16.0, 0.9, 0.985)
    full = size(trials, demand, "full")
    for mode in ("at_start", "in_flight"):
        early = size(trials, demand, mode)
        assert early.bound <= early.setting.engines < full.setting.engines
        assert early.steady.figures["score"] >= 0.985
        assert early.steady.figures["p95_s"] <= 0.9
        assert early.setting.thresholds is not None


def test_a_perfect_score_leaves_full_service_only(trials: Trials) -> None:
    demand = Demand(16.0, 0.9, 1.0)
    full, early = size(trials, demand, "full"), size(trials, demand, "in_flight")
    assert early.setting.engines == full.setting.engines


def test_what_binds_is_named(trials: Trials) -> None:
    sized = size(trials, Demand(4.9, 0.9, 0.98), "full")
    assert sized.binding == "p95"
    assert sized.bound == 1
    assert sized.fewer is not None
    assert sized.fewer.late


def test_engines_rise_with_rate_and_quality_and_fall_with_time(trials: Trials) -> None:
    def engines(rate: float, slo_s: float, score: float) -> int:
        return size(trials, Demand(rate, slo_s, score), "in_flight").setting.engines

    by_rate = [engines(rate, 0.9, 0.985) for rate in (4.0, 12.0)]
    assert by_rate == sorted(by_rate)
    assert by_rate[0] < by_rate[-1]
    by_score = [engines(12.0, 0.9, score) for score in (0.95, 1.0)]
    assert by_score == sorted(by_score)
    by_time = [engines(12.0, slo_s, 0.985) for slo_s in (0.5, 2.0)]
    assert by_time == sorted(by_time, reverse=True)


def test_the_highest_rate_is_between_none_and_the_works_bound(trials: Trials) -> None:
    demand = Demand(1.0, 0.9, 0.985)
    full, _ = highest_rate(trials, demand, "full", 1)
    early, setting = highest_rate(trials, demand, "in_flight", 1, full)
    assert 0 < full < early <= 1 / trials.fleet.least_mean_engine_s("in_flight", 0.985)
    assert setting.thresholds is not None
    assert trials.glance(demand, Setting(1, "full"), 1.1 * full, 3).late
