"""A plan is data: the noise levels a job still has to visit, and the arithmetic between them.

Every sampler here is linear in what it sees. With x the latents, v the model's output, e the clean
estimate, e' and e'' the estimates one and two steps before, and y the corrected latents of the step
before, one step is

    e    = clamp(estimate_x x + estimate_v v)
    c    = correct_x x + correct_last y + correct_e e + correct_before e' + correct_earlier e''
    next = next_x c + next_v v + next_e e + next_before e' + next_noise z        z ~ N(0, 1)

so a sampler only has to write down these numbers once per plan, and jobs with different samplers,
step counts and noise levels advance together in one batched expression. Only predictor-corrector
samplers have c other than x.
"""

from __future__ import annotations

import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

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
    correct_x: float = 1.0
    correct_last: float = 0.0
    correct_e: float = 0.0
    correct_before: float = 0.0
    correct_earlier: float = 0.0


COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Stage) if field.name != "sigma")
"""The order of the numbers in a row of `Plan.table`."""

_OPTIONAL = frozenset(
    ("next_v", "next_before", "next_noise", "correct_last", "correct_before", "correct_earlier")
)


@dataclass(frozen=True)
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

    @cached_property
    def table(self) -> torch.Tensor:
        """The stages as numbers, float32 of shape (stages, len(COLUMNS)), on the CPU."""
        rows = [[getattr(stage, name) for name in COLUMNS] for stage in self.stages]
        return torch.tensor(rows, dtype=torch.float32)

    @cached_property
    def terms(self) -> frozenset[str]:
        """The optional columns that are not zero throughout; `advance` skips the others."""
        return frozenset(
            name for name in _OPTIONAL if any(getattr(stage, name) for stage in self.stages)
        )


class SolverState(NamedTuple):
    """What a batch of jobs carries from step to step; each (B, C, h, w), float32.

    `latents` are x at the level reached, `estimate` the latest clean estimate, `earlier` the one
    before it and `corrected` the corrected latents of the last step. Zeros where there is none yet.
    """

    latents: torch.Tensor
    estimate: torch.Tensor
    earlier: torch.Tensor
    corrected: torch.Tensor


def advance(
    state: SolverState,
    outputs: torch.Tensor,
    noise: torch.Tensor | None,
    coefficients: torch.Tensor,
    clips: torch.Tensor | None,
    terms: AbstractSet[str],
) -> SolverState:
    """The state after one step of a batch: row i of `state` follows row i of `coefficients`.

    `outputs` (B, C, h, w) are the model's, `coefficients` (B, len(COLUMNS)) rows of `Plan.table`,
    `clips` (B,) the plans' bounds (None if nobody clips), `terms` the union of the plans' terms.
    `noise` is unit noise, needed where "next_noise" is among the terms. Nothing is written; what a
    step leaves as it is comes back as it came.
    """
    columns = coefficients.view(*coefficients.shape, 1, 1, 1).unbind(1)
    k = dict(zip(COLUMNS, columns, strict=True))
    x, before = state.latents, state.estimate
    estimate = k["estimate_x"] * x + k["estimate_v"] * outputs
    if clips is not None:
        bound = clips.view(-1, 1, 1, 1)
        estimate = estimate.clamp(-bound, bound)
    corrects = not terms.isdisjoint(("correct_last", "correct_before", "correct_earlier"))
    if corrects:
        x = k["correct_x"] * x + k["correct_last"] * state.corrected + k["correct_e"] * estimate
        x = x + k["correct_before"] * before + k["correct_earlier"] * state.earlier
    following = k["next_x"] * x + k["next_e"] * estimate
    if "next_v" in terms:
        following = following + k["next_v"] * outputs
    if "next_before" in terms:
        following = following + k["next_before"] * before
    if "next_noise" in terms and noise is not None:
        following = following + k["next_noise"] * noise
    if not corrects:
        return SolverState(following, estimate, state.earlier, state.corrected)
    return SolverState(following, estimate, before.clone(), x)
