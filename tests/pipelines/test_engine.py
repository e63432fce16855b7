"""The engine against the library's own pipeline, alone and in company, and its promises."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from pipelines.denoising import RunningJob, step_batch
from pipelines.engine import StepEngine
from pipelines.jobs import (
    EngineEvent,
    PartialPicture,
    Picture,
    PictureDone,
    PictureFailed,
    PictureRequest,
    StepDone,
)
from pipelines.loading import Variant, load_variant
from policies.nouns import Ladder, Rung, Service
from tests.pipelines.tiny_pipelines import LADDER, SIZE, request

library: Any = diffusers  # its classes are untyped
FEW = ("ddim", "euler", "euler_ancestral", "dpmpp_2m")


def engine_of(*variants: Variant, max_batch: int = 8, **options: Any) -> StepEngine:
    return StepEngine({v.name: v for v in variants}, LADDER, max_batch, **options)


def run_out(engine: StepEngine) -> list[EngineEvent]:
    events: list[EngineEvent] = []
    while engine.has_work():
        events += engine.step()
    return events


def done(events: list[EngineEvent]) -> dict[str, PictureDone]:
    return {event.job_id: event for event in events if isinstance(event, PictureDone)}


def failed(events: list[EngineEvent]) -> dict[str, str]:
    return {event.job_id: event.message for event in events if isinstance(event, PictureFailed)}


def alone(variant: Variant, asked: PictureRequest) -> PictureDone:
    engine = engine_of(variant)
    engine.submit(asked)
    return done(run_out(engine))[asked.job_id]


def library_picture(folder: Path, asked: PictureRequest, sampler: str) -> Picture:
    pipeline = library.StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    name = {
        "ddim": "DDIMScheduler",
        "euler": "EulerDiscreteScheduler",
        "euler_ancestral": "EulerAncestralDiscreteScheduler",
        "dpmpp_2m": "DPMSolverMultistepScheduler",
        "lcm": "LCMScheduler",
    }[sampler]
    pipeline.scheduler = getattr(library, name).from_config(pipeline.scheduler.config)
    return library_call(pipeline, asked)


def library_call(pipeline: Any, asked: PictureRequest) -> Picture:
    image = pipeline(
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt or None,
        num_inference_steps=asked.service.steps,
        guidance_scale=asked.guidance_scale,
        width=asked.width,
        height=asked.height,
        generator=torch.Generator("cpu").manual_seed(asked.seed),
        output_type="np",
    ).images[0]
    picture: Picture = np.round(image * 255).astype(np.uint8)
    return picture


def difference(a: Picture, b: Picture) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@pytest.mark.parametrize("sampler", FEW)
def test_a_picture_alone_equals_the_library(
    folders: dict[str, Path], full: Variant, noise_predictor: Variant, sampler: str, prediction: str
) -> None:
    variant = full if prediction == "v_prediction" else noise_predictor
    for steps in (1, 4, 12):
        asked = request(service=Service("full", steps, 0), sampler=sampler, seed=steps)
        ours = alone(variant, asked)
        assert difference(ours.image, library_picture(folders[prediction], asked, sampler)) <= 2
        assert ours.facts.steps_run == steps


def test_a_distilled_picture_equals_the_library(folders: dict[str, Path], turbo: Variant) -> None:
    for steps in (1, 2, 4):
        asked = request(service=Service("turbo", steps, 3), guidance_scale=1.0)
        ours = alone(turbo, asked)
        assert difference(ours.image, library_picture(folders["distilled"], asked, "lcm")) <= 2


def test_negative_prompts_and_other_shapes_equal_the_library(
    folders: dict[str, Path], full: Variant
) -> None:
    asked = request(negative_prompt="blue square", width=24, height=16, prompt="red")
    ours = alone(full, asked)
    assert ours.image.shape == (16, 24, 3)
    assert difference(ours.image, library_picture(folders["v_prediction"], asked, "ddim")) <= 2


def test_an_xl_picture_equals_the_library(folders: dict[str, Path]) -> None:
    variant = load_variant("full", folders["xl"])
    pipeline = library.StableDiffusionXLPipeline.from_pretrained(
        folders["xl"], add_watermarker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    variations: list[dict[str, Any]] = [{}, {"negative_prompt": "blue"}, {"guidance_scale": 1.0}]
    for changes in variations:
        asked = request("xl", service=Service("full", 5, 0), **changes)
        assert difference(alone(variant, asked).image, library_call(pipeline, asked)) <= 2


def test_a_mixed_batch_gives_every_job_its_own_picture(
    folders: dict[str, Path], full: Variant, turbo: Variant
) -> None:
    """Jobs of every sampler, guidance, size and length join at different steps and leave."""
    asked = [
        request("a", seed=1, sampler="ddim"),
        request("b", seed=2, sampler="euler", prompt="blue", guidance_scale=3.0),
        request("c", seed=3, sampler="dpmpp_2m", service=Service("full", 7, 1)),
        request("d", seed=4, sampler="euler_ancestral", guidance_scale=1.0),
        request("e", seed=5, service=Service("turbo", 4, 3)),
        request("f", seed=6, sampler="dpmpp_2m", width=32),
        request("g", seed=7, sampler="euler", guidance_scale=0.0),
    ]
    engine = engine_of(full, turbo)
    events: list[EngineEvent] = []
    for one in asked:
        engine.submit(one)
        events += engine.step() + engine.step()
    finished = done(events + run_out(engine))
    assert set(finished) == {one.job_id for one in asked}
    for one in asked:
        by_itself = alone(turbo if one.service.variant == "turbo" else full, one)
        assert difference(finished[one.job_id].image, by_itself.image) <= 2
    assert difference(finished["a"].image, finished["b"].image) > 2


def test_each_boundary_is_one_model_call_per_variant_and_rows_only_where_needed(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    forward = full.unet.forward

    def counted(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rows.append(sample.shape[0])
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(full.unet, "forward", counted)
    engine = engine_of(full)
    engine.submit(request("guided"))
    engine.submit(request("free", guidance_scale=1.0, sampler="euler"))
    engine.submit(request("guided too", seed=2))
    engine.step()
    assert rows == [5]


def test_a_replan_runs_exactly_the_promised_steps(full: Variant) -> None:
    for sampler in FEW:
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
    for sampler in ("ddim", "euler", "dpmpp_2m"):
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


def test_a_rung_at_start_only_leaves_running_jobs_alone(full: Variant) -> None:
    engine = engine_of(full, in_flight=False)
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


def test_a_distilled_variant_keeps_its_sampler_and_no_guidance(turbo: Variant) -> None:
    asked = request(service=Service("turbo", 4, 3), sampler="euler", guidance_scale=9.0)
    facts = alone(turbo, asked).facts
    assert (facts.sampler, facts.guidance_scale) == ("lcm", 1.0)


def test_a_replannable_rung_of_a_distilled_variant_is_refused(turbo: Variant) -> None:
    with pytest.raises(ValueError, match="replannable to false"):
        StepEngine({"turbo": turbo}, Ladder((Rung("turbo", 4, "low"),)), 1)


def test_a_cancelled_job_leaves_at_the_next_boundary(full: Variant) -> None:
    engine = engine_of(full, max_batch=1)
    engine.submit(request("first"))
    engine.submit(request("second", service=Service("full", 2, 2)))
    engine.step()
    engine.cancel("first")
    after = engine.step()
    assert [event.job_id for event in after] == ["second"]
    assert set(done(run_out(engine))) == {"second"}
    assert engine.job_ids() == ()


def test_a_job_cancelled_before_it_starts_never_runs(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request())
    engine.cancel("job")
    engine.cancel("nobody")
    assert engine.step() == []
    assert not engine.has_work()


def test_a_cancelled_id_can_be_used_again(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request())
    with pytest.raises(ValueError, match="already"):
        engine.submit(request())
    engine.cancel("job")
    engine.step()
    engine.submit(request(service=Service("full", 1, 2)))
    assert set(done(run_out(engine))) == {"job"}


def test_a_broken_latent_fails_its_job_and_the_batch_goes_on(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = full.unet.forward

    def breaking(sample: torch.Tensor, timestep: torch.Tensor, **kwargs: Any) -> Any:
        out = forward(sample, timestep, **kwargs)[0].clone()
        out[1] = float("nan")
        return (out,)

    engine = engine_of(full)
    for job_id, seed in (("one", 1), ("two", 2), ("three", 3)):
        engine.submit(request(job_id, seed=seed))
    engine.step()
    with monkeypatch.context() as patch:
        patch.setattr(full.unet, "forward", breaking)
        events = engine.step()
    assert [type(event) for event in events if event.job_id == "two"] == [PictureFailed]
    assert set(failed(events)) == {"two"}
    assert "overflowed" in failed(events)["two"]
    finished = done(run_out(engine))
    assert set(finished) == {"one", "three"}
    assert difference(finished["three"].image, alone(full, request(seed=3)).image) <= 2


def test_a_broken_decoding_is_never_a_picture(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = full.pipeline.vae.decode

    def breaking(latents: torch.Tensor, **kwargs: Any) -> Any:
        image = decode(latents, **kwargs)[0].clone()
        image[0, 0, 0, 0] = float("inf")
        return (image,)

    monkeypatch.setattr(full.pipeline.vae, "decode", breaking)
    engine = engine_of(full)
    engine.submit(request("first", service=Service("full", 2, 2)))
    engine.submit(request("second", service=Service("full", 2, 2)))
    events = run_out(engine)
    assert set(failed(events)) == {"first"}
    assert set(done(events)) == {"second"}


def test_running_out_of_memory_fails_the_jobs_and_not_the_engine(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("none left")

    engine = engine_of(full)
    engine.submit(request("unlucky"))
    with monkeypatch.context() as patch:
        patch.setattr(full.unet, "forward", exhausted)
        assert "memory" in failed(engine.step())["unlucky"]
    engine.submit(request("lucky", service=Service("full", 1, 2)))
    assert set(done(run_out(engine))) == {"lucky"}


def test_partial_pictures_come_in_order_and_get_nearer_to_the_last(full: Variant) -> None:
    for sampler in FEW:
        engine = engine_of(full)
        engine.submit(request(partials=3, sampler=sampler))
        events = run_out(engine)
        partials = [event for event in events if isinstance(event, PartialPicture)]
        assert [event.index for event in partials] == [0, 1, 2]
        steps_before = [
            sum(isinstance(other, StepDone) for other in events[: events.index(event)])
            for event in partials
        ]
        assert steps_before == [3, 6, 9]
        last = done(events)["job"].image.astype(int)
        gaps = [float(np.abs(event.image.astype(int) - last).mean()) for event in partials]
        assert gaps == sorted(gaps, reverse=True)


def test_a_partial_picture_is_the_decoded_clean_estimate(full: Variant) -> None:
    asked = request(partials=1, sampler="euler")
    engine = engine_of(full)
    engine.submit(asked)
    (partial,) = (event for event in run_out(engine) if isinstance(event, PartialPicture))
    with torch.inference_mode():
        prompt, negative = full.encoder.encode([asked.prompt, asked.negative_prompt])
        job = RunningJob(asked, full, prompt, negative, started_s=0.0)
        for _ in range(6):
            step_batch(full, [job])
        (expected,) = full.decoder.decode(job.estimate)
    assert expected is not None
    assert difference(partial.image, expected) <= 2


def test_partial_pictures_do_not_change_the_last_one(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request(partials=2))
    assert difference(done(run_out(engine))["job"].image, alone(full, request()).image) == 0


def test_progress_counts_up_to_the_present_plan(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request(service=Service("full", 3, 2)))
    steps = [event for event in run_out(engine) if isinstance(event, StepDone)]
    assert [(event.steps_run, event.steps_planned) for event in steps] == [(1, 3), (2, 3), (3, 3)]


def test_no_more_jobs_run_than_the_batch_has_places(full: Variant) -> None:
    engine = engine_of(full, max_batch=2)
    for job_id in "abc":
        engine.submit(request(job_id, service=Service("full", 2, 2)))
    assert {event.job_id for event in engine.step()} == {"a", "b"}
    engine.step()
    assert {event.job_id for event in engine.step()} == {"c"}


def test_an_over_long_prompt_fails_by_its_length(full: Variant) -> None:
    engine = engine_of(full)
    engine.submit(request("long", prompt="red " * 31))
    engine.submit(request("long negative", negative_prompt="red " * 31))
    engine.submit(request("fits", prompt="red " * 30, service=Service("full", 1, 2)))
    events = run_out(engine)
    assert set(failed(events)) == {"long", "long negative"}
    assert "takes 31 tokens and the model reads 30" in failed(events)["long"]
    assert set(done(events)) == {"fits"}


def test_unknown_words_do_not_crash(full: Variant) -> None:
    assert alone(full, request(prompt="7 Über-кот 😀, #?!")).image.shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"service": Service("huge", 4, 0)}, "not in this engine; it has full"),
        ({"service": Service("full", 1001, 0)}, "between 1 and 1000"),
        ({"width": 20}, "multiples of 8 for variant 'full', got 20x16"),
        ({"height": 0}, "multiples of 8"),
        ({"width": 2048, "height": 1024}, "2048x1024 has more"),
        ({"sampler": "heun"}, "'heun' is unknown"),
        ({"sampler": "lcm"}, "needs a distilled model"),
        ({"partials": 4}, "0 to 3"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(
    full: Variant, changes: dict[str, Any], said: str
) -> None:
    engine = engine_of(full)
    with pytest.raises(ValueError, match=said):
        engine.submit(request(**changes))
    assert not engine.has_work()


def test_engines_that_cannot_be_are_refused(full: Variant) -> None:
    with pytest.raises(ValueError, match="at least one variant"):
        StepEngine({}, LADDER, 1)
    with pytest.raises(ValueError, match="batch of at least 1"):
        engine_of(full, max_batch=0)
    with pytest.raises(ValueError, match="threads"):
        engine_of(full, threads=0)
    with pytest.raises(ValueError, match="rungs 0 to 3"):
        engine_of(full).announce(4)


def test_facts_carry_the_clock_that_was_given(full: Variant) -> None:
    ticks = iter(range(100, 200))
    engine = engine_of(full, clock=lambda: float(next(ticks)))
    engine.submit(request(service=Service("full", 2, 2)))
    facts = done(run_out(engine))["job"].facts
    assert (facts.started_s, facts.ended_s) == (100.0, 101.0)


def test_waiting_for_work_ends_with_a_submission_from_another_thread(full: Variant) -> None:
    engine = engine_of(full)
    assert not engine.wait_for_work(timeout_s=0)
    waiter = threading.Thread(target=engine.wait_for_work)
    waiter.start()
    engine.submit(request())
    waiter.join(timeout=30)
    assert not waiter.is_alive()


def test_a_wake_is_not_lost_when_it_comes_before_the_wait(full: Variant) -> None:
    engine = engine_of(full)
    engine.wake()
    assert not engine.wait_for_work()


def test_threads_are_set_where_the_steps_run(full: Variant) -> None:
    engine = engine_of(full, threads=1)
    engine.submit(request(service=Service("full", 1, 2)))
    run_out(engine)
    assert torch.get_num_threads() == 1
