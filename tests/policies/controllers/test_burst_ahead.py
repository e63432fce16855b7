"""The line that a rising rate promises is acted on before it is there."""

from __future__ import annotations

import pytest

from policies.controllers import BurstAhead, ControllerState, Hysteresis
from tests.policies.controllers.loads import load

PRESSURE = Hysteresis(enter=(4, 8), leave=(1, 4))
AHEAD = BurstAhead(PRESSURE, horizon_s=2.0)
CAPACITY = (3.0, 6.0, 12.0)


def rung(waiting: int, mean_per_s: float, recent_per_s: float, current: int = 0) -> int:
    seen = load(
        waiting,
        arrival_rate_per_s=mean_per_s,
        recent_rate_per_s=recent_per_s,
        capacity_per_s=CAPACITY,
    )
    return AHEAD.decide(seen, ControllerState(current, 0.0)).rung


@pytest.mark.parametrize(
    ("mean_per_s", "recent_per_s", "expected"),
    [
        (3.0, 3.0, 0),  # no trend, and no more than is finished
        (2.1, 3.5, 0),  # 4.9 a second to come: 3 beyond what is finished
        (2.0, 3.5, 1),  # 5 a second to come: 4
        (1.0, 4.0, 2),  # 7 a second to come: 8
        (9.0, 4.0, 0),  # none at all
    ],
)
def test_the_trend_of_the_rate_is_carried_on_over_the_horizon(
    mean_per_s: float, recent_per_s: float, expected: int
) -> None:
    assert rung(0, mean_per_s, recent_per_s) == expected


def test_jobs_to_come_are_added_to_the_line_that_is_there() -> None:
    assert rung(3, 2.0, 3.5) == 1
    assert rung(4, 2.0, 3.5) == 2


def test_a_falling_rate_takes_nobody_out_of_the_line() -> None:
    assert rung(4, 9.0, 1.0) == 1


def test_the_capacity_of_the_present_rung_counts() -> None:
    assert rung(0, 1.0, 4.0, current=1) == 1  # 7 come, 6 are finished: 2 more, above leave 1
    assert rung(0, 1.0, 4.0, current=2) == 1  # all 7 are finished


def test_a_rung_that_no_engine_hosts_finishes_nothing() -> None:
    seen = load(0, arrival_rate_per_s=2.0, recent_rate_per_s=2.0, capacity_per_s=(0.0, 6.0, 12.0))
    assert AHEAD.decide(seen, AHEAD.initial()).rung == 1


def test_before_any_engine_is_up_nothing_is_finished() -> None:
    seen = load(0, engines=0, arrival_rate_per_s=2.0, recent_rate_per_s=2.0)
    assert AHEAD.decide(seen, AHEAD.initial()).rung == 1


def test_it_starts_as_the_wrapped_controller_and_keeps_its_states() -> None:
    assert AHEAD.initial() == PRESSURE.initial()
    assert AHEAD.deepest == PRESSURE.deepest
    state = ControllerState(1, 0.0)
    assert AHEAD.decide(load(2, capacity_per_s=CAPACITY), state) is state


def test_it_needs_a_cost_table_and_says_so() -> None:
    assert AHEAD.needs_costs
    with pytest.raises(ValueError, match="needs a cost table"):
        AHEAD.decide(load(2), AHEAD.initial())


@pytest.mark.parametrize("horizon_s", [0.0, -1.0, float("nan")])
def test_a_horizon_that_is_none_is_refused(horizon_s: float) -> None:
    with pytest.raises(ValueError, match="horizon_s"):
        BurstAhead(PRESSURE, horizon_s)
