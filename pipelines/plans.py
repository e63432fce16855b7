"""A plan is data: the noise levels a job still has to visit, and the arithmetic between them.

Every sampler here is linear in what it sees. With x the latents, v the model's output, e the clean
estimate and e' the estimate of the step before, one step is

    e    = clamp(estimate_x x + estimate_v v)
    next = next_x x + next_v v + next_e e + next_before e' + next_noise z        z ~ N(0, 1)

so a sampler only has to write down these numbers once per plan, and jobs with different samplers,
step counts and noise levels advance together in one batched expression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Stage:
    """One step: the timestep the model is asked at, and the coefficients of the module's formula.

    `sigma` is the noise level before the step as sqrt((1 - a) / a), a the cumulative alpha.
    `input_scale` multiplies the latents before they enter the model.
    """

    timestep: float
    sigma: float
    estimate_x: float
    estimate_v: float
    next_x: float = 0.0
    next_v: float = 0.0
    next_e: float = 0.0
    next_before: float = 0.0
    next_noise: float = 0.0
    input_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages still to run, first to last.

    `initial_scale` multiplies unit noise to give the first latents. `final_sigma` is the level
    after the last stage (0 unless the sampler's own settings stop short of it). `clip` bounds the
    clean estimate; infinity does not.
    """

    stages: tuple[Stage, ...]
    initial_scale: float
    final_sigma: float
    clip: float = math.inf

    def __len__(self) -> int:
        return len(self.stages)

    def __getitem__(self, index: int) -> Stage:
        return self.stages[index]

    @property
    def timesteps(self) -> tuple[float, ...]:
        """The model's timesteps, one per stage, falling."""
        return tuple(stage.timestep for stage in self.stages)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The noise levels visited, one more than there are stages."""
        return (*(stage.sigma for stage in self.stages), self.final_sigma)


def advance(
    latents: torch.Tensor,
    outputs: torch.Tensor,
    before: torch.Tensor,
    noise: torch.Tensor | None,
    stages: Sequence[Stage],
    clips: Sequence[float],
) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of a batch: (next latents, clean estimates), each (B, C, h, w) like every input.

    Row i follows stages[i]. `before` holds the estimates of the step before (zeros where there is
    none) and `noise` unit noise (zeros where a stage wants none; None if no stage does).
    """
    table = torch.tensor(
        [
            [s.estimate_x, s.estimate_v, s.next_x, s.next_v, s.next_e, s.next_before, s.next_noise]
            for s in stages
        ],
        dtype=latents.dtype,
        device=latents.device,
    )
    estimate_x, estimate_v, next_x, next_v, next_e, next_before, next_noise = (
        column.view(-1, 1, 1, 1) for column in table.unbind(1)
    )
    estimates = estimate_x * latents + estimate_v * outputs
    if any(math.isfinite(clip) for clip in clips):
        bound = torch.tensor(clips, dtype=latents.dtype, device=latents.device).view(-1, 1, 1, 1)
        estimates = estimates.clamp(-bound, bound)
    following = next_x * latents + next_e * estimates
    if any(stage.next_v for stage in stages):
        following = following + next_v * outputs
    if any(stage.next_before for stage in stages):
        following = following + next_before * before
    if noise is not None:
        following = following + next_noise * noise
    return following, estimates
