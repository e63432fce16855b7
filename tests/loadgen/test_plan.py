"""The plan: every request's instant, prompt, seed and body, made before the first is sent."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.config import ConfigError, RunConfig
from loadgen.plan import make_plan


@pytest.fixture
def config(prompts_file: Path) -> RunConfig:
    return RunConfig(
        url="http://127.0.0.1:8000",
        out="out",
        arrivals="poisson",
        rate_per_s=5.0,
        duration_s=10.0,
        seed=100,
        times_file=None,
        burst_factor=5.0,
        burst_share=0.1,
        mean_burst_s=5.0,
        prompts=str(prompts_file),
        save_pictures=False,
        model=None,
        quality=None,
        steps=None,
        deadline_s=None,
        timeout_s=300.0,
    )


def test_a_plan_is_the_same_for_the_same_configuration(config: RunConfig) -> None:
    first, again = make_plan(config), make_plan(config)
    assert [first.body(i) for i in range(len(first))] == [again.body(i) for i in range(len(again))]


def test_bodies_are_openai_images_requests_with_seeds_counted_up(config: RunConfig) -> None:
    plan = make_plan(config)
    body = json.loads(plan.body(3))
    assert body == {
        "prompt": plan.prompt(3),
        "n": 1,
        "response_format": "b64_json",
        "output_format": "png",
        "seed": 103,
    }
    asked = make_plan(replace(config, model="m", quality="high", steps=9, deadline_s=2.0))
    extra = {"model": "m", "quality": "high", "steps": 9, "deadline_s": 2.0}
    assert json.loads(asked.body(3)) == body | extra


def test_a_diurnal_plan_has_days_of_the_length_asked_for(config: RunConfig) -> None:
    asked = replace(config, arrivals="diurnal", rate_per_s=50.0, duration_s=100.0)
    assert make_plan(asked).schedule.parameters["day_s"] == 100.0
    assert make_plan(replace(asked, day_s=25.0)).schedule.parameters["day_s"] == 25.0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rate_per_s": 1e9}, "lower one of them"),
        ({"rate_per_s": 1e-6}, "no request falls"),
        ({"arrivals": "bursty", "burst_factor": 99.0}, "burst factor"),
        ({"prompts": "/nowhere/prompts.txt"}, "--prompts"),
        ({"arrivals": "replay", "rate_per_s": None, "times_file": "/nowhere"}, "cannot read"),
    ],
)
def test_a_plan_that_cannot_be_made_says_why(
    config: RunConfig, change: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        make_plan(replace(config, **change))  # type: ignore[arg-type]
