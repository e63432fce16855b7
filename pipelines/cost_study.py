"""Steps of UNets with random weights, measured across widths, depths, batches, sizes and settings.

Speed does not depend on the weights. Every UNet steps through the engine in the embedded model's
pipeline, whose text encoder it shares, so that a sample is what a step costs and not only its
model call.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import torch

from pipelines.cost_features import count_work, read_config, read_shape, speed_of, speed_probes
from pipelines.cost_samples import CostStudy, DeviceSpeed, Sample, Setting, Work
from pipelines.execution import Denoiser
from pipelines.loading import DTYPES, Variant, load_variant
from pipelines.probes import Probe, StepRig, steady
from pipelines.profiling import (
    Cell,
    describe_commit,
    describe_machine,
    describe_versions,
    measure,
    summarise,
)

library: Any = diffusers  # its classes are untyped

WEIGHTS = Path(__file__).parent / "embedded" / "weights"
STEPS_PER_VISIT = 3  # timed one after the other, every time that it is a cell's turn
GFLOP_MAX = 4.0
"""Larger calls are left out: they would take most of the time and teach what smaller ones do."""

_PLAIN, _CROSS = "DownBlock2D", "CrossAttnDownBlock2D"
_UP = {_PLAIN: "UpBlock2D", _CROSS: "CrossAttnUpBlock2D"}


@dataclass(frozen=True, slots=True)
class StudySettings:
    """What to measure: rows of a call, sides of square latents, threads, number types."""

    rows: tuple[int, ...] = (1, 2, 4, 8, 16)
    latents: tuple[int, ...] = (8, 16, 24)
    threads: tuple[int, ...] = (1, 2)
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    repetitions: int = 4
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not (self.rows and self.latents and self.threads and self.dtypes):
            raise ValueError("A cost study needs rows, latents, threads and number types.")
        if any(rows < 1 or (rows > 1 and rows % 2) for rows in self.rows):
            raise ValueError(f"rows must be 1 or even (guided jobs have two), got {self.rows}.")
        if any(side < 8 or side % 4 for side in self.latents):
            raise ValueError(f"latents must be multiples of 4 from 8 on, got {self.latents}.")
        unknown = ", ".join(dtype for dtype in self.dtypes if dtype not in DTYPES)
        if unknown:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {unknown}.")
        if min(self.threads) < 1 or self.repetitions < 1:
            raise ValueError("threads and repetitions must be at least 1.")


def architectures() -> dict[str, dict[str, Any]]:
    """Configs of the UNets: two are the embedded model's, eight differ in width, depth, attention."""
    embedded = {
        f"embedded_{name}": read_config(WEIGHTS / name / "unet" / "config.json")
        for name in ("full", "small")
    }
    base = embedded["embedded_full"]
    return embedded | {
        "narrow": _changed(base, (32, 48), (_PLAIN, _CROSS)),
        "wide": _changed(base, (128, 176), (_PLAIN, _CROSS)),
        "no_attention": _changed(base, (112, 144), (_PLAIN, _PLAIN)),
        "attention_everywhere": _changed(base, (72, 96), (_CROSS, _CROSS)),
        "deep_attention": _changed(base, (64, 80), (_PLAIN, _CROSS), transformers=3),
        "long": _changed(base, (72, 88), (_PLAIN, _CROSS), layers=3),
        "three_levels": _changed(base, (48, 80, 112), (_PLAIN, _CROSS, _CROSS)),
        "three_narrow_levels": _changed(base, (24, 40, 64), (_CROSS, _CROSS, _PLAIN), layers=2),
    }


def _changed(
    base: Mapping[str, Any],
    channels: Sequence[int],
    blocks: Sequence[str],
    layers: int = 1,
    transformers: int = 1,
) -> dict[str, Any]:
    return dict(base) | {
        "block_out_channels": list(channels),
        "down_block_types": list(blocks),
        "up_block_types": [_UP[block] for block in reversed(blocks)],
        "layers_per_block": layers,
        "transformer_layers_per_block": transformers,
    }


