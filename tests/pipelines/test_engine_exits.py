"""Early exits: what each does to a running job, and what it may never do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.convergence import Audit, ConvergenceSettings, ThresholdTuner
from pipelines.denoising import step_rows
from pipelines.engine import StepEngine
from pipelines.jobs import PartialPicture, Picture, PictureRequest
from pipelines.loading import Variant, load_variant
from pipelines.slots import SlotBank
from policies.exits import ExitRules
from policies.nouns import Ladder, Rung, Service
from tests.pipelines.engine_runs import (
    REPLANNABLE,
    alone,
    difference,
    done,
    engine_of,
    estimate_of,
    run_out,
    start,
)
from tests.pipelines.tiny_pipelines import LADDER, SIZE, request


def test_a_replan_runs_exactly_the_promised_steps(full: Variant) -> None:
    for sampler in REPLANNABLE:
        engine = engine_of(full)
        engine.submit(request(sampler=sampler))
        for _ in range(6):
            engine.step()
        engine.announce(1)
        finished = done(run_out(engine))["job"]
        # Half of twelve steps are left at a pace of six for a whole run: three.
        assert finished.facts.steps_run == 6 + 3
        assert finished.facts.steps_planned == 12
        assert finished.facts.early_exit == "replan"
        assert (finished.facts.rung_admitted, finished.facts.rung_delivered) == (0, 1)


def test_a_replan_before_the_first_step_equals_a_run_at_that_pace(full: Variant) -> None:
    for sampler in ("ddim", "euler", "dpmpp_2m", "unipc"):
        engine = engine_of(full)
        engine.announce(1)
        engine.submit(request(sampler=sampler))
        lowered = done(run_out(engine))["job"]
        short = alone(full, request(sampler=sampler, service=Service("full", 6, 1)))
        assert lowered.facts.steps_run == 6
        assert difference(lowered.image, short.image) <= 2


def test_a_replanned_neighbour_changes_nobody_else(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request("kept", fixed=True))
    engine.submit(request("lowered", seed=5))
    engine.step()
    engine.announce(2)
    finished = done(run_out(engine))
    assert finished["lowered"].facts.steps_run < 12
    assert finished["kept"].facts.steps_run == 12
    assert difference(finished["kept"].image, alone(full, request("kept")).image) <= 2


def test_no_job_goes_below_its_floor(full: Variant) -> None:
    engine = engine_of(full)
    for job_id, floor in (("best", 0), ("middle", 1), ("any", 3)):
        engine.submit(request(job_id, floor=floor))
    engine.step()
    engine.announce(3)
    finished = done(run_out(engine))
    delivered = {job_id: event.facts.rung_delivered for job_id, event in finished.items()}
    assert delivered == {"best": 0, "middle": 1, "any": 2}


def test_a_job_is_never_lengthened_again(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request())
    engine.announce(2)
    engine.step()
    engine.announce(0)
    assert done(run_out(engine))["job"].facts.steps_run == 4


def test_one_job_alone_is_lowered(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request("lowered"))
    engine.submit(request("kept", seed=5))
    for _ in range(6):
        engine.step()
    engine.lower("lowered", 1)
    facts = {job_id: event.facts for job_id, event in done(run_out(engine)).items()}
    assert (facts["lowered"].steps_run, facts["lowered"].early_exit) == (6 + 3, "replan")
    assert facts["lowered"].rung_delivered == 1
    assert (facts["kept"].steps_run, facts["kept"].rung_delivered) == (12, 0)


def test_a_job_gets_the_lower_of_its_own_and_the_announced_rung(full: Variant) -> None:
    engine = engine_of(full)
    for job_id in ("own", "announced"):
        engine.submit(request(job_id))
    engine.announce(1)
    engine.lower("own", 2)
    engine.lower("announced", 0)
    facts = {job_id: event.facts for job_id, event in done(run_out(engine)).items()}
    assert {job_id: one.rung_delivered for job_id, one in facts.items()} == {
        "own": 2,
        "announced": 1,
    }


def test_a_job_that_waits_for_a_place_is_lowered_when_it_runs(full: Variant) -> None:
    engine = engine_of(full, max_batch=1)
    engine.submit(request("first"))
    engine.step()
    engine.submit(request("waiting"))
    engine.lower("waiting", 1)
    engine.lower("waiting", 0)
    facts = done(run_out(engine))["waiting"].facts
    assert (facts.steps_run, facts.rung_delivered) == (6, 1)


def test_lowering_looks_at_the_rules_once_and_keeps_the_floor(full: Variant) -> None:
    engine = engine_of(full, rules=ExitRules("finish", finish_from=0.5))
    engine.submit(request("early"))
    engine.submit(request("floored", floor=0, seed=4))
    engine.step()
    for job_id in ("early", "floored", "nobody"):
        engine.lower(job_id, 1)
    facts = {job_id: event.facts for job_id, event in done(run_out(engine)).items()}
    assert (facts["early"].steps_run, facts["early"].early_exit) == (1 + 6, "replan")
    assert (facts["floored"].steps_run, facts["floored"].early_exit) == (12, "none")


def test_a_job_is_not_lowered_to_a_rung_that_there_is_not(full: Variant) -> None:
    with pytest.raises(ValueError, match="rungs 0 to 3, not 4"):
        engine_of(full).lower("job", 4)


def test_jobs_that_end_together_are_told_in_the_order_in_which_they_joined(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request("leaves", service=Service("full", 1, 2)))
    for number in range(3):
        engine.submit(request(f"job {number}", seed=number, service=Service("full", 4, 2)))
    assert list(done(run_out(engine))) == ["leaves", "job 0", "job 1", "job 2"]


def test_a_rung_at_start_only_leaves_running_jobs_alone(full: Variant) -> None:
    engine = engine_of(full, rules=ExitRules("keep"))
    engine.submit(request())
    engine.step()
    engine.announce(2)
    finished = done(run_out(engine))["job"]
    assert (finished.facts.steps_run, finished.facts.early_exit) == (12, "none")


def test_a_distilled_job_is_never_replanned(turbo: Variant) -> None:
    engine = engine_of(turbo)
    engine.submit(request(service=Service("turbo", 8, 3)))
    engine.step()
    engine.announce(3)
    facts = done(run_out(engine))["job"].facts
    assert (facts.steps_run, facts.early_exit) == (8, "none")


def test_a_replannable_rung_of_a_distilled_variant_is_refused(turbo: Variant) -> None:
    with pytest.raises(ValueError, match="replannable to false"):
        StepEngine({"turbo": turbo}, Ladder((Rung("turbo", 4, "low"),)), 1)


def estimate_picture(variant: Variant, asked: PictureRequest, steps: int) -> Picture:
    """The decoded clean estimate after so many steps of the request alone."""
    with torch.inference_mode():
        bank = SlotBank(variant, SIZE, SIZE, 1)
        job = start(bank, asked)
        for _ in range(steps):
            step_rows(bank, 0, 1)
        (picture,) = variant.decoder.decode(estimate_of(bank, job))
    assert picture is not None
    return picture


def test_the_same_replans_at_the_same_step_give_the_same_picture_in_any_company(
    full: Variant,
) -> None:
    def run(neighbours: int) -> Picture:
        engine = engine_of(full)
        engine.submit(request(sampler="unipc"))
        for number in range(neighbours):
            engine.submit(request(f"other {number}", seed=number, sampler=REPLANNABLE[number]))
        for _ in range(5):
            engine.step()
        engine.announce(1)
        return done(run_out(engine))["job"].image

    assert difference(run(0), run(4)) <= 2


@pytest.mark.parametrize("sampler", REPLANNABLE)
def test_finishing_now_decodes_the_present_estimate(full: Variant, sampler: str) -> None:
    asked = request(sampler=sampler)
    engine = engine_of(full)
    engine.submit(asked)
    for _ in range(7):
        engine.step()
    engine.finish_now("job")
    finished = done(engine.step())["job"]
    assert (finished.facts.steps_run, finished.facts.early_exit) == (7, "finish")
    assert difference(finished.image, estimate_picture(full, asked, 7)) <= 2
    assert not engine.has_work()


def test_finishing_now_before_the_first_step_waits_for_it(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request())
    engine.finish_now("job")
    engine.finish_now("nobody")
    facts = done(run_out(engine))["job"].facts
    assert (facts.steps_run, facts.early_exit) == (1, "finish")


def test_a_lower_rung_finishes_jobs_that_have_come_far_enough_and_replans_the_others(
    full: Variant,
) -> None:
    engine = engine_of(full, rules=ExitRules("finish", finish_from=0.5))
    engine.submit(request("early"))
    for _ in range(4):
        engine.step()
    engine.submit(request("late", seed=3))
    engine.submit(request("floored", seed=4, floor=0))
    for _ in range(2):
        engine.step()
    engine.announce(1)
    finished = done(run_out(engine))
    facts = {job_id: event.facts for job_id, event in finished.items()}
    assert (facts["early"].steps_run, facts["early"].early_exit) == (6, "finish")
    assert (facts["late"].steps_run, facts["late"].early_exit) == (2 + 5, "replan")
    assert (facts["floored"].steps_run, facts["floored"].early_exit) == (12, "none")
    assert facts["early"].rung_delivered == 1
    early = estimate_picture(full, request("early"), 6)
    assert difference(finished["early"].image, early) <= 2


def test_guidance_is_dropped_after_its_share_of_the_steps(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    forward = full.unet.forward

    def counted(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rows.append(sample.shape[0])
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(full.unet, "forward", counted)
    engine = engine_of(full)
    engine.submit(request(service=Service("full", 8, 0, guidance_share=0.25)))
    engine.submit(request("whole", service=Service("full", 8, 0), seed=2))
    facts = {job_id: event.facts for job_id, event in done(run_out(engine)).items()}
    assert rows == [4, 4, 3, 3, 3, 3, 3, 3]
    assert facts["job"].guided_steps == 2
    assert facts["whole"].guided_steps == 8


def test_a_job_without_guidance_from_some_step_on_equals_a_run_by_hand(full: Variant) -> None:
    cut = alone(full, request(service=Service("full", 4, 2, guidance_share=0.5))).image
    with torch.inference_mode():
        bank = SlotBank(full, SIZE, SIZE, 1)
        job = start(bank, request(service=Service("full", 4, 2)))
        for step in range(4):
            if step == 2:
                bank.drop_guidance(job)
            step_rows(bank, 0, 1)
        (expected,) = full.decoder.decode(bank.state.latents[:1])
    assert expected is not None
    assert difference(cut, expected) == 0
    assert difference(cut, alone(full, request(service=Service("full", 4, 2))).image) > 2


SHARED = Ladder(
    (
        Rung("full", 12, "high"),
        Rung("full", 6, "medium"),
        Rung("small", 6, "low"),
    )
)
HANDS_OVER = ExitRules("hand_over", hands_over={"full": frozenset({"small"})})


@pytest.fixture(scope="module")
def small(folders: dict[str, Path]) -> Variant:
    """Another variant on the same autoencoder and noise levels."""
    return load_variant("small", folders["v_prediction"])


def test_a_hand_over_goes_on_in_the_other_variant_from_where_the_job_stood(
    full: Variant, small: Variant
) -> None:
    for sampler in REPLANNABLE:
        engine = StepEngine({"full": full, "small": small}, SHARED, 4, HANDS_OVER)
        engine.submit(request(sampler=sampler))
        for _ in range(6):
            engine.step()
        engine.announce(2)
        handed = done(run_out(engine))["job"]
        assert handed.facts.early_exit == "hand_over"
        assert handed.facts.variant == "small"
        assert handed.facts.steps_run == 6 + 3
        assert handed.facts.rung_delivered == 2
        # The two variants have the same weights here, so it must look as if only re-planned.
        engine = StepEngine({"full": full}, SHARED, 4)
        engine.submit(request(sampler=sampler))
        for _ in range(6):
            engine.step()
        engine.announce(1)
        assert difference(handed.image, done(run_out(engine))["job"].image) <= 2


def test_a_job_whose_client_named_the_variant_is_not_handed_over(
    full: Variant, small: Variant
) -> None:
    engine = StepEngine({"full": full, "small": small}, SHARED, 4, HANDS_OVER)
    engine.submit(request(pinned=True))
    engine.step()
    engine.announce(2)
    facts = done(run_out(engine))["job"].facts
    assert (facts.variant, facts.early_exit, facts.rung_delivered) == ("full", "replan", 1)


def test_a_hand_over_to_other_latents_is_refused_at_start(full: Variant, turbo: Variant) -> None:
    rules = ExitRules("hand_over", hands_over={"full": frozenset({"turbo"})})
    with pytest.raises(ValueError, match="'turbo' cannot take over"):
        StepEngine({"full": full, "turbo": turbo}, LADDER, 4, rules)


def still(budget: float, audited_share: float = 1e-9) -> ConvergenceSettings:
    return ConvergenceSettings(budget, audited_share=audited_share, audits_min=2, window=4)


def test_a_job_ends_once_its_estimate_stands_still(full: Variant) -> None:
    engine = engine_of(full, convergence=still(0.5))
    assert engine.tuner is not None
    for _ in range(4):  # audits that say: any change is small enough
        engine.tuner.add(Audit((float("inf"), 1.9, 1.9, 0.0), (0.1, 0.1, 0.1, 0.0)))
    engine.submit(request("eager", converge=True))
    engine.submit(request("patient", seed=2))
    finished = done(run_out(engine))
    assert finished["patient"].facts.steps_run == 12
    eager = finished["eager"]
    assert eager.facts.early_exit == "converged"
    assert eager.facts.steps_run < 12
    expected = estimate_picture(full, request("eager"), eager.facts.steps_run)
    assert difference(eager.image, expected) <= 2


def test_an_audited_job_runs_to_its_end_and_tells_what_every_exit_would_have_lost(
    full: Variant,
) -> None:
    engine = engine_of(full, convergence=still(0.5, audited_share=1.0))
    engine.submit(request(converge=True))
    audited = done(run_out(engine))["job"]
    assert (audited.facts.steps_run, audited.facts.early_exit) == (12, "none")
    assert isinstance(engine.tuner, ThresholdTuner)
    (audit,) = engine.tuner.audits
    assert len(audit.losses) == 12
    assert audit.losses[-1] == 0.0
    assert audit.changes[0] == float("inf")
    with torch.inference_mode():
        bank = SlotBank(full, SIZE, SIZE, 1)
        job = start(bank, request())
        trail = []
        for _ in range(12):
            step_rows(bank, 0, 1)
            trail.append(estimate_of(bank, job))
    for k in (3, 8):
        loss = float((trail[k] - trail[-1]).norm() / trail[-1].norm())
        assert audit.losses[k] == pytest.approx(loss, rel=1e-4)
        change = float((trail[k] - trail[k - 1]).norm() / trail[k].norm())
        assert audit.changes[k] == pytest.approx(change, rel=1e-4)


def test_an_engine_without_convergence_refuses_to_converge(full: Variant) -> None:
    with pytest.raises(ValueError, match="no convergence exit"):
        engine_of(full).submit(request(converge=True))


def test_a_partial_picture_that_is_due_does_not_stop_an_exit(full: Variant) -> None:
    engine = engine_of(full, rules=ExitRules("finish", finish_from=0.5))
    engine.submit(request(partials=3))
    events = [event for _ in range(6) for event in engine.step()]
    engine.announce(1)
    events += run_out(engine)
    assert [event.index for event in events if isinstance(event, PartialPicture)] == [0, 1]
    assert done(events)["job"].facts.steps_run == 6
