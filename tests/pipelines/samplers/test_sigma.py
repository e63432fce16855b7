"""Levels that are sigmas: outside the trained ones, equal ones, and schedules without levels."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from pipelines.samplers import make_sampler
from pipelines.samplers.base import Sampler
from tests.pipelines.samplers.cases import BETAS, RANGE
from tests.pipelines.samplers.runs import is_finite, run_plan
from tests.pipelines.tiny_pipelines import noise_settings

SIGMA_SAMPLERS = ("euler", "euler_ancestral", "dpmpp_2m", "unipc")
MULTISTEP = ("dpmpp_2m", "unipc")


def sampler_of(name: str, **extra: object) -> Sampler:
    return make_sampler(name, noise_settings("v_prediction") | extra)


@pytest.mark.parametrize("name", ["euler", "unipc"])
def test_levels_above_the_trained_ones_are_respaced_too(name: str) -> None:
    """Were they brought down to the highest trained level, the latents would not fit it."""
    sampler = sampler_of(name, use_karras_sigmas=True, **RANGE)
    plan = sampler.plan(40)
    trained = max(sampler_of(name).plan(1000).sigmas)
    assert plan.sigmas[3] > trained
    rest = sampler.replan(plan, 1, 13)
    assert rest.sigmas[0] == plan.sigmas[1]
    assert rest.sigmas[1] == pytest.approx(plan.sigmas[4], rel=1e-9)
    assert rest.sigmas[1] > trained
    assert all(a > b for a, b in pairwise(rest.sigmas))


@pytest.mark.parametrize("name", SIGMA_SAMPLERS)
def test_a_new_level_and_its_timestep_belong_together(name: str) -> None:
    sampler = sampler_of(name, timestep_spacing="trailing")
    trained = {stage.timestep: stage.sigma for stage in sampler.plan(1000).stages}
    rest = sampler.replan(sampler.plan(20), 3, 11)
    for stage in rest.stages:
        below, above = math.floor(stage.timestep - 0.5), math.ceil(stage.timestep + 0.5)
        assert trained[below] <= stage.sigma <= trained[above]


@pytest.mark.parametrize("name", MULTISTEP)
@pytest.mark.parametrize("extra", [{}, {"solver_type": "heun"}])
def test_whole_timesteps_that_run_out_leave_the_steps_finite(
    name: str, extra: dict[str, object]
) -> None:
    """A thousand and one points on a thousand timesteps: two are the same."""
    sampler = sampler_of(name, timestep_spacing="linspace", **extra)
    plan = sampler.plan(1000)
    assert len(set(plan.timesteps)) < len(plan)
    assert is_finite(run_plan(plan, 3))
    for done in (0, 400, 499, 500, 501, 998):
        rest = sampler.replan(plan, done, (1000 - done + 1) // 2)
        assert is_finite(run_plan(rest, 3))


@pytest.mark.parametrize("name", MULTISTEP)
def test_levels_that_do_not_fall_are_no_schedule(name: str) -> None:
    """Leading spacing has no room for a thousand steps and the end of the last."""
    sampler = sampler_of(name, timestep_spacing="leading")
    assert len(sampler.plan(999)) == 999
    with pytest.raises(ValueError, match="no 1000 levels to step to with timestep_spacing"):
        sampler.plan(1000)


def test_a_clipped_course_with_fewer_levels_than_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="no 10 levels to step to with timestep_spacing 'trailing"):
        sampler_of("dpmpp_2m", lambda_min_clipped=-1.0, timestep_spacing="trailing")


@pytest.mark.parametrize("name", SIGMA_SAMPLERS)
def test_a_level_without_signal_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="some signal left at every level; correct trained_betas"):
        sampler_of(name, trained_betas=[*BETAS[:999], 1.0])


def test_a_schedule_whose_rescaled_end_dips_is_still_replanned() -> None:
    """Linear betas fall so far that the library's stand-in for zero signal lies above them."""
    linear = {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02}
    sampler = sampler_of(
        "euler", rescale_betas_zero_snr=True, timestep_spacing="trailing", **linear
    )
    plan = sampler.plan(30)
    assert plan.sigmas[0] == pytest.approx(4096, rel=1e-3)
    rest = sampler.replan(plan, 0, 9)
    assert rest.sigmas[0] == plan.sigmas[0]
    assert all(a > b for a, b in pairwise(rest.sigmas))
