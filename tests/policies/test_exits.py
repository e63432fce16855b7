"""An announced rung shortens what runs, within what was promised, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import (
    Change,
    ExitRules,
    Ladder,
    OnLowerRung,
    Rung,
    Service,
    changed,
    guided_steps,
    hand_overs,
    remaining_after_replan,
)

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
REPLAN = ExitRules()
FINISH = ExitRules("finish", finish_from=0.6)
HAND_OVER = ExitRules("hand_over", hands_over={"full": frozenset({"small", "turbo"})})


def lowered(
    service: Service,
    planned: int,
    done: int,
    *,
    floor: int = LADDER.last,
    announced: int = LADDER.last,
    ladder: Ladder = LADDER,
    rules: ExitRules = REPLAN,
    fixed: bool = False,
    pinned: bool = False,
) -> Change | None:
    return changed(
        service,
        planned,
        done,
        floor=floor,
        announced=announced,
        ladder=ladder,
        rules=rules,
        fixed=fixed,
        pinned=pinned,
    )


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
    assert lowered(FULL, 25, 10, announced=1) == Change(Service("full", 15, 1), 19, "replan")
    assert lowered(FULL, 25, 10, announced=4) == Change(Service("full", 10, 2), 16, "replan")


def test_a_running_job_is_not_lowered_below_its_floor() -> None:
    assert lowered(FULL, 25, 10, floor=1) == Change(Service("full", 15, 1), 19, "replan")
    assert lowered(FULL, 25, 10, floor=0) is None


def test_a_running_job_is_never_lengthened_again() -> None:
    assert lowered(Service("full", 10, 2), 10, 3, announced=0) is None


def test_a_fixed_job_and_a_fixed_schedule_are_left_alone() -> None:
    for rules in (REPLAN, FINISH, HAND_OVER):
        assert lowered(FULL, 25, 20, rules=rules, fixed=True) is None
        assert lowered(Service("turbo", 4, 4), 4, 3, rules=rules) is None


def test_no_job_is_replanned_into_a_fixed_schedule() -> None:
    ladder = Ladder((Rung("turbo", 8, "high"), Rung("turbo", 4, "low", replannable=False)))
    assert lowered(Service("turbo", 8, 0), 8, 2, ladder=ladder, floor=1, announced=1) is None


def test_a_long_wish_is_not_cut_while_there_is_no_pressure() -> None:
    long = Service("full", 40, 0)
    assert lowered(long, 40, 20, announced=0) is None
    assert lowered(long, 40, 20, announced=1) == Change(Service("full", 15, 1), 28, "replan")


def test_a_job_whose_variant_has_no_rung_within_its_floor_is_left_alone() -> None:
    assert lowered(Service("small", 15, 3), 15, 5, floor=1) is None


def test_a_plan_that_rounding_leaves_alone_keeps_its_label() -> None:
    assert lowered(FULL, 25, 24, announced=2) is None
    assert lowered(FULL, 25, 25, announced=2) is None


def test_rules_that_keep_change_nothing() -> None:
    assert lowered(FULL, 25, 20, rules=ExitRules("keep")) is None


def test_a_job_far_enough_on_is_finished_now_and_any_other_replanned() -> None:
    rung = Service("full", 10, 2)
    assert lowered(FULL, 25, 15, announced=2, rules=FINISH) == Change(rung, 15, "finish")
    assert lowered(FULL, 25, 14, announced=2, rules=FINISH) == Change(rung, 19, "replan")


def test_the_share_to_finish_from_is_exact_to_the_step() -> None:
    ladder = Ladder((Rung("full", 20, "high"), Rung("full", 10, "low")))
    rules = ExitRules("finish", finish_from=0.55)  # times 20 it is a hair above 11
    change = lowered(Service("full", 20, 0), 20, 11, ladder=ladder, announced=1, rules=rules)
    assert change == Change(Service("full", 10, 1), 11, "finish")


def test_a_job_before_its_first_step_has_no_estimate_to_finish_with() -> None:
    at_once = ExitRules("finish", finish_from=0.001)
    assert lowered(FULL, 25, 0, announced=2, rules=at_once) == Change(
        Service("full", 10, 2), 10, "replan"
    )


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_to_finish_from_that_cannot_be_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="finish_from"):
        ExitRules("finish", finish_from=share)


def test_a_job_is_handed_over_to_the_variant_of_the_announced_rung() -> None:
    assert lowered(FULL, 25, 10, announced=3, rules=HAND_OVER) == Change(
        Service("small", 15, 3), 19, "hand_over"
    )


def test_a_hand_over_may_save_by_the_variant_alone() -> None:
    assert lowered(Service("full", 15, 1), 15, 5, announced=3, rules=HAND_OVER) == Change(
        Service("small", 15, 3), 15, "hand_over"
    )


def test_a_job_is_handed_over_only_where_its_latents_fit() -> None:
    nobody = ExitRules("hand_over", hands_over={"small": frozenset({"full"})})
    rung = Service("full", 10, 2)
    assert lowered(FULL, 25, 10, announced=3, rules=nobody) == Change(rung, 16, "replan")


def test_every_variant_with_a_free_schedule_may_take_over_from_the_others() -> None:
    ladder = Ladder((*LADDER.rungs[:4], Rung("tiny", 10, "low"), LADDER[4]))
    assert hand_overs(ladder) == {
        "full": frozenset({"small", "tiny"}),
        "small": frozenset({"full", "tiny"}),
        "tiny": frozenset({"full", "small"}),
    }


def test_an_engine_hands_over_only_to_what_it_has() -> None:
    rules = ExitRules("hand_over", hands_over=hand_overs(LADDER))
    assert rules.within({"full", "small"}).hands_over == rules.hands_over
    assert rules.within({"full", "turbo"}).hands_over == {"full": frozenset()}


def test_a_job_is_handed_over_within_its_floor_and_never_to_a_fixed_schedule() -> None:
    rung = Service("full", 10, 2)
    assert lowered(FULL, 25, 10, floor=2, rules=HAND_OVER) == Change(rung, 16, "replan")
    small = lowered(FULL, 25, 10, announced=4, rules=HAND_OVER)
    assert small is not None
    assert small.service.variant == "small"


def test_a_job_whose_client_named_its_variant_is_not_handed_over() -> None:
    rung = Service("full", 10, 2)
    assert lowered(FULL, 25, 10, announced=3, rules=HAND_OVER, pinned=True) == Change(
        rung, 16, "replan"
    )


def test_a_job_that_promises_fewer_steps_than_the_other_variants_rung_stays() -> None:
    """Fewer steps than the rung promises would put the picture below the job's floor."""
    assert lowered(Service("full", 10, 2), 10, 2, announced=3, rules=HAND_OVER) is None


