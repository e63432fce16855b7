"""Re-planning shortens what is left, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import Ladder, Rung, Service, in_flight_rung, remaining_after_replan, replanned

LADDER = Ladder(
    (
        Rung("full", 25, "high"),
        Rung("full", 15, "high"),
        Rung("full", 10, "medium"),
        Rung("small", 15, "low"),
        Rung("turbo", 4, "low", replannable=False),
    )
)
FULL = Service("full", 25, 0)


@pytest.mark.parametrize(
    ("planned", "done", "from_steps", "to_steps", "left"),
    [
        (25, 0, 25, 10, 10),
        (25, 10, 25, 10, 6),
        (25, 11, 25, 10, 6),
        (25, 24, 25, 10, 1),
        (25, 25, 25, 10, 0),
        (25, 5, 25, 40, 20),
    ],
)
def test_the_rest_shrinks_in_the_ratio_of_the_steps(
    planned: int, done: int, from_steps: int, to_steps: int, left: int
) -> None:
    assert remaining_after_replan(planned, done, from_steps, to_steps) == left


@pytest.mark.parametrize("counts", [(10, 11, 5, 4), (10, -1, 5, 4), (10, 1, 0, 4), (10, 1, 5, 0)])
def test_counts_that_cannot_be_are_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        remaining_after_replan(*counts)


@given(st.integers(1, 200), st.integers(0, 200), st.integers(1, 200), st.integers(1, 200))
def test_a_replan_never_lengthens_and_never_skips_the_last_step(
    planned: int, done: int, from_steps: int, to_steps: int
) -> None:
    done = min(done, planned)
    left = remaining_after_replan(planned, done, from_steps, to_steps)
    assert left <= planned - done
    assert (left == 0) == (planned == done)


@given(st.integers(1, 60), st.integers(0, 60))
def test_two_replans_are_no_longer_than_one_step_more_than_one(planned: int, done: int) -> None:
    done = min(done, planned)
    once = remaining_after_replan(planned, done, 25, 10)
    half = remaining_after_replan(planned, done, 25, 15)
    twice = remaining_after_replan(done + half, done, 15, 10)
    assert once <= twice <= once + 1


def test_a_running_job_follows_the_announced_rung_within_its_variant() -> None:
    assert in_flight_rung(FULL, 4, 1, LADDER) == 1
    assert in_flight_rung(FULL, 4, 4, LADDER) == 2


def test_a_running_job_is_not_replanned_below_its_floor() -> None:
    assert in_flight_rung(FULL, 1, 4, LADDER) == 1
    assert in_flight_rung(FULL, 0, 4, LADDER) is None


def test_a_running_job_is_never_lengthened_again() -> None:
    assert in_flight_rung(Service("full", 10, 2), 4, 0, LADDER) is None


def test_a_fixed_job_and_a_fixed_schedule_are_left_alone() -> None:
    assert in_flight_rung(FULL, 4, 4, LADDER, fixed=True) is None
    assert in_flight_rung(Service("turbo", 4, 4), 4, 4, LADDER) is None


def test_no_job_is_replanned_into_a_fixed_schedule() -> None:
    ladder = Ladder((Rung("turbo", 8, "high"), Rung("turbo", 4, "low", replannable=False)))
    assert in_flight_rung(Service("turbo", 8, 0), 1, 1, ladder) is None


def test_a_long_wish_is_not_cut_while_there_is_no_pressure() -> None:
    assert in_flight_rung(Service("full", 40, 0), 4, 0, LADDER) is None
    assert in_flight_rung(Service("full", 40, 0), 4, 1, LADDER) == 1


def test_a_job_whose_variant_has_no_rung_within_its_floor_is_left_alone() -> None:
    assert in_flight_rung(Service("small", 15, 3), 1, 4, LADDER) is None


def test_a_replanned_job_gets_the_new_pace_and_the_new_plan() -> None:
    assert replanned(FULL, 25, 10, floor=4, announced=2, ladder=LADDER) == (
        Service("full", 10, 2),
        16,
    )


def test_a_plan_that_rounding_leaves_alone_keeps_its_label() -> None:
    assert replanned(FULL, 25, 24, floor=4, announced=2, ladder=LADDER) is None
    assert replanned(FULL, 25, 25, floor=4, announced=2, ladder=LADDER) is None
