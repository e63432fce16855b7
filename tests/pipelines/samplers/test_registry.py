"""Every sampler of the registry against the library's class, step by step."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import diffusers
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.plans import Plan
from pipelines.samplers import NAME_OF_LIBRARY_CLASS, SAMPLERS, make_sampler
from tests.pipelines.samplers.cases import AXES, CIRCUMSTANCES, REAL, Settings
from tests.pipelines.samplers.runs import (
    SPACINGS,
    STEPS,
    TOLERANCE,
    is_finite,
    run_library,
    run_plan,
    worst_error,
)
from tests.pipelines.tiny_pipelines import noise_settings

library: Any = diffusers  # its classes are untyped
KINDS = [
    (name, prediction) for name, kind in sorted(SAMPLERS.items()) for prediction in kind.predictions
]
SINGLE = [
    (name, CIRCUMSTANCES.get(next(iter(extra)), {}), extra)
    for name, axes in AXES.items()
    for extra in itertools.chain.from_iterable(axes)
    if extra
]


def error(name: str, config: Mapping[str, Any], steps: int, seed: int = 3) -> float:
    """The error of a whole run, as a share of what is tolerated."""
    plan = make_sampler(name, config).plan(steps)
    # From a first level of thousands the library's Euler takes differences of latents that large,
    # and is off by their rounding (test_euler holds ours against double precision).
    rounding = torch.finfo(torch.float32).eps * plan.initial_scale
    theirs = run_library(name, config, steps, seed)
    return worst_error(run_plan(plan, seed), theirs) / max(TOLERANCE, 4 * rounding)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("name", "prediction"), KINDS)
def test_a_whole_plan_equals_the_library(name: str, prediction: str, spacing: str) -> None:
    config = noise_settings(prediction) | {"timestep_spacing": spacing}
    for steps in STEPS:
        assert error(name, config, steps, seed=steps) <= 1


@pytest.mark.parametrize("name", ["ddim", "euler", "euler_ancestral", "dpmpp_2m", "unipc"])
def test_a_plan_of_nearly_all_trained_steps_equals_the_library(name: str) -> None:
    config = noise_settings("v_prediction") | {"timestep_spacing": "linspace"}
    assert error(name, config, 999) <= 1


@pytest.mark.parametrize(("name", "circumstances", "extra"), SINGLE, ids=str)
def test_each_setting_is_followed(name: str, circumstances: Settings, extra: Settings) -> None:
    config = noise_settings("v_prediction") | circumstances | extra
    for steps in (7, 20):
        assert error(name, config, steps) <= 1


@pytest.mark.parametrize(("name", "circumstances", "extra"), SINGLE, ids=str)
def test_each_setting_makes_a_difference(
    name: str, circumstances: Settings, extra: Settings
) -> None:
    """Were a setting of no effect here, following it would prove nothing."""
    without, having = (
        make_sampler(name, noise_settings("v_prediction") | circumstances | changes)
        for changes in ({}, extra)
    )
    apart = [
        worst_error(run_plan(having.plan(steps), 3), run_plan(without.plan(steps), 3))
        for steps in (8, 20)
    ]
    assert max(apart) > 10 * TOLERANCE


def attempt(name: str, config: Mapping[str, Any], steps: int) -> Plan | str:
    """The plan, or the sentence that refuses it."""
    try:
        return make_sampler(name, config).plan(steps)
    except ValueError as refusal:
        return str(refusal)


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_mix_of_settings_equals_the_library(data: st.DataObject) -> None:
    name, prediction = data.draw(st.sampled_from(KINDS), label="kind")
    config = noise_settings(prediction)
    config["timestep_spacing"] = data.draw(st.sampled_from(SPACINGS), label="spacing")
    for axis in AXES[name]:
        config |= data.draw(st.sampled_from(axis), label="setting")
    steps = data.draw(st.sampled_from((1, 2, 5, 16, 33)), label="steps")
    plan = attempt(name, config, steps)
    if isinstance(plan, str):
        assert "scheduler_config.json" in plan
        return
    assert is_finite(run_plan(plan, 3))
    # A few mixes the library itself cannot run: Heun's last step of no length, for one.
    if is_finite(run_library(name, config, steps, 3)):
        assert error(name, config, steps) <= 1


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"lcm"}))
@pytest.mark.parametrize("model", sorted(set(REAL) - {"LCM"}))
def test_published_configs_equal_the_library(model: str, name: str) -> None:
    """Through the class that the config names, as a loaded pipeline has it."""
    config = getattr(library, REAL[model]["_class_name"]).from_config(REAL[model]).config
    for steps in STEPS:
        assert error(name, config, steps) <= 1


def test_the_published_config_of_a_consistency_model_equals_the_library() -> None:
    config = library.LCMScheduler.from_config(REAL["LCM"]).config
    for steps in STEPS:
        assert error("lcm", config, steps) <= 1


def test_library_classes_are_known_by_their_own_names() -> None:
    for name, kind in SAMPLERS.items():
        assert NAME_OF_LIBRARY_CLASS[kind.library.__name__] == name == kind.name
        assert getattr(library, kind.library.__name__) is kind.library


def test_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown; use one of ddim, euler"):
        make_sampler("pndm", noise_settings("epsilon"))
