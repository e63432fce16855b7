"""The one batched expression that all samplers share."""

from __future__ import annotations

import math

import torch

from pipelines.plans import Plan, Stage, advance


def test_each_row_follows_its_own_stage() -> None:
    x, v = torch.full((2, 1, 1, 1), 2.0), torch.full((2, 1, 1, 1), 3.0)
    before, noise = torch.full_like(x, 5.0), torch.full_like(x, 7.0)
    stages = [
        Stage(9.0, 1.0, estimate_x=1.0, estimate_v=-1.0, next_x=0.5, next_e=2.0),
        Stage(4.0, 1.0, 1.0, 1.0, next_v=1.0, next_e=1.0, next_before=-1.0, next_noise=0.1),
    ]
    following, estimates = advance(x, v, before, noise, stages, [math.inf, 4.0])
    assert estimates.flatten().tolist() == [-1.0, 4.0]
    assert torch.allclose(following.flatten(), torch.tensor([-1.0, 3.0 + 4.0 - 5.0 + 0.7]))


def test_a_plan_shows_its_levels_and_times() -> None:
    stages = (Stage(900.0, 3.0, 0.0, 1.0), Stage(500.0, 1.0, 0.0, 1.0))
    plan = Plan(stages, initial_scale=3.0, final_sigma=0.0)
    assert len(plan) == 2
    assert plan.sigmas == (3.0, 1.0, 0.0)
    assert plan.timesteps == (900.0, 500.0)
