"""Euler's method against its formula in double precision, and what it ends at."""

from __future__ import annotations

import math

import pytest
import torch

from pipelines.plans import Plan
from pipelines.samplers import make_sampler
from tests.pipelines.samplers.cases import ZERO_SIGNAL, Settings
from tests.pipelines.samplers.runs import PATTERN, SHAPE, TOLERANCE, run_plan, worst_error
from tests.pipelines.tiny_pipelines import noise_settings


def run_in_double(plan: Plan, seed: int, *, ancestral: bool) -> list[torch.Tensor]:
    """k-diffusion's steps on the model of `runs`, whose v this takes the plan's to predict."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(SHAPE, generator=generator).double() * plan.initial_scale
    after = []
    for stage, to in zip(plan.stages, plan.sigmas[1:], strict=True):
        level = stage.sigma
        root = math.sqrt(level**2 + 1)
        v = torch.tanh(x / root * 0.7 + math.cos(stage.timestep / 150) + PATTERN.double()) * 0.8
        clean = x / root**2 - level / root * v
        up = to * math.sqrt(1 - to**2 / level**2) if ancestral else 0.0
        down = math.sqrt(to**2 - up**2) if ancestral else to
        x = x + (x - clean) / level * (down - level)
        if up:
            x = x + torch.randn(SHAPE, generator=generator).double() * up
        after.append(x)
    return after


@pytest.mark.parametrize("extra", [ZERO_SIGNAL, {"beta_schedule": "squaredcos_cap_v2"}], ids=str)
@pytest.mark.parametrize("name", ["euler", "euler_ancestral"])
def test_levels_of_thousands_are_stepped_more_precisely_than_the_library_can(
    name: str, extra: Settings
) -> None:
    """Its differences of such latents round away up to 2e-3 of the result, or are not a number."""
    sampler = make_sampler(name, noise_settings("v_prediction") | extra)
    for steps in (1, 2, 3, 4, 20):
        plan = sampler.plan(steps)
        if steps > 1:
            assert plan.sigmas[0] > 4000
        exact = run_in_double(plan, 3, ancestral=name == "euler_ancestral")
        assert worst_error([x.double() for x in run_plan(plan, 3)], exact) <= TOLERANCE


def test_log_linear_sigmas_end_where_the_library_s_do() -> None:
    """It makes one sigma more than it has timesteps, and never steps to the last, zero."""
    config = noise_settings("epsilon") | {"interpolation_type": "log_linear"}
    sampler = make_sampler("euler", config)
    plan = sampler.plan(9)
    lowest = min(make_sampler("euler", noise_settings("epsilon")).plan(1000).sigmas[:-1])
    assert plan.final_sigma == pytest.approx(lowest, rel=0.02)
    assert plan.final_sigma > 0
    rest = sampler.replan(plan, 4, 3)
    assert rest.final_sigma == plan.final_sigma


def test_log_linear_sigmas_keep_their_own_timesteps_when_replanned() -> None:
    config = noise_settings("epsilon") | {"interpolation_type": "log_linear"}
    sampler = make_sampler("euler", config)
    plan = sampler.plan(12)
    rest = sampler.replan(plan, 4, 4)
    assert rest.timesteps == pytest.approx(plan.timesteps[4::2])
    assert rest.sigmas[:-1] == pytest.approx(plan.sigmas[4:-1:2])


def test_an_ancestral_step_adds_back_what_it_overshoots() -> None:
    plan = make_sampler("euler_ancestral", noise_settings("epsilon")).plan(10)
    for stage, to in zip(plan.stages, plan.sigmas[1:], strict=True):
        assert math.hypot(stage.next_x * stage.sigma, stage.next_noise) == pytest.approx(to)
    assert plan[-1].next_noise == 0


def test_the_ancestral_sampler_takes_no_model_that_predicts_the_sample() -> None:
    """The library's class does not either."""
    with pytest.raises(ValueError, match="predict epsilon, v_prediction, not 'sample'"):
        make_sampler("euler_ancestral", noise_settings("sample"))


def test_continuous_timesteps_are_refused() -> None:
    with pytest.raises(ValueError, match="timestep_type 'continuous'; set timestep_type to"):
        make_sampler("euler", noise_settings("v_prediction") | {"timestep_type": "continuous"})
