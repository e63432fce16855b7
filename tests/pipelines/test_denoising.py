"""One batched step: latents against the library's, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from pipelines.denoising import RunningJob, guidance_of, step_batch
from pipelines.jobs import PictureRequest
from pipelines.loading import Variant
from policies.nouns import Service
from tests.pipelines.tiny_pipelines import request

library: Any = diffusers  # its classes are untyped
CLASSES = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
}


def start(variant: Variant, asked: PictureRequest) -> RunningJob:
    prompt, negative = variant.encoder.encode([asked.prompt, asked.negative_prompt])
    guided = guidance_of(asked, variant) > 1
    return RunningJob(asked, variant, prompt, negative if guided else None, started_s=0.0)


def library_latents(folder: Path, asked: PictureRequest) -> torch.Tensor:
    pipeline = library.StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    scheduler = getattr(library, CLASSES[asked.sampler or "ddim"])
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    latents: torch.Tensor = pipeline(
        prompt=asked.prompt,
        num_inference_steps=asked.service.steps,
        guidance_scale=asked.guidance_scale,
        width=asked.width,
        height=asked.height,
        generator=torch.Generator("cpu").manual_seed(asked.seed),
        output_type="latent",
    ).images
    return latents


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@torch.inference_mode()
def test_latents_of_a_staggered_batch_equal_the_library(
    folders: dict[str, Path], full: Variant, noise_predictor: Variant, prediction: str
) -> None:
    variant = full if prediction == "v_prediction" else noise_predictor
    asked = [
        request(str(index), seed=index, sampler=name, service=Service("full", 5 + 2 * index, 0))
        for index, name in enumerate([*CLASSES, "ddim"])
    ]
    asked.append(request("free", seed=9, guidance_scale=1.0, sampler="euler"))
    jobs: list[RunningJob] = []
    for one in asked:
        jobs.append(start(variant, one))
        assert step_batch(variant, [job for job in jobs if job.remaining]) == []
    while left := [job for job in jobs if job.remaining]:
        step_batch(variant, left)
    for job in jobs:
        theirs = library_latents(folders[prediction], job.request)
        assert float((job.latents - theirs).norm() / theirs.norm()) <= 1e-4


@pytest.mark.parametrize("sampler", sorted(CLASSES))
@torch.inference_mode()
def test_the_clean_estimate_equals_the_library_at_every_step(full: Variant, sampler: str) -> None:
    job = start(full, request(sampler=sampler, service=Service("full", 6, 0)))
    scheduler = getattr(library, CLASSES[sampler]).from_config(full.pipeline.scheduler.config)
    scheduler.set_timesteps(6)
    x = job.latents
    tokens = torch.cat([job.prompt.tokens, job.negative.tokens]) if job.negative else None
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        said, unsaid = full.unet(torch.cat([scaled] * 2), t, tokens, return_dict=False)[0].chunk(2)
        out = unsaid + job.guidance_scale * (said - unsaid)
        stepped = scheduler.step(out, t, x, return_dict=False)
        theirs = scheduler.model_outputs[-1] if sampler == "dpmpp_2m" else stepped[1]
        x = stepped[0]
        step_batch(full, [job])
        assert float((job.estimate - theirs).norm() / theirs.norm()) <= 1e-4


@torch.inference_mode()
def test_the_same_seed_draws_the_same_noise_and_another_seed_does_not(full: Variant) -> None:
    first, again = start(full, request(seed=4)), start(full, request(seed=4))
    other = start(full, request(seed=5))
    assert torch.equal(first.latents, again.latents)
    assert not torch.equal(first.latents, other.latents)


@torch.inference_mode()
def test_every_input_of_a_row_matters(full: Variant) -> None:
    """Were prompt, negative prompt, guidance or timestep dropped, equality would prove little."""
    plain = request(negative_prompt="blue")
    variations = [
        request(negative_prompt="blue", prompt="a square"),
        request(negative_prompt="green"),
        request(negative_prompt="blue", guidance_scale=2.0),
        request(negative_prompt="blue", service=Service("full", 20, 0)),
    ]
    jobs = [start(full, asked) for asked in (plain, *variations)]
    for _ in range(2):
        step_batch(full, jobs)
    for job in jobs[1:]:
        assert float((job.latents - jobs[0].latents).abs().max()) > 1e-3


@torch.inference_mode()
def test_a_replan_at_the_start_rescales_the_noise_to_the_new_first_level(full: Variant) -> None:
    job = start(full, request(sampler="euler"))
    job.replan(4)
    fresh = start(full, request(sampler="euler", service=Service("full", 4, 2)))
    assert job.plan == fresh.plan
    assert torch.allclose(job.latents, fresh.latents)
