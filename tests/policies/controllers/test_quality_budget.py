"""The mean score is held at its target; bursts are paid with what calm times earned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.controllers import ControllerState, Hysteresis, QualityBudget, Static
from policies.load import Load
from tests.policies.controllers.loads import load

PRESSURE = Hysteresis(enter=(2, 4, 6), leave=(0, 2, 4))
SCORES = (1.0, 0.9, 0.7, 0.4)
BUDGET = QualityBudget(PRESSURE, SCORES, target_score=0.8)


def rung(waiting: int, slack: float, places: int = 4) -> int:
    """The rung after ten pictures that earned this slack in sum."""
    seen = load(waiting, places=places, running=0, scored=10, score_sum=8.0 + slack)
    return BUDGET.decide(seen, BUDGET.initial()).rung


@pytest.mark.parametrize(
    ("slack", "expected"), [(1.6, 3), (1.59, 2), (0.4, 2), (0.39, 1), (0.0, 1), (-0.4, 1)]
)
def test_a_long_line_gets_the_deepest_rung_that_the_slack_can_pay(
    slack: float, expected: int
) -> None:
    assert rung(waiting=99, slack=slack) == expected


def test_a_debt_too_large_for_any_rung_leaves_the_best() -> None:
    assert rung(waiting=99, slack=-5.0) == 0


def test_it_goes_no_deeper_than_the_wrapped_controller_wants() -> None:
    assert rung(waiting=3, slack=100.0) == 1
    assert rung(waiting=0, slack=100.0) == 0


def test_more_places_commit_more_jobs_and_need_more_slack() -> None:
    assert [rung(99, 1.0, places) for places in (2, 8, 20)] == [3, 2, 1]


def test_when_the_slack_is_spent_the_rung_rises_at_once_and_the_wrapped_state_goes_on() -> None:
    deep = ControllerState(3, 90.0)
    state = ControllerState(3, 90.0, inner=deep)
    spent = load(99, scored=10, score_sum=8.0)
    assert BUDGET.decide(spent, state) == ControllerState(1, 100.0, inner=deep)


def test_the_hold_of_the_wrapped_controller_counts_from_its_own_changes() -> None:
    budget = QualityBudget(Hysteresis((1,), (0,), min_hold_s=10.0), (1.0, 0.5), 1.0)
    state = budget.decide(load(5, now_s=0.0), budget.initial())
    assert state == ControllerState(0, float("-inf"), inner=ControllerState(1, 0.0))
    assert budget.decide(load(0, now_s=9.0), state) is state
    assert budget.decide(load(0, now_s=10.0), state).inner == ControllerState(0, 10.0)


def test_where_scores_rise_down_the_ladder_it_picks_among_rungs_that_can_be_paid() -> None:
    humped = QualityBudget(Static(2), (0.8, 0.3, 0.9), target_score=0.8)
    seen = load(99, scored=10, score_sum=8.0)
    assert humped.decide(seen, humped.initial()).rung == 2
    shallow = QualityBudget(Static(1), (0.8, 0.3, 0.9), target_score=0.8)
    assert shallow.decide(seen, shallow.initial()).rung == 0


def test_a_mean_exactly_on_target_is_not_taken_for_a_debt() -> None:
    level = QualityBudget(Static(1), (0.7, 0.7), target_score=0.7)
    seen = load(99, scored=1000, score_sum=sum([0.7] * 1000))
    assert level.decide(seen, level.initial()).rung == 1


@given(
    st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4),
    st.floats(0.0, 1.0),
    st.integers(1, 5),
    st.booleans(),
    st.lists(st.booleans(), max_size=200),
)
def test_the_mean_never_falls_below_the_target_by_more_than_one_line(
    scores: list[float], ease: float, places: int, in_flight: bool, arrivals: list[bool]
) -> None:
    """At each event a job comes (True) or the one that runs longest ends; the rungs bind."""
    target = scores[0] * ease
    budget = QualityBudget(Static(3), tuple(scores), target)
    state = budget.initial()
    waiting, running, delivered = 0, list[int](), list[float]()
    for comes in arrivals:
        if comes:
            waiting += 1
        elif running:
            delivered.append(scores[running.pop(0)])
        starting = min(waiting, places - len(running))
        waiting -= starting
        seen = Load(
            0.0, waiting, len(running), 1, places, score_sum=sum(delivered), scored=len(delivered)
        )
        state = budget.decide(seen, state)
        if in_flight:
            running = [max(rung, state.rung) for rung in running]
        running += [state.rung] * starting
        committed = places * max(0.0, target - min(scores))
        assert sum(delivered) >= target * len(delivered) - committed - 1e-6


@pytest.mark.parametrize(
    ("scores", "target", "says"),
    [
        ((1.0, 0.9, 0.8), 0.5, "one for each rung"),
        ((1.0, 0.9, 0.8, 1.2), 0.5, "between 0 and 1"),
        ((1.0, 0.9, 0.8, float("nan")), 0.5, "between 0 and 1"),
        (SCORES, -0.1, "between 0 and 1"),
        ((0.6, 0.5, 0.4, 0.9), 0.7, "lower the target"),
    ],
)
def test_budgets_that_cannot_be_held_are_refused(
    scores: tuple[float, ...], target: float, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        QualityBudget(PRESSURE, scores, target)
