"""Plans against the library's own samplers, and what a re-plan promises."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plans import Plan
from pipelines.samplers import SAMPLERS, make_sampler, respaced
from tests.pipelines.samplers.runs import (
    SPACINGS,
    relative_error,
    run_library,
    run_plan,
    worst_error,
)
from tests.pipelines.tiny_pipelines import noise_settings

REPLANNABLE = sorted(name for name, kind in SAMPLERS.items() if not kind.fixed_schedule)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(
    ("name", "prediction"),
    [
        (name, prediction)
        for name in sorted(SAMPLERS)
        for prediction in ("epsilon", "v_prediction", "sample")
        if (name, prediction) != ("euler_ancestral", "sample")  # unknown to the library's class
    ],
)
def test_a_whole_plan_equals_the_library(name: str, prediction: str, spacing: str) -> None:
    config = noise_settings(prediction) | {"timestep_spacing": spacing}
    for steps in (1, 4, 7, 15, 25):
        ours = run_plan(make_sampler(name, config).plan(steps), seed=steps)
        assert worst_error(ours, run_library(name, config, steps, seed=steps)) < 1e-4


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("ddim", {"clip_sample": True, "clip_sample_range": 0.5}),
        ("ddim", {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}),
        ("ddim", {"set_alpha_to_one": True}),
        ("euler", {"use_karras_sigmas": True}),
        ("euler", {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}),
        ("dpmpp_2m", {"use_karras_sigmas": True}),
        ("dpmpp_2m", {"solver_type": "heun"}),
        ("dpmpp_2m", {"solver_order": 1}),
        ("dpmpp_2m", {"final_sigmas_type": "sigma_min"}),
        ("dpmpp_2m", {"final_sigmas_type": "sigma_min", "euler_at_final": True}),
        ("lcm", {"clip_sample": True}),
    ],
)
def test_settings_of_the_config_are_followed(name: str, extra: dict[str, Any]) -> None:
    config = noise_settings("v_prediction") | extra
    for steps in (4, 20):
        ours = run_plan(make_sampler(name, config).plan(steps), seed=3)
        assert worst_error(ours, run_library(name, config, steps, seed=3)) < 1e-4


def test_latents_are_not_clipped_when_the_config_never_heard_of_clipping() -> None:
    config = noise_settings("epsilon")
    del config["clip_sample"]
    assert make_sampler("ddim", config).plan(5).clip == math.inf


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(REPLANNABLE),
    spacing=st.sampled_from(SPACINGS),
    karras=st.booleans(),
    steps=st.integers(2, 60),
    data=st.data(),
)
def test_a_replan_goes_from_the_level_reached_down_to_zero(
    name: str, spacing: str, karras: bool, steps: int, data: st.DataObject
) -> None:
    config = noise_settings("v_prediction") | {"timestep_spacing": spacing}
    config["use_karras_sigmas"] = karras
    sampler = make_sampler(name, config)
    plan = sampler.plan(steps)
    done = data.draw(st.integers(0, steps - 1), label="done")
    remaining = data.draw(st.integers(1, steps - done), label="remaining")
    rest = sampler.replan(plan, done, remaining)
    assert len(rest) == remaining
    assert rest[0].sigma == plan[done].sigma
    assert rest[0].timestep == plan[done].timestep
    assert rest.final_sigma == plan.final_sigma
    assert all(a > b for a, b in pairwise(rest.sigmas[:-1]))
    # DDIM without set_alpha_to_one ends at the first trained level, where linspace also steps.
    assert rest.final_sigma <= rest.sigmas[-2]
    coefficients = [value for stage in rest.stages for value in (stage.next_x, stage.next_e)]
    assert all(map(math.isfinite, coefficients))


@pytest.mark.parametrize("name", REPLANNABLE)
def test_the_last_level_of_a_replan_is_clean(name: str) -> None:
    config = noise_settings("v_prediction") | {"set_alpha_to_one": True}
    sampler = make_sampler(name, config)
    rest = sampler.replan(sampler.plan(20), 9, 4)
    assert rest.final_sigma == 0
    last = rest.stages[-1]
    assert (last.next_x, last.next_v, last.next_noise) == pytest.approx((0, 0, 0))
    assert last.next_e == pytest.approx(1)


@pytest.mark.parametrize("name", REPLANNABLE)
def test_a_replan_to_as_many_steps_keeps_the_levels(name: str) -> None:
    sampler = make_sampler(name, noise_settings("epsilon"))
    plan = sampler.plan(12)
    rest = sampler.replan(plan, 5, 7)
    assert rest.sigmas == pytest.approx(plan.sigmas[5:], rel=1e-5)


def test_a_replanned_solver_starts_again_at_first_order() -> None:
    sampler = make_sampler("dpmpp_2m", noise_settings("epsilon"))
    rest = sampler.replan(sampler.plan(20), 10, 5)
    assert rest[0].next_before == 0
    assert rest[1].next_before != 0
    assert rest[4].next_before == 0


def test_a_replan_lands_near_the_long_run() -> None:
    """With a smooth model, respacing half of the levels must not change where it goes."""
    for name in ("ddim", "euler", "dpmpp_2m"):
        sampler = make_sampler(name, noise_settings("v_prediction"))
        plan = sampler.plan(40)
        rest = sampler.replan(plan, 20, 10)
        joined = Plan(
            plan.stages[:20] + rest.stages, plan.initial_scale, rest.final_sigma, plan.clip
        )
        assert relative_error(run_plan(joined, 5)[-1], run_plan(plan, 5)[-1]) < 0.05


def test_a_fixed_schedule_refuses_a_replan() -> None:
    sampler = make_sampler("lcm", noise_settings("v_prediction"))
    with pytest.raises(ValueError, match="fixed schedule"):
        sampler.replan(sampler.plan(4), 1, 2)


@pytest.mark.parametrize(("done", "remaining"), [(0, 0), (3, 8), (10, 1), (-1, 2)])
def test_an_impossible_replan_is_refused(done: int, remaining: int) -> None:
    for name in REPLANNABLE:
        sampler = make_sampler(name, noise_settings("epsilon"))
        with pytest.raises(ValueError, match="can be re-planned to between"):
            sampler.replan(sampler.plan(10), done, remaining)


@pytest.mark.parametrize(("name", "steps"), [("ddim", 0), ("euler", 1001), ("lcm", 51)])
def test_impossible_step_counts_are_refused(name: str, steps: int) -> None:
    with pytest.raises(ValueError, match="steps must be between 1 and"):
        make_sampler(name, noise_settings("epsilon")).plan(steps)


@pytest.mark.parametrize(
    ("name", "extra", "said"),
    [
        ("pndm", {}, "unknown; use one of ddim, euler"),
        ("ddim", {"thresholding": True}, "thresholding"),
        ("dpmpp_2m", {"solver_order": 3}, "solver_order 3"),
        ("dpmpp_2m", {"algorithm_type": "sde-dpmsolver++"}, "algorithm_type"),
        ("dpmpp_2m", {"use_flow_sigmas": True}, "flow sigmas"),
        ("dpmpp_2m", {"prediction_type": "flow_prediction"}, "not 'flow_prediction'"),
        ("euler", {"timestep_type": "continuous"}, "timestep_type"),
    ],
)
def test_settings_it_does_not_follow_are_refused(
    name: str, extra: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        make_sampler(name, noise_settings("epsilon") | extra)


def test_pure_noise_needs_a_model_that_does_not_predict_noise() -> None:
    extra = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    with pytest.raises(ValueError, match="rescale_betas_zero_snr"):
        make_sampler("ddim", noise_settings("epsilon") | extra).plan(5)


def test_respacing_keeps_the_shape_of_the_course() -> None:
    assert respaced([100.0, 60.0, 30.0, 10.0], 2) == [100.0, 30.0]
    assert respaced([100.0, 60.0, 30.0, 10.0], 1) == [100.0]