GUIDED = Ladder(
    (
        Rung("full", 25, "high"),
        Rung("full", 25, "high", guidance_share=0.5),
        Rung("full", 15, "medium"),
        Rung("full", 15, "low", guidance_share=0.4),
    )
)


def test_a_rung_that_cuts_the_guidance_alone_keeps_the_steps() -> None:
    assert lowered(FULL, 25, 10, announced=1, ladder=GUIDED, floor=3) == Change(
        Service("full", 25, 1, 0.5), 25, "replan"
    )


def test_a_job_that_is_past_the_cut_already_saves_what_is_left() -> None:
    assert lowered(FULL, 25, 20, announced=1, ladder=GUIDED, floor=3) == Change(
        Service("full", 25, 1, 0.5), 25, "replan"
    )
    cut = Service("full", 15, 2, 0.5)
    assert lowered(cut, 15, 14, announced=3, ladder=GUIDED, floor=3) is None


def test_guidance_that_was_cut_is_not_switched_on_again() -> None:
    cut = Service("full", 25, 1, 0.5)
    assert lowered(cut, 25, 20, announced=2, ladder=GUIDED, floor=3) is None
    assert lowered(cut, 25, 10, announced=3, ladder=GUIDED, floor=3) == Change(
        Service("full", 15, 3, 0.4), 19, "replan"
    )


@pytest.mark.parametrize(
    ("steps", "share", "guided"),
    [(25, 1.0, 25), (25, 0.5, 13), (25, 0.0, 0), (100, 0.07, 7), (10, 0.3, 3), (1, 0.01, 1)],
)
def test_guided_steps_are_the_share_rounded_up(steps: int, share: float, guided: int) -> None:
    assert guided_steps(steps, share) == guided


