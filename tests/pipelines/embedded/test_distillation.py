"""Distillation's formulas against the library's samplers, which use them at sampling time."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler

from pipelines.embedded.networks import NOISE_SCHEDULE, TIMESTEPS, default_sampler, turbo_sampler
from pipelines.embedded.training.denoiser import alphas_cumprod
from pipelines.embedded.training.distillation import _answer, _ddim_step

CPU = torch.device("cpu")


def test_the_noise_schedule_is_the_one_that_the_samplers_use() -> None:
    torch.testing.assert_close(alphas_cumprod(CPU), default_sampler().alphas_cumprod)
    torch.testing.assert_close(alphas_cumprod(CPU), turbo_sampler().alphas_cumprod)


def test_one_teacher_step_is_the_library_s_ddim_step() -> None:
    scheduler = DDIMScheduler(**NOISE_SCHEDULE, clip_sample=False)
    scheduler.set_timesteps(TIMESTEPS // 20)
    generator = torch.Generator().manual_seed(0)
    noisy, velocity = (torch.randn(1, 12, 8, 8, generator=generator) for _ in range(2))
    later = int(scheduler.timesteps[10])
    library = scheduler.step(velocity, later, noisy).prev_sample
    alphas = alphas_cumprod(CPU)
    ours = _ddim_step(noisy, velocity, alphas[later], alphas[later - 20])
    torch.testing.assert_close(ours, library, atol=1e-5, rtol=1e-5)


def test_the_student_s_answer_is_what_the_consistency_sampler_takes_from_it() -> None:
    scheduler = turbo_sampler()
    scheduler.set_timesteps(4)
    generator = torch.Generator().manual_seed(1)
    noisy, velocity = (torch.randn(1, 12, 8, 8, generator=generator) for _ in range(2))
    timestep = scheduler.timesteps[1]
    scheduler._step_index = 1
    library = scheduler.step(velocity, timestep, noisy, generator=generator).denoised
    ours = _answer(velocity, noisy, timestep[None])
    torch.testing.assert_close(ours, library, atol=1e-5, rtol=1e-5)


def test_at_no_noise_the_answer_is_the_latents_themselves() -> None:
    latents = torch.randn(2, 12, 8, 8, generator=torch.Generator().manual_seed(2))
    answer = _answer(torch.randn_like(latents), latents, torch.zeros(2, dtype=torch.long))
    torch.testing.assert_close(answer, latents)
