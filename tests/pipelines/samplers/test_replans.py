"""What a re-plan promises, for every sampler that takes one, also between two models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plans import Plan, Stage
from pipelines.samplers import make_sampler
from tests.pipelines.samplers.cases import SIGMAS
from tests.pipelines.samplers.runs import (
    REPLANNABLE,
    SHAPE,
    SPACINGS,
    Model,
    is_finite,
    relative_error,
    run_on,
    run_plan,
    start,
)
from tests.pipelines.tiny_pipelines import noise_settings

PREDICTIONS = ("epsilon", "v_prediction")
DETERMINISTIC = tuple(name for name in REPLANNABLE if name != "euler_ancestral")
CLEAN = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
NOISE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))


def known(prediction: str) -> Model:
    """A model that knows the picture: its estimate is CLEAN at every level."""

    def answer(x: torch.Tensor, stage: Stage) -> torch.Tensor:
        root, rest = shares(stage.sigma)
        noise = (x - root * CLEAN) / rest
        return noise if prediction == "epsilon" else root * noise - rest * CLEAN

    return answer


def gaussian(prediction: str, spread: float = 0.6) -> Model:
    """The best model of normal pictures of standard deviation `spread`."""

    def answer(x: torch.Tensor, stage: Stage) -> torch.Tensor:
        root, rest = shares(stage.sigma)
        clean = x * root * spread**2 / ((root * spread) ** 2 + rest**2)
        noise = (x - root * clean) / rest
        return noise if prediction == "epsilon" else root * noise - rest * clean

    return answer


def shares(sigma: float) -> tuple[float, float]:
    """What latents of this level have of the clean ones and of the noise."""
    return 1 / math.sqrt(1 + sigma**2), sigma / math.sqrt(1 + sigma**2)


def on_course(name: str, sigma: float) -> torch.Tensor:
    """The latents of CLEAN and NOISE at a level, in the sampler's own scaling."""
    root, rest = shares(sigma)
    mixed = root * CLEAN + rest * NOISE
    return mixed / root if name == "euler" else mixed


def drawn_config(data: st.DataObject, name: str) -> dict[str, Any]:
    config = noise_settings(data.draw(st.sampled_from(PREDICTIONS), label="prediction"))
    config["timestep_spacing"] = data.draw(st.sampled_from(SPACINGS), label="spacing")
    if name in ("euler", "dpmpp_2m", "unipc"):
        config |= data.draw(st.sampled_from(SIGMAS), label="sigmas")
        if data.draw(st.booleans(), label="stops short"):
            config["final_sigmas_type"] = "sigma_min"
    return config


@settings(max_examples=200, deadline=None)
@given(name=st.sampled_from(REPLANNABLE), steps=st.integers(2, 60), data=st.data())
def test_a_replan_goes_from_the_level_reached_down_to_where_its_plan_ends(
    name: str, steps: int, data: st.DataObject
) -> None:
    sampler = make_sampler(name, drawn_config(data, name))
    plan = sampler.plan(steps)
    for _ in range(data.draw(st.integers(1, 3), label="replans")):
        done = data.draw(st.integers(0, len(plan) - 1), label="done")
        remaining = data.draw(st.integers(1, len(plan) - done), label="remaining")
        rest = sampler.replan(plan, done, remaining)
        assert len(rest) == remaining
        assert (rest[0].sigma, rest[0].timestep) == (plan[done].sigma, plan[done].timestep)
        assert (rest.final_sigma, rest.clip) == (plan.final_sigma, plan.clip)
        assert all(a > b for a, b in pairwise(rest.sigmas[:-1]))
        # DDIM without set_alpha_to_one ends at the first trained level, where linspace also steps.
        assert rest.final_sigma <= rest.sigmas[-2]
        assert all(a >= b for a, b in pairwise(rest.timesteps))
        assert rest[0].next_before == 0
        assert rest[0].correct_last == 0
        assert torch.isfinite(rest.table).all()
        assert is_finite(run_plan(rest, 3))
        plan = rest


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(DETERMINISTIC), steps=st.integers(2, 40), data=st.data())
def test_a_model_that_knows_the_picture_is_followed_exactly_through_replans_and_hand_overs(
    name: str, steps: int, data: st.DataObject
) -> None:
    """Were a step, or a coefficient of a corrector, of the wrong length, the course would bend."""
    config = drawn_config(data, name)
    if name == "ddim":
        config["timestep_spacing"] = "leading"  # else it does not ask at the level it stepped to
    config["prediction_type"] = PREDICTIONS[0]
    samplers = {
        kind: make_sampler(name, config | {"prediction_type": kind}) for kind in PREDICTIONS
    }
    kind = data.draw(st.sampled_from(PREDICTIONS), label="prediction")
    plan = samplers[kind].plan(steps)
    state = start(on_course(name, plan.sigmas[0]))
    while True:
        part = data.draw(st.integers(1, len(plan)), label="stages run")
        run_on(state, cut(plan, part), known(kind))
        reached = plan.sigmas[part]
        assert relative_error(state.latents, on_course(name, reached)) <= 2e-5
        if part == len(plan):
            return
        remaining = data.draw(st.integers(1, len(plan) - part), label="remaining")
        kind = data.draw(st.sampled_from(PREDICTIONS), label="prediction")
        plan = samplers[kind].replan(plan, part, remaining)


