"""The pictures of a setting: the engine does what the setting says, and what it took is counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.convergence import Audit
from pipelines.loading import Variant
from pipelines.quality_study.runs import Made, Maker, Steps, Subject
from pipelines.quality_study.settings import Setting
from policies.exits import remaining_after_replan
from tests.pipelines.engine_runs import alone, difference
from tests.pipelines.tiny_pipelines import SIZE, request

SUBJECTS = tuple(Subject(f"a red circle {'abcdefg'[n]}", 30 + n) for n in range(5))
RUN = Setting("steps", "full", 8)


@pytest.fixture(scope="module")
def maker(full: Variant, turbo: Variant) -> Maker:
    """Batches of two: five pictures do not divide by that."""
    small = replace(full, name="small")
    return Maker(
        {"full": full, "small": small, "turbo": turbo},
        max_batch=2,
        threads=None,
        seed=1,
        side_px=SIZE,
    )


def steps_of(made: Made) -> list[dict[str, Steps]]:
    return [dict(one) for one in made.steps]


def test_pictures_come_in_the_subjects_order_and_are_the_engines(
    maker: Maker, full: Variant
) -> None:
    made = maker.make(RUN, SUBJECTS)
    assert made.pictures.shape == (5, SIZE, SIZE, 3)
    for subject, picture in zip(SUBJECTS, made.pictures, strict=True):
        asked = request(
            prompt=subject.prompt,
            seed=subject.seed,
            service=replace(request().service, steps=8),
            guidance_scale=None,
        )
        assert difference(picture, alone(full, asked).image) <= 2


def test_a_whole_run_is_guided_and_a_distilled_one_is_not(maker: Maker) -> None:
    assert steps_of(maker.make(RUN, SUBJECTS)) == [{"full": Steps(8, 0)}] * 5
    turbo = maker.make(Setting("steps", "turbo", 3), SUBJECTS)
    assert steps_of(turbo) == [{"turbo": Steps(0, 3)}] * 5
    assert Steps(8, 3).rows == 19


def test_a_guidance_cut_off_leaves_the_rest_unguided(maker: Maker) -> None:
    made = maker.make(Setting("guidance", "full", 8, guidance_share=0.5), SUBJECTS)
    assert steps_of(made) == [{"full": Steps(4, 4)}] * 5


def test_a_replan_meets_every_picture_at_the_same_step(maker: Maker) -> None:
    setting = Setting("replan", "full", 8, exit_after=3, to_variant="full", to_steps=4)
    made = maker.make(setting, SUBJECTS)
    left = remaining_after_replan(8, 3, 8, 4)
    assert steps_of(made) == [{"full": Steps(3 + left, 0)}] * 5


def test_finishing_at_once_runs_no_further_step(maker: Maker) -> None:
    made = maker.make(Setting("finish", "full", 8, exit_after=5), SUBJECTS)
    assert steps_of(made) == [{"full": Steps(5, 0)}] * 5


def test_a_hand_over_counts_the_steps_of_both_variants(maker: Maker) -> None:
    setting = Setting("hand_over", "full", 8, exit_after=3, to_variant="small", to_steps=8)
    made = maker.make(setting, SUBJECTS)
    assert steps_of(made) == [{"full": Steps(3, 0), "small": Steps(5, 0)}] * 5
    # The same weights go on at the same noise levels.
    assert np.abs(made.pictures.astype(int) - maker.make(RUN, SUBJECTS).pictures).max() <= 2


def test_another_sampler_makes_another_picture(maker: Maker) -> None:
    made = maker.make(Setting("sampler", "full", 8, sampler="euler"), SUBJECTS)
    assert made.facts[0].sampler == "euler"
    assert (made.pictures != maker.make(RUN, SUBJECTS).pictures).any()


def test_audits_belong_to_the_pictures_they_were_taken_of(maker: Maker) -> None:
    together = maker.audited(RUN, SUBJECTS)
    assert sorted(together.audits) == list(range(5))
    for index, subject in enumerate(SUBJECTS):
        single: Audit = maker.audited(RUN, [subject]).audits[0]
        assert together.audits[index].changes == pytest.approx(single.changes, rel=1e-3)
        assert together.audits[index].losses == pytest.approx(single.losses, rel=1e-3, abs=1e-6)


def test_auditing_changes_no_picture(maker: Maker) -> None:
    assert np.array_equal(maker.audited(RUN, SUBJECTS).pictures, maker.make(RUN, SUBJECTS).pictures)


def test_converging_pictures_end_where_their_audits_say(maker: Maker) -> None:
    audits = maker.audited(RUN, SUBJECTS).audits
    known = [audits[index % 5] for index in range(40)]
    middle = float(np.median([audit.losses[4] for audit in audits.values()]))
    made = maker.make(Setting("converge", "full", 8, loss_budget=middle), SUBJECTS, known)
    assert made.tuner is not None
    assert made.tuner.threshold > 0
    exited = 0
    for index, facts in enumerate(made.facts):
        if facts.early_exit == "converged":
            still = [k for k, c in enumerate(audits[index].changes, 1) if c <= made.tuner.threshold]
            assert facts.steps_run == next(k for k in still if k >= 2)
            exited += 1
        else:
            assert facts.steps_run == 8
    assert exited > 0


def test_an_early_exit_that_did_not_happen_is_not_counted_as_one(maker: Maker) -> None:
    # A pace of 7 for the 5 steps that are left of 8 rounds to 5: nothing changes.
    setting = Setting("replan", "full", 8, exit_after=3, to_variant="full", to_steps=7)
    with pytest.raises(RuntimeError, match="ended by 'none'"):
        maker.make(setting, SUBJECTS)


def test_a_picture_that_fails_stops_the_study(maker: Maker) -> None:
    long = Subject("a red circle " * 40, 1)
    with pytest.raises(RuntimeError, match="full@8"):
        maker.make(RUN, [long])
