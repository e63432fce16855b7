"""Consistency models: the levels they were distilled on, and no others."""

from __future__ import annotations

import math

import pytest

from pipelines.samplers import make_sampler
from tests.pipelines.samplers.cases import ZERO_SIGNAL
from tests.pipelines.tiny_pipelines import noise_settings


def test_levels_are_among_the_distilled_ones() -> None:
    sampler = make_sampler("lcm", noise_settings("epsilon") | {"original_inference_steps": 20})
    assert sampler.steps_max == 20
    distilled = {50 * k - 1 for k in range(1, 21)}
    for steps in range(1, 21):
        times = sampler.plan(steps).timesteps
        assert len(times) == steps
        assert set(times) <= distilled


def test_only_the_last_step_adds_no_noise() -> None:
    plan = make_sampler("lcm", noise_settings("epsilon")).plan(4)
    assert [stage.next_noise > 0 for stage in plan.stages] == [True, True, True, False]


def test_clipping_follows_the_config() -> None:
    config = noise_settings("epsilon")
    assert make_sampler("lcm", config).plan(4).clip == math.inf
    assert make_sampler("lcm", config | {"clip_sample": True}).plan(4).clip == 1


def test_a_fixed_schedule_refuses_a_replan() -> None:
    sampler = make_sampler("lcm", noise_settings("v_prediction"))
    with pytest.raises(ValueError, match="fixed schedule"):
        sampler.replan(sampler.plan(4), 1, 2)


@pytest.mark.parametrize("levels", [0, 1001])
def test_an_impossible_number_of_distilled_levels_is_refused(levels: int) -> None:
    with pytest.raises(ValueError, match="original_inference_steps must be between 1 and 1000"):
        make_sampler("lcm", noise_settings("epsilon") | {"original_inference_steps": levels})


def test_pure_noise_needs_a_model_that_does_not_predict_noise() -> None:
    with pytest.raises(ValueError, match="rescale_betas_zero_snr to false"):
        make_sampler("lcm", noise_settings("epsilon") | ZERO_SIGNAL)