MIXED = Ladder(
    (
        Rung("full", 25, "max"),
        Rung("full", 25, "xhigh", guidance_share=0.5),
        Rung("small", 25, "xhigh"),
        Rung("full", 15, "high"),
        Rung("turbo", 8, "high", replannable=False),
        Rung("small", 12, "medium", guidance_share=0.6),
        Rung("full", 8, "low"),
        Rung("turbo", 4, "low", replannable=False),
    )
)
TAKERS = {name: frozenset({"full", "small", "turbo"}) - {name} for name in ("full", "small")}
KINDS: tuple[OnLowerRung, ...] = ("keep", "replan", "finish", "hand_over")


@st.composite
def running_jobs(draw: st.DrawFn) -> tuple[Service, int, int]:
    """A job on any rung, or with a wish of its own, and how far it is."""
    index = draw(st.integers(0, MIXED.last))
    rung = MIXED[index]
    wish = draw(st.none() | st.integers(1, 60))
    service = Service(rung.variant, rung.steps, index, rung.guidance_share)
    if wish is not None and rung.replannable:
        service = Service(rung.variant, wish, MIXED.rung_of(rung.variant, wish))
    planned = draw(st.integers(1, service.steps))
    return service, planned, draw(st.integers(0, planned))


@given(
    running=running_jobs(),
    floor=st.integers(0, MIXED.last),
    announced=st.integers(0, MIXED.last),
    deeper=st.integers(0, MIXED.last),
    kind=st.sampled_from(KINDS),
    finish_from=st.floats(0.01, 1.0),
    fixed=st.booleans(),
    pinned=st.booleans(),
)
def test_whatever_is_announced_no_job_is_ever_raised_or_lowered_too_far(
    running: tuple[Service, int, int],
    floor: int,
    announced: int,
    deeper: int,
    kind: OnLowerRung,
    finish_from: float,
    fixed: bool,
    pinned: bool,
) -> None:
    service, planned, done = running
    rules = ExitRules(kind, finish_from, TAKERS)

    def at(rung: int) -> Change | None:
        return lowered(
            service,
            planned,
            done,
            floor=floor,
            announced=min(rung, MIXED.last),
            ladder=MIXED,
            rules=rules,
            fixed=fixed,
            pinned=pinned,
        )

    change, later = at(announced), at(announced + deeper)
    if change is None:
        return
    now = change.service
    own = service.variant == now.variant
    assert not fixed
    assert kind != "keep"
    assert service.rung <= now.rung <= floor
    assert now.steps <= service.steps
    assert now.guidance_share <= service.guidance_share
    assert done <= change.steps_planned <= planned
    assert MIXED[service.rung].replannable
    assert MIXED[now.rung].replannable
    assert MIXED[now.rung].variant == now.variant
    assert own == (change.exit != "hand_over")
    assert own or (kind == "hand_over" and not pinned)
    assert (change.steps_planned == done) == (change.exit == "finish")
    if change.exit == "finish":
        assert kind == "finish"
        assert done >= max(1, finish_from * planned - 1e-6)
    guided_before = guided_steps(planned, service.guidance_share)
    assert guided_steps(change.steps_planned, now.guidance_share) <= guided_before
    assert later is not None, "more pressure must not let a job off"
    assert later.service.rung >= now.rung
    if later.service.variant == now.variant:
        assert later.steps_planned <= change.steps_planned


@given(running=running_jobs(), kind=st.sampled_from(KINDS), announced=st.integers(0, MIXED.last))
def test_the_same_announcement_changes_a_job_once(
    running: tuple[Service, int, int], kind: OnLowerRung, announced: int
) -> None:
    rules = ExitRules(kind, hands_over=TAKERS)

    def at_once(service: Service, planned: int, done: int) -> Change | None:
        return lowered(
            service,
            planned,
            done,
            floor=MIXED.last,
            announced=announced,
            ladder=MIXED,
            rules=rules,
        )

    change = at_once(*running)
    if change is not None:
        assert at_once(change.service, change.steps_planned, running[2]) is None
