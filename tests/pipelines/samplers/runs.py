"""Whole runs on a smooth stand-in for a model: by a plan of ours, and by the library's class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from pipelines.plans import Plan, SolverState, Stage, advance
from pipelines.samplers import SAMPLERS

NOISY = ("euler_ancestral", "lcm")
REPLANNABLE = tuple(sorted(name for name, kind in SAMPLERS.items() if not kind.fixed_schedule))
SHAPE = (1, 4, 4, 4)
SPACINGS = ("leading", "trailing", "linspace")
STEPS = (1, 2, 3, 4, 7, 15, 25, 50)
TOLERANCE = 1e-4  # relative error of the latents, in float32
PATTERN = torch.linspace(-1, 1, math.prod(SHAPE)).view(SHAPE)

Model = Callable[[torch.Tensor, Stage], torch.Tensor]


def model(x: torch.Tensor, timestep: float) -> torch.Tensor:
    """Any smooth function of both will do in a model's place; no two numbers get the same one."""
    return torch.tanh(x * 0.7 + math.cos(timestep / 150) + PATTERN) * 0.8


def run_plan(plan: Plan, seed: int, answer: Model | None = None) -> list[torch.Tensor]:
    """The latents after each stage; `answer` in the model's place gets its input and the stage."""
    generator = torch.Generator().manual_seed(seed)
    state = start(torch.randn(SHAPE, generator=generator) * plan.initial_scale)
    return run_on(state, plan, answer or (lambda x, stage: model(x, stage.timestep)), generator)


def start(latents: torch.Tensor) -> SolverState:
    return SolverState(latents, *(torch.zeros_like(latents) for _ in range(3)))


def run_on(
    state: SolverState, plan: Plan, answer: Model, generator: torch.Generator | None = None
) -> list[torch.Tensor]:
    """Move `state` through the whole plan; the latents after each stage."""
    clips = None if plan.clip == math.inf else torch.tensor([plan.clip])
    after = []
    for stage, row in zip(plan.stages, plan.table, strict=True):
        out = answer(state.latents * stage.input_scale, stage)
        noise = torch.randn(SHAPE, generator=generator) if stage.next_noise else None
        following = advance(state, out, noise, row[None], clips, plan.terms)
        for old, new in zip(state, following, strict=True):
            old.copy_(new)
        after.append(state.latents.clone())
    return after


def run_library(name: str, config: Mapping[str, Any], steps: int, seed: int) -> list[torch.Tensor]:
    """The latents after each step of the library's class."""
    sampler = SAMPLERS[name].library.from_config(dict(config))
    sampler.set_timesteps(steps)
    if hasattr(sampler, "set_begin_index"):
        # It would look for its place by the timestep, and take the second of two equal ones.
        sampler.set_begin_index(0)
    generator = torch.Generator().manual_seed(seed)
    x: torch.Tensor = torch.randn(SHAPE, generator=generator) * sampler.init_noise_sigma
    options = {"generator": generator} if name in NOISY else {}
    after = []
    for t in sampler.timesteps:
        out = model(sampler.scale_model_input(x, t), float(t))
        x = sampler.step(out, t, x, **options, return_dict=False)[0]
        after.append(x)
    return after


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The norm of the difference as a share of the library's."""
    return float((ours - theirs).norm() / theirs.norm())


def worst_error(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> float:
    """The largest relative error over the steps; both runs must have as many."""
    return max(relative_error(a, b) for a, b in zip(ours, theirs, strict=True))


def is_finite(run: Sequence[torch.Tensor]) -> bool:
    """Whether every latent of a run is a number."""
    return all(bool(torch.isfinite(x).all()) for x in run)
