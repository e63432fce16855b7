"""One batched step: latents against the library's, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from pipelines.denoising import Signals, step_rows
from pipelines.loading import Variant, load_variant
from pipelines.preparing import embeddings_of
from pipelines.running import RunningJob
from pipelines.slots import SlotBank
from policies.nouns import Service
from tests.pipelines.engine_runs import (
    LIBRARY_CLASSES,
    estimate_of,
    latents_of,
    library_call,
    start,
    with_sampler,
)
from tests.pipelines.tiny_pipelines import SIZE, request

library: Any = diffusers  # its classes are untyped
WITH_ESTIMATES = ("ddim", "euler", "euler_ancestral", "dpmpp_2m", "unipc")


def bank_of(variant: Variant, places: int = 8) -> SlotBank:
    return SlotBank(variant, SIZE, SIZE, places)


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@torch.inference_mode()
def test_latents_of_a_staggered_batch_equal_the_library(
    folders: dict[str, Path], full: Variant, noise_predictor: Variant, prediction: str
) -> None:
    bank = bank_of(full if prediction == "v_prediction" else noise_predictor)
    names = [name for name in LIBRARY_CLASSES if name != "lcm"]
    asked = [
        request(str(index), seed=index, sampler=name, service=Service("full", 5 + 2 * index, 0))
        for index, name in enumerate(names)
    ]
    asked.append(request("free", seed=9, guidance_scale=1.0, sampler="euler"))
    asked.append(request("rescaled", seed=10, guidance_rescale=0.7, sampler="ddim"))
    ended: dict[RunningJob, torch.Tensor] = {}
    while len(ended) < len(asked):
        if (joining := len(bank) + len(ended)) < len(asked):
            start(bank, asked[joining])
        step_rows(bank, 0, len(bank))
        for job in [job for job in bank.jobs if job.remaining == 0]:
            ended[job] = latents_of(bank, job)
            bank.leave(job)
    for job, ours in ended.items():
        pipeline = library.StableDiffusionPipeline.from_pretrained(folders[prediction])
        with_sampler(pipeline, job.sampler.name)
        theirs = library_call(pipeline, job.request, "latent")
        assert relative_error(ours, theirs) <= 1e-4, job.request


@pytest.mark.parametrize("sampler", WITH_ESTIMATES)
@torch.inference_mode()
def test_the_clean_estimate_equals_the_library_at_every_step(full: Variant, sampler: str) -> None:
    bank = bank_of(full)
    job = start(bank, request(sampler=sampler, service=Service("full", 6, 0)))
    prompt, negative = embeddings_of(job.request, full)
    assert negative is not None
    scheduler = getattr(library, LIBRARY_CLASSES[sampler]).from_config(
        full.pipeline.scheduler.config
    )
    scheduler.set_timesteps(6)
    generator = torch.Generator("cpu").manual_seed(job.request.seed)
    x = torch.randn(latents_of(bank, job).shape, generator=generator) * scheduler.init_noise_sigma
    noisy = {"generator": generator} if sampler == "euler_ancestral" else {}
    tokens = torch.cat([prompt.tokens, negative.tokens])
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        said, unsaid = full.unet(torch.cat([scaled] * 2), t, tokens, return_dict=False)[0].chunk(2)
        out = unsaid + job.guidance_scale * (said - unsaid)
        stepped = scheduler.step(out, t, x, **noisy, return_dict=sampler in ("dpmpp_2m", "unipc"))
        in_history = sampler in ("dpmpp_2m", "unipc")
        theirs = scheduler.model_outputs[-1] if in_history else stepped[1]
        x = stepped[0]
        step_rows(bank, 0, 1)
        assert relative_error(estimate_of(bank, job), theirs) <= 1e-4


@torch.inference_mode()
def test_the_same_seed_draws_the_same_noise_and_another_seed_does_not(full: Variant) -> None:
    bank = bank_of(full)
    jobs = [start(bank, request(str(i), seed=seed)) for i, seed in enumerate((4, 4, 5))]
    first, again, other = (latents_of(bank, job) for job in jobs)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@torch.inference_mode()
def test_every_input_of_a_row_matters(full: Variant) -> None:
    """Were prompt, negative prompt, guidance or timestep dropped, equality would prove little."""
    bank = bank_of(full)
    plain = request(negative_prompt="blue")
    variations = [
        request(negative_prompt="blue", prompt="a square"),
        request(negative_prompt="green"),
        request(negative_prompt="blue", guidance_scale=2.0),
        request(negative_prompt="blue", guidance_rescale=0.5),
        request(negative_prompt="blue", service=Service("full", 20, 0)),
    ]
    jobs = [start(bank, asked) for asked in (plain, *variations)]
    for _ in range(2):
        step_rows(bank, 0, len(bank))
    for job in jobs[1:]:
        assert float((latents_of(bank, job) - latents_of(bank, jobs[0])).abs().max()) > 1e-3


@torch.inference_mode()
def test_a_replan_at_the_start_rescales_the_noise_to_the_new_first_level(full: Variant) -> None:
    bank = bank_of(full)
    job = start(bank, request(sampler="euler"))
    bank.rescale(job, job.replan(4))
    fresh = start(bank, request("fresh", sampler="euler", service=Service("full", 4, 2)))
    assert job.plan == fresh.plan
    assert torch.allclose(latents_of(bank, job), latents_of(bank, fresh))


@torch.inference_mode()
def test_a_step_in_slices_equals_a_step_at_once(full: Variant) -> None:
    def run(slices: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
        bank = bank_of(full)
        for index, scale in enumerate((5.0, 1.0, 3.0, 1.0, 2.0)):
            start(bank, request(str(index), seed=index, guidance_scale=scale))
        for _ in range(3):
            for first, last in slices:
                step_rows(bank, first, last)
        return {job.request.job_id: latents_of(bank, job) for job in bank.jobs}

    at_once, sliced = run([(0, 5)]), run([(0, 2), (2, 4), (4, 5)])
    for job_id, latents in at_once.items():
        assert relative_error(sliced[job_id], latents) <= 1e-5


@torch.inference_mode()
def test_the_change_told_is_that_of_the_clean_estimate(full: Variant) -> None:
    bank = bank_of(full)
    job = start(bank, request(converge=True))
    step_rows(bank, 0, 1)
    before = estimate_of(bank, job)
    finite, change = step_rows(bank, 0, 1)[:, 0].tolist()
    after = estimate_of(bank, job)
    assert finite == 1.0
    assert change == pytest.approx(float((after - before).norm() / after.norm()), rel=1e-5)


@torch.inference_mode()
def test_late_signals_come_one_boundary_after_they_were_sent(full: Variant) -> None:
    bank = bank_of(full)
    job = start(bank, request())
    signals = Signals(late=True)
    signals.send(signals.packed([job], torch.tensor([[1.0], [0.5]])))
    assert signals.arrived() == []
    signals.send(signals.packed([job], torch.tensor([[0.0], [0.25]])))
    assert [(one.finite, one.change) for one in signals.arrived()] == [(True, 0.5)]
    assert [(one.finite, one.change) for one in signals.arrived()] == [(False, 0.25)]


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a CUDA device: a step must not wait for it"
)
@torch.inference_mode()
def test_a_step_does_not_make_the_host_wait_for_the_accelerator(folders: dict[str, Path]) -> None:
    variant = load_variant("full", folders["epsilon"], device="cuda")
    bank = bank_of(variant)
    for index, name in enumerate(("ddim", "unipc", "euler_ancestral")):
        start(bank, request(str(index), sampler=name, converge=index == 1))
    step_rows(bank, 0, 3)  # the first call sets kernels up
    signals = Signals(late=True)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step_rows(bank, 0, 3, signals)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert signals.arrived() == []
    assert all(signal.finite for signal in signals.arrived())
