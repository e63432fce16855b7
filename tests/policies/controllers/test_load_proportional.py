"""As much quality as lets the line drain within the target."""

from __future__ import annotations

import pytest

from policies.controllers import ControllerState, LoadProportional
from tests.policies.controllers.loads import load

CONTROLLER = LoadProportional(target_s=4.0, deepest=2, hold_s=2.0)
CAPACITY = (1.0, 2.0, 4.0)


def rung(waiting: int, capacity_per_s: tuple[float, ...] = CAPACITY, current: int = 0) -> int:
    seen = load(waiting, capacity_per_s=capacity_per_s)
    return CONTROLLER.decide(seen, ControllerState(current, 0.0)).rung


@pytest.mark.parametrize(
    ("waiting", "expected"), [(0, 0), (4, 0), (5, 1), (8, 1), (9, 2), (16, 2), (99, 2)]
)
def test_it_takes_the_best_rung_whose_drain_time_meets_the_target(
    waiting: int, expected: int
) -> None:
    assert rung(waiting) == expected


def test_a_rung_that_no_engine_hosts_is_never_chosen() -> None:
    assert rung(0, (0.0, 2.0, 4.0)) == 1
    assert rung(5, (1.0, 0.0, 4.0)) == 2
    assert rung(99, (1.0, 2.0, 0.0)) == 1


def test_a_worse_rung_that_is_no_faster_is_never_chosen() -> None:
    assert rung(99, (1.0, 2.0, 2.0)) == 1
    assert rung(99, (3.0, 2.0, 1.0)) == 0


def test_rungs_deeper_than_its_own_are_left_alone() -> None:
    assert rung(99, (1.0, 2.0, 4.0, 8.0)) == 2


def test_it_comes_back_one_useful_rung_at_a_time_and_only_after_its_hold() -> None:
    state = ControllerState(2, 99.0)
    empty = load(0, capacity_per_s=CAPACITY)
    assert CONTROLLER.decide(empty, state) is state
    later = load(0, now_s=101.0, capacity_per_s=CAPACITY)
    assert CONTROLLER.decide(later, state) == ControllerState(1, 101.0)
    skipping = load(0, now_s=101.0, capacity_per_s=(1.0, 0.5, 4.0))
    assert CONTROLLER.decide(skipping, state) == ControllerState(0, 101.0)


def test_going_down_never_waits_for_the_hold() -> None:
    seen = load(9, capacity_per_s=CAPACITY)
    assert CONTROLLER.decide(seen, ControllerState(1, 100.0)) == ControllerState(2, 100.0)


def test_a_rung_whose_engines_are_gone_is_left_without_waiting_for_the_hold() -> None:
    seen = load(0, capacity_per_s=(1.0, 2.0, 0.0))
    assert CONTROLLER.decide(seen, ControllerState(2, 100.0)) == ControllerState(1, 100.0)


@pytest.mark.parametrize("capacity_per_s", [(), (0.0, 0.0, 0.0)])
def test_nothing_changes_while_no_engine_is_up(capacity_per_s: tuple[float, ...]) -> None:
    state = ControllerState(1, 0.0)
    assert CONTROLLER.decide(load(99, capacity_per_s=capacity_per_s), state) is state


def test_it_starts_with_full_service_and_needs_a_cost_table() -> None:
    assert CONTROLLER.initial().rung == 0
    assert CONTROLLER.needs_costs


@pytest.mark.parametrize(
    ("target_s", "deepest", "hold_s", "says"),
    [
        (0.0, 1, 0.0, "target_s"),
        (float("nan"), 1, 0.0, "target_s"),
        (1.0, -1, 0.0, "deepest"),
        (1.0, 1, -1.0, "hold_s"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    target_s: float, deepest: int, hold_s: float, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        LoadProportional(target_s, deepest, hold_s)
