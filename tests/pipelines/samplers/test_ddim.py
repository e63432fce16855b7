"""DDIM: clipping, the last level, and levels out of reach."""

from __future__ import annotations

import math

import pytest

from pipelines.samplers import make_sampler
from tests.pipelines.samplers.cases import ZERO_SIGNAL
from tests.pipelines.tiny_pipelines import noise_settings


def test_latents_are_not_clipped_when_the_config_never_heard_of_clipping() -> None:
    config = noise_settings("epsilon")
    del config["clip_sample"]
    assert make_sampler("ddim", config).plan(5).clip == math.inf


def test_latents_are_clipped_when_the_config_says_so() -> None:
    config = noise_settings("epsilon") | {"clip_sample": True, "clip_sample_range": 2.5}
    assert make_sampler("ddim", config).plan(5).clip == 2.5
    sampler = make_sampler("ddim", config)
    assert sampler.replan(sampler.plan(9), 3, 2).clip == 2.5


def test_the_class_s_own_default_is_followed_where_the_config_holds_it() -> None:
    """As the pipeline of a DDIM folder that does not mention clipping has it."""
    config = noise_settings("epsilon")
    del config["clip_sample"]
    own = make_sampler("ddim", config).library.from_config(config).config
    assert "clip_sample" in own["_use_default_values"]
    assert make_sampler("ddim", own).plan(5).clip == 1.0


def test_pure_noise_needs_a_model_that_does_not_predict_noise() -> None:
    with pytest.raises(ValueError, match="rescale_betas_zero_snr to false"):
        make_sampler("ddim", noise_settings("epsilon") | ZERO_SIGNAL)
    plan = make_sampler("ddim", noise_settings("v_prediction") | ZERO_SIGNAL).plan(5)
    assert plan[0].sigma == math.inf
    assert (plan[0].estimate_x, plan[0].estimate_v) == (0, -1)


def test_a_replan_from_pure_noise_starts_there() -> None:
    sampler = make_sampler("ddim", noise_settings("v_prediction") | ZERO_SIGNAL)
    rest = sampler.replan(sampler.plan(8), 0, 3)
    assert (rest[0].timestep, rest[0].sigma) == (999, math.inf)
    assert all(math.isfinite(sigma) for sigma in rest.sigmas[1:])


def test_steps_that_an_offset_lifts_over_the_trained_ones_are_refused() -> None:
    sampler = make_sampler("ddim", noise_settings("epsilon") | {"timestep_spacing": "leading"})
    assert sampler.plan(999).timesteps[0] == 999
    with pytest.raises(ValueError, match="no 1000 levels to step to with timestep_spacing"):
        sampler.plan(1000)


def test_a_replan_ends_where_its_plan_ends() -> None:
    """Seven trailing steps do not divide a thousand: the library's last one stops at level 0."""
    config = noise_settings("v_prediction") | {
        "set_alpha_to_one": True,
        "timestep_spacing": "trailing",
    }
    sampler = make_sampler("ddim", config)
    plan = sampler.plan(7)
    assert plan.final_sigma > 0
    rest = sampler.replan(plan, 4, 2)
    assert rest.final_sigma == plan.final_sigma
    assert rest[-1].next_e == pytest.approx(plan[-1].next_e, rel=1e-12)
    assert rest[-1].next_e < 1
