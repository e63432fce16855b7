"""A job gets what it wished for, unless pressure and its floor let the server go lower."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import Job, Ladder, Rung, Service, service_for

LADDER = Ladder(
    (
        Rung("full", 25, "high"),
        Rung("full", 15, "high"),
        Rung("full", 10, "medium"),
        Rung("small", 15, "low"),
        Rung("turbo", 4, "low", replannable=False),
    )
)
ANY = LADDER.last


def job(
    floor: int = ANY, *, variant: str | None = None, steps: int | None = None, fixed: bool = False
) -> Job:
    return Job("a", 0.0, floor, variant=variant, steps=steps, fixed=fixed)


def test_a_job_without_wishes_gets_the_ladders_answer() -> None:
    assert service_for(job(), LADDER, 0) == Service("full", 25, 0)
    assert service_for(job(), LADDER, 3) == Service("small", 15, 3)
    assert service_for(job(floor=1), LADDER, 3) == Service("full", 15, 1)


def test_a_fixed_job_is_never_lowered() -> None:
    assert service_for(job(steps=40, fixed=True), LADDER, 4) == Service("full", 40, 0)
    assert service_for(job(steps=3, variant="small", fixed=True), LADDER, 4) == Service(
        "small", 3, 3
    )


def test_a_wish_is_met_while_there_is_no_pressure() -> None:
    assert service_for(job(steps=40), LADDER, 0) == Service("full", 40, 0)
    assert service_for(job(steps=12), LADDER, 1) == Service("full", 12, 2)


def test_a_wish_gives_way_to_a_cheaper_rung_under_pressure() -> None:
    assert service_for(job(steps=40), LADDER, 1) == Service("full", 15, 1)
    assert service_for(job(steps=12), LADDER, 3) == Service("small", 15, 3)


def test_a_pinned_variant_is_kept_under_pressure() -> None:
    assert service_for(job(variant="full"), LADDER, 4) == Service("full", 10, 2)
    assert service_for(job(variant="small", steps=30), LADDER, 4) == Service("small", 30, 3)


def test_a_wish_below_the_jobs_own_floor_is_raised_to_the_floor() -> None:
    assert service_for(job(floor=1, steps=5), LADDER, 0) == Service("full", 15, 1)
    assert service_for(job(floor=2, steps=5), LADDER, 4) == Service("full", 10, 2)


def test_a_job_that_accepts_anything_may_wish_for_very_few_steps() -> None:
    assert service_for(job(steps=5), LADDER, 0) == Service("full", 5, 2)


def test_a_job_is_not_sent_to_a_variant_that_no_engine_hosts() -> None:
    assert service_for(job(), LADDER, 3, {"full"}) == Service("full", 10, 2)
    assert service_for(job(steps=40), LADDER, 0, {"small"}) == Service("small", 15, 3)


def test_a_job_whose_floor_no_hosted_variant_reaches_waits_for_one_that_does() -> None:
    assert service_for(job(floor=1), LADDER, 0, {"turbo"}) == Service("full", 25, 0)


def test_a_variant_that_stands_only_below_the_floor_is_refused() -> None:
    with pytest.raises(ValueError, match="no rung of variant 'turbo'"):
        service_for(job(floor=1, variant="turbo"), LADDER, 0)


GUIDED = Ladder(
    (
        Rung("full", 25, "high"),
        Rung("full", 25, "high", guidance_share=0.5),
        Rung("full", 10, "low", guidance_share=0.5),
    )
)


def test_the_ladders_answer_carries_the_guidance_of_its_rung() -> None:
    assert service_for(job(floor=2), GUIDED, 0) == Service("full", 25, 0)
    assert service_for(job(floor=2), GUIDED, 1) == Service("full", 25, 1, 0.5)


def test_a_wish_is_guided_throughout_until_pressure_lowers_it() -> None:
    assert service_for(job(floor=2, steps=12), GUIDED, 0) == Service("full", 12, 2)
    assert service_for(job(floor=2, steps=12), GUIDED, 2) == Service("full", 10, 2, 0.5)
    assert service_for(job(floor=2, steps=10), GUIDED, 1) == Service("full", 10, 2)
    assert service_for(job(floor=2, steps=10), GUIDED, 2) == Service("full", 10, 2, 0.5)
    assert service_for(job(floor=2, steps=40, fixed=True), GUIDED, 2) == Service("full", 40, 0)


def test_a_wish_raised_to_its_floor_is_guided_throughout_while_nothing_presses() -> None:
    assert service_for(job(floor=1, steps=5), GUIDED, 0) == Service("full", 25, 1)
    assert service_for(job(floor=1, steps=5), GUIDED, 1) == Service("full", 25, 1, 0.5)


@given(
    floor=st.integers(0, ANY),
    current=st.integers(0, ANY),
    deeper=st.integers(0, ANY),
    steps=st.none() | st.integers(1, 60),
    variant=st.sampled_from([None, "full", "small", "turbo"]),
    hosted=st.none() | st.sets(st.sampled_from(["full", "small", "turbo"]), min_size=1),
)
def test_service_keeps_the_floor_and_never_improves_under_more_pressure(
    floor: int,
    current: int,
    deeper: int,
    steps: int | None,
    variant: str | None,
    hosted: set[str] | None,
) -> None:
    wanted = job(floor, variant=variant, steps=steps)
    try:
        here = service_for(wanted, LADDER, current, hosted)
        there = service_for(wanted, LADDER, current + deeper, hosted)
    except ValueError:
        assert variant is not None
        return
    assert here.rung <= there.rung <= floor
    if here.variant == there.variant:
        assert there.steps <= here.steps
    if floor < ANY:
        assert here.steps >= LADDER[here.rung].steps