def cut(plan: Plan, stages: int) -> Plan:
    """The first stages of a plan."""
    return Plan(plan.stages[:stages], plan.initial_scale, plan.sigmas[stages], plan.clip)


@pytest.mark.parametrize("name", REPLANNABLE)
@pytest.mark.parametrize("giver", PREDICTIONS)
def test_a_plan_handed_over_is_replanned_as_if_it_were_the_taker_s_own(
    name: str, giver: str
) -> None:
    taker = next(kind for kind in PREDICTIONS if kind != giver)
    theirs = make_sampler(name, noise_settings(giver)).plan(20)
    sampler = make_sampler(name, noise_settings(taker))
    assert sampler.replan(theirs, 8, 5) == sampler.replan(sampler.plan(20), 8, 5)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_run_handed_over_ends_near_the_run_that_stayed(name: str) -> None:
    stayed, taker = (make_sampler(name, noise_settings(kind)) for kind in PREDICTIONS)
    plan = stayed.plan(30)
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(7)) * plan.initial_scale
    whole = run_on(start(noise.clone()), plan, gaussian("epsilon"))[-1]
    state = start(noise.clone())
    run_on(state, cut(plan, 12), gaussian("epsilon"))
    handed = run_on(state, taker.replan(plan, 12, 18), gaussian("v_prediction"))[-1]
    assert relative_error(handed, whole) <= (1e-4 if name in ("ddim", "euler") else 0.02)
    shorter = run_on(start(noise.clone()), cut(plan, 12), gaussian("epsilon"))[-1]
    quick = run_on(start(shorter), taker.replan(plan, 12, 9), gaussian("v_prediction"))[-1]
    assert relative_error(quick, whole) <= 0.1


@pytest.mark.parametrize(
    "own",
    [
        {"final_sigmas_type": "sigma_min", "lower_order_final": False},
        {"final_sigmas_type": "sigma_min", "solver_type": "bh1"},
    ],
)
def test_a_taker_that_would_stop_short_steps_to_a_giver_s_zero(own: Mapping[str, Any]) -> None:
    giver = make_sampler("unipc", noise_settings("epsilon"))
    taker = make_sampler("unipc", noise_settings("v_prediction") | own)
    rest = taker.replan(giver.plan(20), 8, 6)
    assert rest.final_sigma == 0
    assert is_finite(run_plan(rest, 3))
    last = rest.stages[-1]
    assert (last.next_x, last.next_before) == (0, 0)
    assert last.next_e == pytest.approx(1)


@pytest.mark.parametrize("name", REPLANNABLE)
def test_the_last_level_of_a_replan_is_clean(name: str) -> None:
    config = noise_settings("v_prediction") | {"set_alpha_to_one": True}
    sampler = make_sampler(name, config)
    rest = sampler.replan(sampler.plan(20), 9, 4)
    assert rest.final_sigma == 0
    last = rest.stages[-1]
    assert (last.next_x, last.next_v, last.next_noise) == pytest.approx((0, 0, 0))
    assert last.next_e == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(REPLANNABLE), data=st.data())
def test_a_replan_to_as_many_steps_keeps_levels_and_timesteps(
    name: str, data: st.DataObject
) -> None:
    sampler = make_sampler(name, drawn_config(data, name))
    plan = sampler.plan(12)
    done = data.draw(st.integers(0, 11), label="done")
    rest = sampler.replan(plan, done, 12 - done)
    assert rest.sigmas == pytest.approx(plan.sigmas[done:], rel=1e-12)
    assert rest.timesteps == plan.timesteps[done:]


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_replan_lands_near_the_long_run(name: str) -> None:
    """With a smooth model, respacing half of the levels must not change where it goes."""
    sampler = make_sampler(name, noise_settings("v_prediction"))
    plan = sampler.plan(40)
    rest = sampler.replan(plan, 20, 10)
    joined = Plan(plan.stages[:20] + rest.stages, plan.initial_scale, rest.final_sigma, plan.clip)
    assert relative_error(run_plan(joined, 5)[-1], run_plan(plan, 5)[-1]) < 0.05


@pytest.mark.parametrize(("done", "remaining"), [(0, 0), (3, 8), (10, 1), (-1, 2)])
@pytest.mark.parametrize("name", REPLANNABLE)
def test_an_impossible_replan_is_refused(name: str, done: int, remaining: int) -> None:
    sampler = make_sampler(name, noise_settings("epsilon"))
    with pytest.raises(ValueError, match="can be re-planned to between"):
        sampler.replan(sampler.plan(10), done, remaining)
