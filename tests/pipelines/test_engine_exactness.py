"""The engine's pictures against the library's own pipelines, alone and in company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from pipelines.jobs import EngineEvent, Picture, PictureRequest
from pipelines.loading import Variant, load_variant
from policies.nouns import Service
from tests.pipelines.engine_runs import alone, difference, done, engine_of, run_out
from tests.pipelines.tiny_pipelines import request

library: Any = diffusers  # its classes are untyped
FEW = ("ddim", "euler", "euler_ancestral", "dpmpp_2m")


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@pytest.mark.parametrize("sampler", FEW)
def test_a_picture_alone_equals_the_library(
    folders: dict[str, Path], full: Variant, noise_predictor: Variant, sampler: str, prediction: str
) -> None:
    variant = full if prediction == "v_prediction" else noise_predictor
    for steps in (1, 4, 12):
        asked = request(service=Service("full", steps, 0), sampler=sampler, seed=steps)
        ours = alone(variant, asked)
        assert difference(ours.image, library_picture(folders[prediction], asked, sampler)) <= 2
        assert ours.facts.steps_run == steps


def test_a_distilled_picture_equals_the_library(folders: dict[str, Path], turbo: Variant) -> None:
    for steps in (1, 2, 4):
        asked = request(service=Service("turbo", steps, 3), guidance_scale=1.0)
        ours = alone(turbo, asked)
        assert difference(ours.image, library_picture(folders["distilled"], asked, "lcm")) <= 2


def test_negative_prompts_and_other_shapes_equal_the_library(
    folders: dict[str, Path], full: Variant
) -> None:
    asked = request(negative_prompt="blue square", width=24, height=16, prompt="red")
    ours = alone(full, asked)
    assert ours.image.shape == (16, 24, 3)
    assert difference(ours.image, library_picture(folders["v_prediction"], asked, "ddim")) <= 2


def test_an_xl_picture_equals_the_library(folders: dict[str, Path]) -> None:
    variant = load_variant("full", folders["xl"])
    pipeline = library.StableDiffusionXLPipeline.from_pretrained(
        folders["xl"], add_watermarker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    variations: list[dict[str, Any]] = [{}, {"negative_prompt": "blue"}, {"guidance_scale": 1.0}]
    for changes in variations:
        asked = request("xl", service=Service("full", 5, 0), **changes)
        assert difference(alone(variant, asked).image, library_call(pipeline, asked)) <= 2


def test_a_mixed_batch_gives_every_job_its_own_picture(
    folders: dict[str, Path], full: Variant, turbo: Variant
) -> None:
    """Jobs of every sampler, guidance, size and length join at different steps and leave."""
    asked = [
        request("a", seed=1, sampler="ddim"),
        request("b", seed=2, sampler="euler", prompt="blue", guidance_scale=3.0),
        request("c", seed=3, sampler="dpmpp_2m", service=Service("full", 7, 1)),
        request("d", seed=4, sampler="euler_ancestral", guidance_scale=1.0),
        request("e", seed=5, service=Service("turbo", 4, 3)),
        request("f", seed=6, sampler="dpmpp_2m", width=32),
        request("g", seed=7, sampler="euler", guidance_scale=0.0),
    ]
    engine = engine_of(full, turbo)
    events: list[EngineEvent] = []
    for one in asked:
        engine.submit(one)
        events += engine.step() + engine.step()
    finished = done(events + run_out(engine))
    assert set(finished) == {one.job_id for one in asked}
    for one in asked:
        by_itself = alone(turbo if one.service.variant == "turbo" else full, one)
        assert difference(finished[one.job_id].image, by_itself.image) <= 2
    assert difference(finished["a"].image, finished["b"].image) > 2


def test_each_boundary_is_one_model_call_per_variant_and_rows_only_where_needed(
    full: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    forward = full.unet.forward

    def counted(sample: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rows.append(sample.shape[0])
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(full.unet, "forward", counted)
    engine = engine_of(full)
    engine.submit(request("guided"))
    engine.submit(request("free", guidance_scale=1.0, sampler="euler"))
    engine.submit(request("guided too", seed=2))
    engine.step()
    assert rows == [5]


def test_a_distilled_variant_keeps_its_sampler_and_no_guidance(turbo: Variant) -> None:
    asked = request(service=Service("turbo", 4, 3), sampler="euler", guidance_scale=9.0)
    facts = alone(turbo, asked).facts
    assert (facts.sampler, facts.guidance_scale) == ("lcm", 1.0)
