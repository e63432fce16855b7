"""The committed weights: plain folders, half precision on disk, and pictures that show what was asked for.

The exact figures stand in the model card; these samples are small, so their bars are a little lower.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open

from pipelines.embedded.drawing import draw
from pipelines.embedded.judge import WEIGHTS, load_judge
from pipelines.embedded.scenes import random_scene
from pipelines.quality import accuracy, generate, judged, load_plain, unseen_prompts

pytestmark = pytest.mark.slow


FOLDER = WEIGHTS.parent.parent
SAMPLE = 40


def test_all_weights_together_are_small_and_in_half_precision() -> None:
    files = list(FOLDER.rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in files) <= 25e6
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            assert {tensors.get_tensor(name).dtype for name in tensors.keys()} == {torch.float16}  # noqa: SIM118


def test_nothing_but_safetensors_and_text_is_committed_with_them() -> None:
    kinds = {file.suffix for file in FOLDER.rglob("*") if file.is_file()}
    assert kinds <= {".safetensors", ".json", ".txt", ".md", ".png"}


def test_the_judge_reads_drawn_pictures_of_scenes_it_was_never_shown() -> None:
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng, held_out=True) for _ in range(300)]
    seen = judged(load_judge(), draw(scenes, rng))
    assert np.mean([one == other for one, other in zip(seen, scenes, strict=True)]) >= 0.97


@pytest.mark.parametrize(
    ("variant", "steps", "guidance_scale", "bar"),
    [("full", 25, 2.5, 0.8), ("small", 15, 2.5, 0.65), ("turbo", 4, 1.0, 0.65)],
)
def test_a_variant_draws_what_unseen_prompts_ask_for(
    variant: str, steps: int, guidance_scale: float, bar: float
) -> None:
    pipeline = load_plain(FOLDER / variant)
    assert pipeline.unet.dtype == pipeline.text_encoder.dtype == pipeline.vae.dtype == torch.float32
    prompts = unseen_prompts(SAMPLE, 99, items=1)
    pictures = generate(
        pipeline, prompts, range(SAMPLE), steps=steps, guidance_scale=guidance_scale
    )
    assert accuracy(prompts, judged(load_judge(), pictures)).all_right >= bar


def test_words_it_never_learned_do_not_stop_it() -> None:
    pipeline = load_plain(FOLDER / "turbo")
    pictures = generate(pipeline, ["a zebra playing chess ☃"], [1], steps=2, guidance_scale=1.0)
    assert pictures.shape == (1, 64, 64, 3)


def test_the_card_s_figures_meet_the_bars_they_were_trained_for() -> None:
    figures = json.loads((FOLDER / "evaluation.json").read_text())
    assert min(figures["judge_on_drawn"]["attributes"].values()) >= 0.99
    assert min(figures["judge_on_reconstructed"]["attributes"].values()) >= 0.97
    assert figures["parameters"]["small"] <= figures["parameters"]["full"] / 3
    assert figures["step_time_relative_to_full"]["small"] <= 0.6
    points = {(point["variant"], point["steps"]): point for point in figures["quality"]}
    assert points["full", 25]["single_object"]["mean_attribute"] >= 0.95
    assert points["full", 25]["single_object"]["all_right"] >= 0.85
    assert points["full", 25]["two_objects"]["all_right"] >= 0.6
    assert (
        max(points["small", steps]["single_object"]["all_right"] for steps in (10, 15, 25)) >= 0.75
    )
    assert points["turbo", 4]["single_object"]["all_right"] >= 0.75
