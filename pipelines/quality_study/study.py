"""The whole study: the reference and its audits first, then every setting, on as many cores as allowed."""

from __future__ import annotations

import hashlib
import multiprocessing
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pipelines.loading import Variant, hide_loading_bars, load_variant
from pipelines.profiling import describe_commit, describe_machine
from pipelines.quality_study.bench import Bench, Reference
from pipelines.quality_study.results import CurveStep, Point, Study
from pipelines.quality_study.settings import Hosted, Setting, all_settings

_MODULES = ("torch", "diffusers", "transformers", "torchmetrics", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Scope:
    """What to measure with.

    `prompts` in each category, and `warm_up_prompts` others to tune the convergence exit with (of
    both categories they fill a tuner's window); `cores` processes of one thread each.
    """

    folders: tuple[Path, ...]
    prompts: int = 100
    seed: int = 7
    cores: int = 1
    max_batch: int = 16
    guidance_scale: float = 2.5
    warm_up_prompts: int = 100

    def __post_init__(self) -> None:
        if self.prompts < 10:
            raise ValueError(f"--prompts must be at least 10, got {self.prompts}.")
        if self.cores < 1:
            raise ValueError(f"--threads must be at least 1, got {self.cores}.")
        names = [folder.name for folder in self.folders]
        if len(set(names)) < len(names):
            raise ValueError(f"--weights: two folders have the same name: {', '.join(names)}.")


Progress = Callable[[str, int, int], None]
"""Told what goes on, how many settings are done, and how many there are."""


def run_study(
    scope: Scope,
    command: str,
    on_progress: Progress,
    choose: Callable[[Sequence[Hosted]], Sequence[Setting]] = all_settings,
) -> Study:
    """Measure every setting. ValueError, one sentence, for folders that cannot be used."""
    torch.set_num_threads(1)
    variants = load_all(scope)
    bench = _bench(scope, variants)
    hosted = [Hosted(v.name, _steps_max(v), v.fixed_schedule) for v in variants.values()]
    settings = choose(hosted)
    total = len(settings) + 1
    on_progress("tuning the convergence exit on other prompts", 0, total)
    known = bench.warm_up_audits(settings[0], scope.warm_up_prompts)
    on_progress(settings[0].name, 1, total)
    reference = bench.reference(settings[0], known)
    points = []
    with _measured(bench, scope, reference, settings) as arriving:
        for point in arriving:
            points.append(point)
            on_progress(point.setting.name, 1 + len(points), total)
    return Study(
        meta=_meta(scope, variants, command),
        fixed_schedules=tuple(v.name for v in variants.values() if v.fixed_schedule),
        row_gflops={name: row_gflops(variant) for name, variant in variants.items()},
        drawings=bench.other_drawings(),
        curve=_curve(reference),
        points=tuple(points),
    )


def load_all(scope: Scope) -> dict[str, Variant]:
    """The folders' pipelines, in float32 on the CPU, named as their folders are."""
    hide_loading_bars()
    loaded = {}
    for folder in scope.folders:
        variant = load_variant(folder.name, folder)
        if not variant.fixed_schedule:
            variant = replace(variant, guidance_scale=scope.guidance_scale)
        loaded[folder.name] = variant
    return loaded


def row_gflops(variant: Variant) -> float:
    """Billion floating-point operations of one network evaluation for one picture of native size."""
    config = variant.unet.config
    latents = torch.zeros(variant.latent_shape(variant.native_size, variant.native_size))
    text = torch.zeros(1, variant.pipeline.tokenizer.model_max_length, config.cross_attention_dim)
    counter = FlopCounterMode(display=False)
    # Fused attention on the CPU is not counted; spelled out it is.
    with sdpa_kernel(SDPBackend.MATH), counter, torch.no_grad():
        variant.unet(latents, torch.tensor([500.0]), encoder_hidden_states=text)
    return counter.get_total_flops() / 1e9


def _curve(reference: Reference) -> tuple[CurveStep, ...]:
    changes = np.median([audit.changes for audit in reference.audits.values()], axis=0)
    losses = np.median([audit.losses for audit in reference.audits.values()], axis=0)
    return tuple(
        CurveStep(step, None if step == 1 else float(change), float(loss))
        for step, (change, loss) in enumerate(zip(changes, losses, strict=True), 1)
    )


def _bench(scope: Scope, variants: Mapping[str, Variant]) -> Bench:
    return Bench(variants, prompts=scope.prompts, seed=scope.seed, max_batch=scope.max_batch)


@contextmanager
def _measured(
    bench: Bench, scope: Scope, reference: Reference, settings: Sequence[Setting]
) -> Iterator[Iterator[Point]]:
    """All points in the settings' order. Every process has one thread: the figures do not depend on how many there are."""
    if scope.cores == 1:
        yield (bench.measure(setting, reference) for setting in settings)
        return
    with ProcessPoolExecutor(
        scope.cores,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_set_up_worker,
        initargs=(scope, reference),
    ) as workers:
        yield workers.map(_measure_in_worker, settings)


class _Worker:
    """What a worker process keeps between settings."""

    bench: Bench
    reference: Reference


def _set_up_worker(scope: Scope, reference: Reference) -> None:
    torch.set_num_threads(1)
    _Worker.bench = _bench(scope, load_all(scope))
    _Worker.reference = reference


def _measure_in_worker(setting: Setting) -> Point:
    return _Worker.bench.measure(setting, _Worker.reference)


def _steps_max(variant: Variant) -> int:
    return variant.sampler_for(None).steps_max


def _meta(scope: Scope, variants: Mapping[str, Variant], command: str) -> dict[str, Any]:
    plain = {name: value for name, value in asdict(scope).items() if name != "folders"}
    return {
        "command": command,
        "commit": describe_commit(),
        "machine": describe_machine(torch.device("cpu")),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _MODULES},
        "samplers": {name: variant.sampler for name, variant in variants.items()},
        "unet_sha256": {folder.name: _digest(folder) for folder in scope.folders},
        **plain,
    }


def _digest(folder: Path) -> str:
    """Of the denoising network's weights, the first twelve digits."""
    digest = hashlib.sha256()
    for file in sorted((folder / "unet").glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
