"""What all samplers share: which settings they follow, how many steps they take, whose latents."""

from __future__ import annotations

import math
from typing import Any

import diffusers
import pytest

from pipelines.samplers import SAMPLERS, make_sampler, respaced
from pipelines.samplers.base import settings_of
from tests.pipelines.samplers.cases import AXES, BETAS
from tests.pipelines.samplers.runs import REPLANNABLE, TOLERANCE, run_library, run_plan, worst_error
from tests.pipelines.tiny_pipelines import noise_settings

library: Any = diffusers  # its classes are untyped
LATE = 2.5  # a value that no setting takes


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_setting_of_the_library_s_class_is_followed_refused_or_idle(name: str) -> None:
    """A setting that a new version of the library brings must be looked at."""
    kind = SAMPLERS[name]
    assert sorted([*kind.followed, *kind.only, *kind.idle]) == sorted(settings_of(kind.library))


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_setting_that_is_followed_is_held_against_the_library(name: str) -> None:
    """Those not among the cases are parameters of every run, of a preset, or of a mix of them."""
    kind = SAMPLERS[name]
    held = {key for axis in AXES[name] for extra in axis for key in extra}
    held |= noise_settings("epsilon").keys()
    choices = {key for key, fine in kind.only.items() if len(fine) > 1}
    assert (kind.followed | choices) - held <= {"timestep_spacing", "variance_type"}


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name, kind in SAMPLERS.items() for key in kind.only]
)
def test_other_values_of_a_setting_are_refused_with_what_to_set(name: str, key: str) -> None:
    with pytest.raises(ValueError, match=rf"{key}.*scheduler_config\.json") as refusal:
        make_sampler(name, noise_settings("v_prediction") | {key: LATE})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_setting_that_no_class_knows_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="knows no setting beta_strat, shift; correct or remove"):
        make_sampler(name, noise_settings("epsilon") | {"beta_strat": 0.1, "shift": 3.0})


def test_another_model_s_preconditioning_is_refused() -> None:
    config = library.EDMEulerScheduler(sigma_data=0.5).config
    with pytest.raises(ValueError, match=r"knows no setting .*sigma_data"):
        make_sampler("euler", config)


def test_settings_of_other_classes_are_dropped_as_the_library_does() -> None:
    config = noise_settings("epsilon") | {"skip_prk_steps": True, "use_karras_sigmas": True}
    ours = run_plan(make_sampler("ddim", config).plan(6), 3)
    assert worst_error(ours, run_library("ddim", config, 6, 3)) <= TOLERANCE


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"beta_schedule": "sigmoid"}, "sigmoid is not implemented"),
        ({"beta_start": "little"}, "correct the variant's scheduler_config.json"),
        ({"trained_betas": BETAS[:500]}, "trained_betas has 500 values where num_train_timesteps"),
        ({"trained_betas": [*BETAS[:999], 1.5]}, "betas must lie between 0 and 1"),
        ({"trained_betas": [0.0, *BETAS[1:]]}, "betas must lie between 0 and 1"),
        ({"prediction_type": "flow_prediction"}, "not 'flow_prediction'"),
    ],
)
@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_config_that_makes_no_noise_schedule_is_refused(
    name: str, extra: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        make_sampler(name, noise_settings("v_prediction") | extra)


def test_two_spacings_of_sigmas_at_once_are_refused() -> None:
    both = {"use_karras_sigmas": True, "use_beta_sigmas": True}
    for name in ("euler", "dpmpp_2m", "unipc"):
        with pytest.raises(ValueError, match="Only one of"):
            make_sampler(name, noise_settings("epsilon") | both)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_impossible_step_counts_are_refused(name: str) -> None:
    sampler = make_sampler(name, noise_settings("epsilon"))
    for steps in (-1, 0, sampler.steps_max + 1):
        with pytest.raises(ValueError, match="steps must be between 1 and"):
            sampler.plan(steps)


@pytest.mark.parametrize("name", ["ddim", "euler", "euler_ancestral", "dpmpp_2m", "unipc"])
def test_trailing_steps_are_as_many_as_asked_for(name: str) -> None:
    """The library's arithmetic makes 62 of 61, the last at timestep -1."""
    config = noise_settings("v_prediction") | {"timestep_spacing": "trailing"}
    plan = make_sampler(name, config).plan(61)
    assert len(plan) == 61
    assert min(plan.timesteps) > 0
    theirs = run_library(name, config, 61, 3)
    assert len(theirs) == 62
    # The second order solvers know the end one step before it.
    assert worst_error(run_plan(plan, 3)[:59], theirs[:59]) <= TOLERANCE


@pytest.mark.parametrize("name", REPLANNABLE)
def test_latents_go_between_samplers_of_one_name_and_noise_schedule(name: str) -> None:
    config = noise_settings("epsilon")
    one, other = make_sampler(name, config), make_sampler(name, noise_settings("v_prediction"))
    assert one.same_levels_as(other)
    assert other.same_levels_as(one)
    respaced_only = make_sampler(name, config | {"timestep_spacing": "trailing"})
    assert one.same_levels_as(respaced_only)
    assert not one.same_levels_as(make_sampler(name, config | {"beta_end": 0.013}))
    assert not one.same_levels_as(make_sampler(name, config | {"num_train_timesteps": 500}))
    for another in set(REPLANNABLE) - {name}:
        assert not one.same_levels_as(make_sampler(another, config))


def test_a_fixed_schedule_takes_no_latents_over() -> None:
    sampler = make_sampler("lcm", noise_settings("epsilon"))
    assert not sampler.same_levels_as(sampler)


def test_plans_are_made_once() -> None:
    sampler = make_sampler("euler", noise_settings("epsilon"))
    assert sampler.plan(7) is sampler.plan(7)


def test_respacing_keeps_the_shape_of_the_course() -> None:
    assert respaced([100.0, 60.0, 30.0, 10.0], 2) == [100.0, 30.0]
    assert respaced([100.0, 60.0, 30.0, 10.0], 1) == [100.0]
    assert respaced([100.0, 60.0, 30.0], 2) == [100.0, 45.0]


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_the_first_latents_are_scaled_as_the_library_scales_them(name: str) -> None:
    config = noise_settings("v_prediction") | {"timestep_spacing": "leading"}
    scheduler = SAMPLERS[name].library.from_config(config)
    scheduler.set_timesteps(8)
    scale = float(scheduler.init_noise_sigma)
    assert make_sampler(name, config).plan(8).initial_scale == scale
    assert math.isfinite(scale)
