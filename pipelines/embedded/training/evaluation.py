"""Exact figures of the finished model, taken from the saved folders as a user would load them."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from rich.progress import track

from pipelines.embedded.captions import compose
from pipelines.embedded.drawing import draw
from pipelines.embedded.judge import Judge, to_tensor
from pipelines.embedded.scenes import random_scene
from pipelines.embedded.training.distillation import GUIDANCE_SCALE
from pipelines.quality import (
    Pictures,
    accuracy,
    distances,
    generate,
    judged,
    load_plain,
    unseen_prompts,
)

PICTURES = 400
SEED = 51
QUALITY_POINTS: Mapping[str, tuple[int, ...]] = {
    "full": (25, 15, 10, 8, 6),
    "small": (25, 15, 10),
    "turbo": (4, 2),
}
_STEP_TIME_ROUNDS = 15


def guidance_of(variant: str) -> float:
    """The guidance scale a variant is meant for: the distilled one has it baked in (1 switches guidance off)."""
    return 1.0 if variant == "turbo" else GUIDANCE_SCALE


def evaluate(weights: Path, judge: Judge) -> dict[str, object]:
    """All figures of the model card: judge, autoencoder, every variant at every step count, step times."""
    torch.set_grad_enabled(False)
    pipelines = {variant: load_plain(weights / variant) for variant in QUALITY_POINTS}
    points = []
    for variant, all_steps in QUALITY_POINTS.items():
        for steps in track(all_steps, description=f"pictures by {variant}"):
            points.append(
                {"variant": variant, "steps": steps}
                | _measure(pipelines[variant], judge, variant, steps)
            )
    return {
        "pictures_per_point": PICTURES,
        "seed": SEED,
        "guidance_scale": {variant: guidance_of(variant) for variant in pipelines},
        "distances_of_drawings": distances(judge, _drawn_alike(SEED + 9), _drawn_alike(SEED), SEED),
        "judge_on_drawn": _judge_on_drawn(judge),
        "judge_on_reconstructed": _judge_on_reconstructed(judge, pipelines["full"]),
        "parameters": {
            variant: sum(value.numel() for value in pipeline.unet.parameters())
            for variant, pipeline in pipelines.items()
        },
        "step_time_relative_to_full": _step_times(pipelines),
        "quality": points,
    }


def _measure(
    pipeline: StableDiffusionPipeline, judge: Judge, variant: str, steps: int
) -> dict[str, object]:
    result: dict[str, object] = {}
    both = []
    for items, category in ((1, "single_object"), (2, "two_objects")):
        prompts = unseen_prompts(PICTURES, SEED + items, items=items)
        pictures = generate(
            pipeline, prompts, range(PICTURES), steps=steps, guidance_scale=guidance_of(variant)
        )
        scored = accuracy(prompts, judged(judge, pictures))
        result[category] = asdict(scored) | {"mean_attribute": scored.mean_attribute}
        both.append(pictures)
    return result | distances(judge, np.concatenate(both), _drawn_alike(SEED), SEED)


@functools.cache
def _drawn_alike(seed: int) -> Pictures:
    """Drawings of held-out scenes, as many of each category as are generated."""
    rng = np.random.default_rng(seed)
    scenes = [
        random_scene(rng, held_out=True, items=items) for items in (1, 2) for _ in range(PICTURES)
    ]
    return draw(scenes, rng)


def _drawn() -> tuple[list[str], Pictures]:
    rng = np.random.default_rng(SEED)
    scenes = [random_scene(rng, held_out=True) for _ in range(1000)]
    return [compose(scene, rng) for scene in scenes], draw(scenes, rng)


def _judge_on_drawn(judge: Judge) -> dict[str, object]:
    prompts, pictures = _drawn()
    return asdict(accuracy(prompts, judged(judge, pictures)))


def _judge_on_reconstructed(judge: Judge, pipeline: StableDiffusionPipeline) -> dict[str, object]:
    prompts, pictures = _drawn()
    again = reconstruct(pipeline, pictures)
    error = np.mean((again.astype(float) - pictures) ** 2)
    return asdict(accuracy(prompts, judged(judge, again))) | {
        "psnr_db": float(10 * np.log10(255**2 / error))
    }


def reconstruct(pipeline: StableDiffusionPipeline, pictures: Pictures) -> Pictures:
    """The pictures after the autoencoder: encoded to the mean, decoded, rounded to bytes."""
    done = []
    for start in range(0, len(pictures), 100):
        latents = pipeline.vae.encode(to_tensor(pictures[start : start + 100])).latent_dist.mean
        decoded = pipeline.vae.decode(latents).sample.clamp(-1, 1)
        done.append(((decoded + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(done)


def _step_times(pipelines: Mapping[str, StableDiffusionPipeline]) -> dict[str, float]:
    """Median time of one denoiser call for one job, relative to `full`'s, measured in turns; guidance doubles the batch."""
    times: dict[str, list[float]] = {variant: [] for variant in pipelines}
    for _ in range(_STEP_TIME_ROUNDS):
        for variant, pipeline in pipelines.items():
            size = 2 if guidance_of(variant) > 1 else 1
            config = pipeline.unet.config
            latents = torch.zeros(size, config.in_channels, config.sample_size, config.sample_size)
            context = torch.zeros(
                size, pipeline.tokenizer.model_max_length, config.cross_attention_dim
            )
            pipeline.unet(latents, 500, context)
            started = time.perf_counter()
            for _ in range(5):
                pipeline.unet(latents, 500, context)
            times[variant].append(time.perf_counter() - started)
    return {variant: median(mine) / median(times["full"]) for variant, mine in times.items()}


def contact_sheet(weights: Path, path: Path) -> None:
    """Save a sheet at four times enlargement: a row of drawn pictures, one reconstructed, then one a variant and steps."""
    with torch.inference_mode():
        _, drawn = _drawn()
        prompts = unseen_prompts(6, SEED, items=1) + unseen_prompts(4, SEED, items=2)
        pipelines = {variant: load_plain(weights / variant) for variant in QUALITY_POINTS}
        rows = [drawn[:10], reconstruct(pipelines["full"], drawn[:10])]
        for variant, steps in (
            ("full", 25),
            ("full", 15),
            ("full", 10),
            ("small", 15),
            ("turbo", 4),
        ):
            rows.append(
                generate(
                    pipelines[variant],
                    prompts,
                    range(10),
                    steps=steps,
                    guidance_scale=guidance_of(variant),
                )
            )
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    Image.fromarray(sheet).resize(
        (sheet.shape[1] * 2, sheet.shape[0] * 2), Image.Resampling.NEAREST
    ).save(path, optimize=True)
