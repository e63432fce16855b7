"""The ladder orders rungs, turns quality into floors and never answers below one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import QUALITY_ORDER, Job, Ladder, Rung, Service

LADDER = Ladder(
    (
        Rung("full", 25, "high"),
        Rung("full", 15, "high"),
        Rung("full", 10, "medium"),
        Rung("small", 15, "low"),
        Rung("turbo", 4, "low", replannable=False),
    )
)


@st.composite
def ladders(draw: st.DrawFn) -> Ladder:
    """Ladders of up to three variants whose labels and steps fall as they must."""
    size = draw(st.integers(1, 7))
    labels = sorted(
        draw(st.lists(st.sampled_from(QUALITY_ORDER), min_size=size, max_size=size)),
        key=QUALITY_ORDER.index,
        reverse=True,
    )
    steps = {"full": 40, "small": 40, "turbo": 40}
    rungs = []
    for label in labels:
        variant = draw(st.sampled_from(sorted(steps)))
        steps[variant] -= draw(st.integers(1, 5))
        rungs.append(Rung(variant, steps[variant], label, replannable=variant != "turbo"))
    return Ladder(tuple(rungs))


def test_an_empty_ladder_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one rung"):
        Ladder(())


def test_a_label_that_rises_down_the_ladder_is_refused() -> None:
    with pytest.raises(ValueError, match="from best to cheapest"):
        Ladder((Rung("full", 25, "low"), Rung("full", 15, "high")))


def test_steps_of_one_variant_must_fall_even_with_another_variant_between() -> None:
    with pytest.raises(ValueError, match="must fall down the ladder"):
        Ladder((Rung("full", 10, "high"), Rung("small", 20, "low"), Rung("full", 10, "low")))


def test_as_many_steps_may_follow_with_less_guidance_and_fewer_steps_with_more() -> None:
    half = Rung("full", 25, "high", guidance_share=0.5)
    Ladder((Rung("full", 25, "high"), half, Rung("full", 20, "medium")))
    with pytest.raises(ValueError, match="its guidance_share, must fall"):
        Ladder((half, Rung("full", 25, "high")))
    with pytest.raises(ValueError, match="its guidance_share, must fall"):
        Ladder((half, half))


def test_a_rung_is_written_with_its_guidance_only_where_that_is_cut() -> None:
    assert str(Rung("full", 25, "high")) == "full@25"
    assert str(Rung("full", 25, "high", guidance_share=0.5)) == "full@25/guided 50 %"


@pytest.mark.parametrize(
    ("rung", "says"),
    [
        (("", 1, "low"), "name of its variant"),
        (("full", 0, "low"), "at least 1"),
        (("full", 1, "superb"), "use one of low, medium"),
        (("full", 1, "low", True, 1.5), "between 0 and 1"),
        (("full", 1, "low", True, -0.1), "between 0 and 1"),
    ],
)
def test_a_rung_that_cannot_be_is_refused(rung: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Rung(*rung)


@pytest.mark.parametrize(
    ("quality", "floor"), [("auto", 4), ("low", 4), ("medium", 2), ("high", 1)]
)
def test_the_floor_is_the_lowest_rung_that_still_carries_the_label(
    quality: str, floor: int
) -> None:
    assert LADDER.floor_for(quality) == floor


def test_a_quality_that_no_rung_offers_is_refused_with_the_best_there_is() -> None:
    with pytest.raises(ValueError, match="best offered is 'high'"):
        LADDER.floor_for("max")


def test_an_unknown_quality_is_refused() -> None:
    with pytest.raises(ValueError, match="'fine' is unknown"):
        LADDER.floor_for("fine")


def test_a_pinned_variant_keeps_to_its_own_rungs() -> None:
    assert LADDER.rung_for(0, 4, "small") == 3
    assert LADDER.rung_for(4, 4, "full") == 2
    with pytest.raises(ValueError, match="ask for a lower quality"):
        LADDER.rung_for(0, 1, "turbo")
    with pytest.raises(ValueError, match="'huge' is not on the ladder"):
        LADDER.rung_for(0, 4, "huge")


def test_a_variant_that_nobody_hosts_is_passed_over() -> None:
    assert LADDER.rung_for(3, 4, hosted={"full", "turbo"}) == 4
    assert LADDER.rung_for(3, 4, hosted={"full"}) == 2


@given(ladders(), st.integers(0, 8), st.integers(0, 8), st.integers(0, 8))
def test_rung_for_keeps_the_floor_and_rises_with_the_current_rung(
    ladder: Ladder, current: int, more: int, floor: int
) -> None:
    floor = min(floor, ladder.last)
    here, there = ladder.rung_for(current, floor), ladder.rung_for(current + more, floor)
    assert here <= there <= floor
    assert here == min(current, floor)


@given(ladders(), st.sampled_from(QUALITY_ORDER))
def test_nothing_at_or_above_a_floor_carries_a_lower_label(ladder: Ladder, quality: str) -> None:
    try:
        floor = ladder.floor_for(quality)
    except ValueError:
        assert QUALITY_ORDER.index(ladder.best.quality) < QUALITY_ORDER.index(quality)
        return
    labels = [QUALITY_ORDER.index(rung.quality) for rung in ladder.rungs]
    assert min(labels[: floor + 1]) >= QUALITY_ORDER.index(quality)
    assert all(label < QUALITY_ORDER.index(quality) for label in labels[floor + 1 :])


@pytest.mark.parametrize(("steps", "rung"), [(60, 0), (25, 0), (24, 1), (10, 2), (3, 2)])
def test_steps_count_as_the_best_rung_that_they_reach(steps: int, rung: int) -> None:
    assert LADDER.rung_of("full", steps) == rung


def test_fewer_steps_than_any_rung_are_labelled_low() -> None:
    assert LADDER.quality_of(Service("full", 10, 2)) == "medium"
    assert LADDER.quality_of(Service("full", 9, 2)) == "low"


def test_less_guidance_than_the_rung_promises_is_labelled_low() -> None:
    assert LADDER.quality_of(Service("full", 10, 2, guidance_share=0.5)) == "low"


@pytest.mark.parametrize(
    ("job", "says"),
    [
        ({"job_id": ""}, "not empty"),
        ({"floor": -1}, "ladder index"),
        ({"steps": 0}, "at least 1"),
        ({"fixed": True}, "must name its steps"),
    ],
)
def test_a_job_that_cannot_be_is_refused(job: dict[str, object], says: str) -> None:
    facts: dict[str, object] = {"job_id": "a", "arrival_s": 0.0, "floor": 0}
    with pytest.raises(ValueError, match=says):
        Job(**(facts | job))  # type: ignore[arg-type]
