"""Trials share their random numbers, repeat, and say when they cannot tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.planning.demand import Demand, Setting
from analysis.planning.trials import FEWEST, Trials
from policies.controllers import Hysteresis
from tests.analysis.planning.fleets import fleet

ONE = Setting(1, "full")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.planning.trials.JOBS_MIN", 300)


@pytest.mark.usefixtures("short")
def test_the_same_seed_gives_the_same_figures_and_another_others(tmp_path: Path) -> None:
    like = fleet(tmp_path)
    first = Trials(like, 1).figures(4.0, ONE, 0)
    assert Trials(like, 1).figures(4.0, ONE, 0) == first
    assert Trials(like, 2).figures(4.0, ONE, 0) != first


@pytest.mark.usefixtures("short")
def test_a_controller_that_never_acts_sees_the_stream_of_full_service(tmp_path: Path) -> None:
    trials = Trials(fleet(tmp_path), 1)
    never = Setting(1, "in_flight", Hysteresis((10_000, 20_000), (0, 0)))
    full, guarded = trials.figures(5.0, ONE, 0), trials.figures(5.0, never, 0)
    assert guarded["p95_s"] == pytest.approx(full["p95_s"], rel=1e-9)
    assert guarded["degraded_share"] == 0


@pytest.mark.usefixtures("short")
def test_a_clear_promise_takes_few_replications_and_a_close_one_is_told(tmp_path: Path) -> None:
    trials = Trials(fleet(tmp_path), 1, most=4)
    easy = trials.judge(Demand(3.0, 5.0, None), ONE, 3.0)
    assert easy.meets
    assert easy.decided
    assert easy.figures["replications"] == FEWEST
    assert easy.p95_s is not None
    close = trials.judge(Demand(3.0, easy.p95_s.mean, None), ONE, 3.0)
    assert not close.decided
    assert close.figures["replications"] == 4


@pytest.mark.usefixtures("short")
def test_a_hopeless_setting_is_run_once(tmp_path: Path) -> None:
    trials = Trials(fleet(tmp_path), 1)
    steady = trials.judge(Demand(12.0, 0.5, None), ONE, 12.0)
    assert steady.late
    assert steady.decided
    assert trials.jobs_run == 300


@pytest.mark.usefixtures("short")
def test_too_low_a_score_is_poor(tmp_path: Path) -> None:
    trials = Trials(fleet(tmp_path), 1)
    low = Setting(1, "in_flight", Hysteresis((1, 2), (0, 0)))
    assert trials.judge(Demand(12.0, 5.0, 0.999), low, 12.0).poor
    assert not trials.judge(Demand(12.0, 5.0, 0.8), low, 12.0).poor


def test_a_decision_needs_replications(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 3"):
        Trials(fleet(tmp_path), 1, most=2)