@dataclass(frozen=True, slots=True)
class _Planned:
    """A step to measure: rows of square latents of that side."""

    architecture: str
    rows: int
    side: int
    dtype: str
    work: Work

    @property
    def guided(self) -> bool:
        """A single row is a job without guidance, more are jobs of two rows each."""
        return self.rows > 1

    @property
    def batch(self) -> int:
        return self.rows // 2 if self.guided else 1

    def cell(self, pixels_per_latent: int) -> Cell:
        side = self.side * pixels_per_latent
        return Cell(self.dtype, self.architecture, "step", (side, side), self.rows)


def run_study(settings: StudySettings, *, seed: int = 0, command: str = "") -> CostStudy:
    """Measure; shows a progress bar on a terminal.

    The device's own probes are timed in the same rounds as the steps.
    """
    device = torch.device(settings.device)
    shape = read_shape(WEIGHTS / "full")
    configs = architectures()
    planned = tuple(_plans(configs, settings, shape.tokens))
    probes: dict[Cell, Probe] = {}
    for dtype in settings.dtypes:
        for name, probe in speed_probes(device, dtype).items():
            probes[Cell(dtype, "", name)] = probe
        base = load_variant("full", WEIGHTS / "full", dtype=dtype, device=settings.device)
        variants = {name: with_random_unet(base, name, config) for name, config in configs.items()}
        for one in planned:
            if one.dtype == dtype:
                cell = one.cell(shape.latent_factor)
                variant = variants[one.architecture]
                rig = StepRig(variant, one.batch, *cell.size, guided=one.guided)
                probes[cell] = steady(rig.run, STEPS_PER_VISIT)
    seconds = measure(
        probes, settings.threads, settings.repetitions, random.Random(seed), warm_up_rounds=0
    )
    speeds: dict[Setting, DeviceSpeed] = {}
    samples: list[Sample] = []
    for threads, timings in seconds.items():
        for dtype in settings.dtypes:
            speeds[Setting(threads, dtype)] = _speed(timings, dtype)
        for one in planned:
            setting = Setting(threads, one.dtype)
            step_s = summarise(timings[one.cell(shape.latent_factor)])
            samples.append(
                Sample(one.architecture, one.rows, one.side, one.side, setting, one.work, step_s)
            )
    return CostStudy(
        machine=describe_machine(device),
        device=device.type,
        commit=describe_commit(),
        versions=describe_versions(),
        command=command,
        seed=seed,
        architectures=configs,
        speeds=speeds,
        samples=samples,
    )


def measure_speed(device: torch.device, setting: Setting, *, repetitions: int = 9) -> DeviceSpeed:
    """What this machine reaches now in one setting (about a second)."""
    cells = {
        Cell(setting.dtype, "", name): probe
        for name, probe in speed_probes(device, setting.dtype).items()
    }
    timings = measure(cells, (setting.threads,), repetitions, random.Random(0), warm_up_rounds=0)
    return _speed(timings[setting.threads], setting.dtype)


def _speed(timings: Mapping[Cell, Sequence[float]], dtype: str) -> DeviceSpeed:
    return speed_of(
        {
            cell.what: statistics.median(taken_s)
            for cell, taken_s in timings.items()
            if not cell.variant and cell.dtype == dtype
        }
    )


def _plans(
    configs: Mapping[str, Mapping[str, Any]], settings: StudySettings, tokens: int
) -> Iterator[_Planned]:
    for dtype in settings.dtypes:
        for name, config in configs.items():
            for side in settings.latents:
                counted = count_work(config, (side, side), dtype, tokens)
                for rows in settings.rows:
                    work = counted.at(rows)
                    if work.conv_flops + work.matmul_flops <= 1e9 * GFLOP_MAX:
                        yield _Planned(name, rows, side, dtype, work)


def with_random_unet(base: Variant, name: str, config: Mapping[str, Any]) -> Variant:
    """The variant with another UNet: random weights, the same every time."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        unet = library.UNet2DConditionModel.from_config(dict(config))
    torch.nn.Module.to(unet.eval().requires_grad_(False), base.device, DTYPES[base.dtype])
    parts = base.pipeline.components | {"unet": unet}
    pipeline = type(base.pipeline)(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    denoiser = Denoiser(unet, base.execution)
    return replace(base, name=name, pipeline=pipeline, denoiser=denoiser, _samplers={})
