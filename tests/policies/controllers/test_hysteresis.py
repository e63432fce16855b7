"""Hysteresis goes down with the depth of the line and comes back with a gap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.controllers import ControllerState, Hysteresis
from tests.policies.controllers.loads import load

HYSTERESIS = Hysteresis(enter=(4, 8, 12), leave=(1, 4, 8), min_hold_s=2.0)


@st.composite
def hystereses(draw: st.DrawFn) -> Hysteresis:
    enter = sorted(draw(st.lists(st.integers(1, 20), min_size=1, max_size=4)))
    leave: list[int] = []
    for depth in enter:
        leave.append(draw(st.integers(leave[-1] if leave else 0, depth - 1)))
    return Hysteresis(tuple(enter), tuple(leave), draw(st.sampled_from([0.0, 1.0])))


@pytest.mark.parametrize(("waiting", "rung"), [(0, 0), (3, 0), (4, 1), (8, 2), (99, 3)])
def test_hysteresis_goes_down_as_far_as_the_depth_says(waiting: int, rung: int) -> None:
    assert HYSTERESIS.decide(load(waiting), HYSTERESIS.initial()).rung == rung


def test_hysteresis_keeps_its_rung_between_the_thresholds() -> None:
    state = ControllerState(2, 0.0)
    assert HYSTERESIS.decide(load(5), state) is state


def test_hysteresis_comes_back_one_rung_at_a_time_and_only_after_its_hold() -> None:
    state = ControllerState(3, 99.0)
    assert HYSTERESIS.decide(load(0), state) is state
    back = HYSTERESIS.decide(load(0, now_s=101.0), state)
    assert back == ControllerState(2, 101.0)
    assert HYSTERESIS.decide(load(0, now_s=102.9), back) is back
    assert HYSTERESIS.decide(load(0, now_s=103.0), back).rung == 1


def test_going_down_never_waits_for_the_hold() -> None:
    assert HYSTERESIS.decide(load(12), ControllerState(1, 100.0)) == ControllerState(3, 100.0)


def test_a_plain_threshold_is_left_as_soon_as_the_line_is_below_it() -> None:
    assert Hysteresis.threshold((3, 6)) == Hysteresis((3, 6), (2, 5))


@pytest.mark.parametrize(
    ("enter", "leave", "hold_s", "says"),
    [
        ((4,), (), 0.0, "one of each"),
        ((4, 3), (1, 1), 0.0, "enter thresholds"),
        ((4, 5), (3, 2), 0.0, "leave thresholds"),
        ((4,), (4,), 0.0, "below its enter threshold"),
        ((4,), (-1,), 0.0, "at least 0"),
        ((4,), (1,), -1.0, "min_hold_s"),
    ],
)
def test_thresholds_that_cannot_work_are_refused(
    enter: tuple[int, ...], leave: tuple[int, ...], hold_s: float, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Hysteresis(enter, leave, hold_s)


@given(hystereses(), st.data(), st.integers(0, 30), st.integers(0, 30), st.floats(0, 5))
def test_more_waiting_never_raises_quality(
    controller: Hysteresis, data: st.DataObject, waiting: int, more: int, held_s: float
) -> None:
    state = ControllerState(data.draw(st.integers(0, controller.deepest)), 100.0 - held_s)
    here = controller.decide(load(waiting), state).rung
    there = controller.decide(load(waiting + more), state).rung
    assert 0 <= here <= there <= controller.deepest
    assert here >= state.rung - 1
