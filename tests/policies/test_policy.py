"""A policy that cannot work is refused when it is put together."""

from __future__ import annotations

import pytest

from policies import (
    Admission,
    BestQuality,
    BurstAhead,
    Dispatcher,
    ExitRules,
    Fifo,
    Hysteresis,
    Ladder,
    LoadProportional,
    OnLowerRung,
    Policy,
    QualityBudget,
    Rung,
    ShortestQueue,
    Static,
)
from tests.policies.fleets import COSTS, LADDER

UNSCORED = Ladder((Rung("full", 20, "high"), Rung("full", 10, "medium")))
LEVELS = Hysteresis.threshold((2, 4))


def test_left_alone_it_is_full_service_first_come_first_served() -> None:
    policy = Policy(LADDER)
    assert (policy.controller, policy.order, policy.routing) == (Static(), Fifo(), ShortestQueue())
    assert policy.admission == Admission()
    assert policy.costs_needed_by() is None


def test_a_controller_must_not_reach_below_the_ladder() -> None:
    assert Policy(LADDER, LEVELS).controller.deepest == LADDER.last
    with pytest.raises(ValueError, match="rung 2, but the last rung of the ladder is 1"):
        Policy(UNSCORED, LEVELS)


def test_a_budget_of_quality_needs_the_scores_of_all_rungs() -> None:
    Policy(LADDER, QualityBudget(LEVELS, LADDER.scores(), 0.8))
    with pytest.raises(ValueError, match="no score"):
        Policy(UNSCORED, QualityBudget(Static(), (1.0, 0.9), 0.8))


@pytest.mark.parametrize(
    ("on_lower", "announces"),
    [("keep", False), ("replan", True), ("finish", True), ("hand_over", True)],
)
def test_running_jobs_are_told_of_a_lower_rung_unless_they_keep_theirs(
    on_lower: OnLowerRung, announces: bool
) -> None:
    assert Policy(LADDER, exits=ExitRules(on_lower)).announces is announces


@pytest.mark.parametrize(
    ("policy", "who"),
    [
        (Policy(LADDER, LoadProportional(5.0, 2)), "the controller LoadProportional"),
        (Policy(LADDER, BurstAhead(LEVELS, 5.0)), "the controller BurstAhead"),
        (Policy(LADDER, routing=BestQuality()), "the routing BestQuality"),
        (Policy(LADDER, admission=Admission(refuse_hopeless=True)), "refuse_hopeless"),
    ],
)
def test_who_decides_by_costs_is_named_when_there_are_none(policy: Policy, who: str) -> None:
    assert policy.costs_needed_by() == who
    with pytest.raises(ValueError, match=f"^{who} decides by a cost table"):
        Dispatcher(policy)
    Dispatcher(policy, costs=COSTS)
