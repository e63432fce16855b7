"""The engine's pictures against the library's own pipelines, alone and in company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.jobs import EngineEvent
from pipelines.loading import Variant, load_variant
from policies.nouns import Service
from tests.pipelines.engine_runs import (
    REPLANNABLE,
    alone,
    difference,
    done,
    engine_of,
    library_picture,
    run_out,
    with_sampler,
)
from tests.pipelines.tiny_pipelines import request

library: Any = diffusers  # its classes are untyped
FAMILIES = ("epsilon", "v_prediction", "xl", "xl_v_prediction")
PIXELS_APART = 2  # of 255: what the order of float operations may do


class Family:
    """One tiny model, as our variant and as the library's pipeline."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.variant = load_variant("full", folder)
        kind = "StableDiffusionXLPipeline" if "xl" in name else "StableDiffusionPipeline"
        extra = {"add_watermarker": False} if "xl" in name else {}
        self._pipeline = getattr(library, kind).from_pretrained(folder, **extra)

    def library(self, sampler: str) -> Any:
        return with_sampler(self._pipeline, sampler)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Family:
    return Family(request.param, folders[request.param])


@pytest.mark.parametrize("sampler", REPLANNABLE)
def test_a_picture_alone_equals_the_library(family: Family, sampler: str) -> None:
    for steps in (1, 4, 12):
        asked = request(service=Service("full", steps, 0), sampler=sampler, seed=steps)
        ours = alone(family.variant, asked)
        theirs = library_picture(family.library(sampler), asked)
        assert difference(ours.image, theirs) <= PIXELS_APART
        assert ours.facts.steps_run == steps


@pytest.mark.parametrize(
    "changes",
    [
        {"guidance_scale": 1.0},
        {"guidance_scale": 0.0},
        {"guidance_rescale": 0.7},
        {"guidance_rescale": 1.0, "guidance_scale": 9.0, "sampler": "unipc"},
        {"negative_prompt": "blue square"},
        {"negative_prompt": "blue", "guidance_rescale": 0.3, "sampler": "euler"},
        {"prompt": ""},
        {"width": 24, "sampler": "dpmpp_2m"},
        {"height": 32, "prompt": "red, " * 8},
    ],
)
def test_every_setting_equals_the_library(family: Family, changes: dict[str, Any]) -> None:
    asked = request(service=Service("full", 5, 0), **({"sampler": "ddim"} | changes))
    theirs = library_picture(family.library(asked.sampler or "ddim"), asked)
    ours = alone(family.variant, asked).image
    assert ours.shape == (asked.height, asked.width, 3)
    assert difference(ours, theirs) <= PIXELS_APART


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sampler=st.sampled_from(REPLANNABLE),
    steps=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    guidance=st.floats(0, 12),
    rescale=st.sampled_from((0.0, 0.5, 1.0)),
    negative=st.sampled_from(("", "blue")),
    prompt=st.text("abcdef, ", max_size=20),
)
def test_settings_nobody_thought_of_equal_the_library(
    family: Family,
    sampler: str,
    steps: int,
    seed: int,
    guidance: float,
    rescale: float,
    negative: str,
    prompt: str,
) -> None:
    asked = request(
        prompt=prompt,
        negative_prompt=negative,
        service=Service("full", steps, 0),
        sampler=sampler,
        seed=seed,
        guidance_scale=guidance,
        guidance_rescale=rescale,
    )
    theirs = library_picture(family.library(sampler), asked)
    assert difference(alone(family.variant, asked).image, theirs) <= PIXELS_APART


def test_a_mixed_batch_of_a_family_equals_the_library_job_by_job(family: Family) -> None:
    """Every sampler, with and without guidance, joining at different steps of the others."""
    asked = [
        request(
            str(index),
            seed=index,
            sampler=sampler,
            service=Service("full", 4 + index, 0),
            guidance_scale=(5.0, 1.0, 2.5)[index % 3],
            guidance_rescale=(0.0, 0.6)[index % 2],
            negative_prompt=("", "blue")[index // 2 % 2],
        )
        for index, sampler in enumerate((*REPLANNABLE, "ddim", "unipc"))
    ]
    engine = engine_of(family.variant)
    events: list[EngineEvent] = []
    for one in asked:
        engine.submit(one)
        events += engine.step()
    finished = done(events + run_out(engine))
    for one in asked:
        theirs = library_picture(family.library(one.sampler or ""), one)
        assert difference(finished[one.job_id].image, theirs) <= PIXELS_APART, one


def test_a_distilled_picture_equals_the_library(folders: dict[str, Path], turbo: Variant) -> None:
    pipeline = library.StableDiffusionPipeline.from_pretrained(folders["distilled"])
    for steps in (1, 2, 4):
        asked = request(service=Service("turbo", steps, 3), guidance_scale=1.0)
        theirs = library_picture(with_sampler(pipeline, "lcm"), asked)
        assert difference(alone(turbo, asked).image, theirs) <= PIXELS_APART


def test_a_mixed_batch_gives_every_job_its_own_picture(full: Variant, turbo: Variant) -> None:
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
