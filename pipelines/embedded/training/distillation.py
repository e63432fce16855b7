"""Distillation of `full` into `turbo`: latent consistency (Luo et al. 2023, arXiv 2310.04378) at one fixed guidance scale.

The student learns to say, from any point of the guided sampling path, where that path ends. Two neighbouring points of a path
must give the same answer: the later one is the student's, the earlier one, reached by one guided DDIM step of the teacher, is
answered by the student's own moving average. Sampling then jumps to the end and back to a lower noise level a few times.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from pipelines.embedded.networks import DISTILLATION_STEPS, TIMESTEPS
from pipelines.embedded.training.denoiser import Encoded, alphas_cumprod
from pipelines.embedded.training.language import tokens
from pipelines.embedded.training.loop import Draw, Recipe, train

TURBO_RECIPE = Recipe(
    steps=500, batch=64, learning_rate=4e-4, seed=31, decay=0.98, weight_decay=0.0
)
GUIDANCE_SCALE = 2.5
SIGMA_DATA = 0.5
TIMESTEP_SCALING = 10.0
HUBER = 0.01


def distil(
    teacher: UNet2DConditionModel,
    text: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    encoded: Encoded,
    folder: Path,
    device: torch.device,
) -> UNet2DConditionModel:
    """Distil `teacher` into a copy of itself that samples in four steps without guidance."""
    student, average = copy.deepcopy(teacher).requires_grad_(True), copy.deepcopy(teacher)
    loss = _ConsistencyLoss(tokenizer, text, teacher, student, average, encoded, device)
    train("turbo", TURBO_RECIPE, {"unet": student}, loss, folder, averages={"unet": average})
    return student


@dataclass(frozen=True, slots=True)
class _ConsistencyLoss:
    tokenizer: CLIPTokenizer
    text: CLIPTextModel
    teacher: UNet2DConditionModel
    student: UNet2DConditionModel
    average: UNet2DConditionModel
    encoded: Encoded
    device: torch.device

    def __call__(self, rng: Draw) -> Tensor:
        """Pseudo-Huber distance of the student's answers at two neighbouring points of the teacher's guided path."""
        captions, latents = self.encoded.batch(rng, TURBO_RECIPE.batch)
        latents = latents.to(self.device)
        stride = TIMESTEPS // DISTILLATION_STEPS
        later = (
            torch.randint(1, DISTILLATION_STEPS + 1, (len(captions),), generator=rng.torch) * stride
            - 1
        ).to(self.device)
        earlier = (later - stride).clamp(min=0)
        noise = torch.randn(latents.shape, generator=rng.torch).to(self.device)
        alpha = _column(alphas_cumprod(self.device)[later])
        noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
        with torch.autocast(self.device.type, torch.bfloat16):
            with torch.no_grad():
                context = self.text(tokens(self.tokenizer, captions, self.device)).last_hidden_state
                nothing = self.text(
                    tokens(self.tokenizer, [""], self.device)
                ).last_hidden_state.expand_as(context)
                both = self.teacher(
                    noisy.repeat(2, 1, 1, 1), later.repeat(2), torch.cat([nothing, context])
                ).sample.float()
                unguided, guided = both.chunk(2)
                velocity = unguided + GUIDANCE_SCALE * (guided - unguided)
                closer = _ddim_step(
                    noisy, velocity, alpha, _column(alphas_cumprod(self.device)[earlier])
                )
                wanted = _answer(
                    self.average(closer, earlier, context).sample.float(), closer, earlier
                )
            given = _answer(self.student(noisy, later, context).sample.float(), noisy, later)
        return (((given - wanted) ** 2 + HUBER**2).sqrt() - HUBER).mean()


def _ddim_step(noisy: Tensor, velocity: Tensor, alpha: Tensor, alpha_after: Tensor) -> Tensor:
    clean = alpha.sqrt() * noisy - (1 - alpha).sqrt() * velocity
    noise = alpha.sqrt() * velocity + (1 - alpha).sqrt() * noisy
    return alpha_after.sqrt() * clean + (1 - alpha_after).sqrt() * noise


def _answer(velocity: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
    """The consistency function with the boundary condition that `LCMScheduler` uses when sampling."""
    alpha = _column(alphas_cumprod(noisy.device)[timesteps])
    clean = alpha.sqrt() * noisy - (1 - alpha).sqrt() * velocity
    scaled = _column(timesteps.float()) * TIMESTEP_SCALING
    keep = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
    change = scaled / (scaled**2 + SIGMA_DATA**2).sqrt()
    return keep * noisy + change * clean


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]
