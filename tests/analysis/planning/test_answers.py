"""Many engines: between the bound of the work and full service, and the chain's breaking point."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.planning.answers import answer, breaking_rate, cost, full_model, least_full
from analysis.planning.demand import Demand
from analysis.planning.trials import Trials
from tests.analysis.planning.fleets import fleet


def test_early_exit_of_many_engines_lies_between_the_work_and_full_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.planning.trials.JOBS_MIN", 300)
    monkeypatch.setattr("analysis.planning.answers.SMALL_ENGINES", 4)
    monkeypatch.setattr("analysis.planning.sizing.RATE_STEPS", 3)
    trials = Trials(fleet(tmp_path), 1)
    demand = Demand(2_000.0, 1.1, 0.985)
    full = answer(trials, demand, "full")
    early = answer(trials, demand, "in_flight", full)
    assert full.engines == least_full(trials.fleet, 2_000.0, 1.1)
    assert full.engines >= full.bound
    assert early.bound <= early.engines < full.engines
    assert early.thresholds is not None
    assert early.figures["score"] >= 0.985
    assert early.figures["p95_s"] <= 1.1
    assert early.breaks_at_per_s >= 2_000.0
    # Without a bound on quality a ninth of the work is enough, and the answer follows it down.
    cheapest = answer(trials, Demand(2_000.0, 1.1, None), "in_flight", full)
    assert cheapest.bound <= cheapest.engines < 0.4 * full.engines


def test_engines_break_where_the_p95_reaches_the_promise(tmp_path: Path) -> None:
    like = fleet(tmp_path)
    rate = breaking_rate(like, 40, 0.9)
    assert full_model(like, rate, 40).quantile_s(0.95) == pytest.approx(0.9, rel=1e-3)
    assert least_full(like, 0.995 * rate, 0.9) <= 40
    assert least_full(like, 1.005 * rate, 0.9) > 40


def test_cost_is_told_if_there_is_a_price() -> None:
    assert cost(4, 10.0, None) is None
    assert cost(4, 10.0, 2.5) == {"per_hour": 10.0, "per_1000_pictures": pytest.approx(10 / 36)}
