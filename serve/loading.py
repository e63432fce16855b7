"""From a pool's configuration to an engine that is loaded and has made its first pictures.

The only module beside `serve.host` that imports torch; the deployment imports it when it starts.
"""

from __future__ import annotations

import math
import time

import torch

from pipelines.convergence import ConvergenceSettings
from pipelines.engine import StepEngine
from pipelines.execution import Execution
from pipelines.jobs import PictureFailed, PictureRequest
from pipelines.loading import Variant, load_variant
from policies.nouns import Ladder, Service
from serve.config import Config
from serve.sections import PoolSection

WARM_STEPS = 3
"""The first chooses kernels, the last decodes, and the one between them is timed."""


def ready_engine(config: Config, pool: PoolSection, device: str) -> tuple[StepEngine, float]:
    """The step engine of a pool, warmed up, and the longest that one of its calls may take, in seconds.

    Its clock is the monotonic one.
    """
    ladder = config.build_ladder()
    pixels = [math.prod(_sides(size)) for size in config.model.sizes]
    engine = StepEngine(
        load_variants(config, pool, device),
        ladder,
        pool.max_batch,
        config.exit_rules(pool),
        convergence=_convergence(config),
        max_pixels=max(pixels),
        threads=pool.threads,
        clock=time.monotonic,
    )
    if pool.compile != "none":
        for size in config.model.sizes:
            engine.warm_up(*_sides(size))
    step_s = warm_up(engine, ladder, config.model.sizes[0])
    full_batch_s = step_s * pool.max_batch * max(pixels) / pixels[0]
    return engine, max(pool.call_max_s, pool.call_max_factor * full_batch_s)


def resolve_device(wanted: str) -> str:
    """The torch device: what the pool says, or for "auto" cuda where there is one."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def load_variants(config: Config, pool: PoolSection, device: str) -> dict[str, Variant]:
    """The variants of a pool, loaded; pipelines.loading.LoadError says what is wrong."""
    execution = Execution(pool.compile, pool.channels_last, pool.row_buckets)
    loaded = {}
    for name in pool.variants:
        section = config.variants[name]
        loaded[name] = load_variant(
            name,
            section.source.removeprefix("hub:"),
            dtype=section.dtype,
            device=device,
            sampler=section.sampler,
            guidance_scale=section.guidance_scale,
            fixed_schedule=config.has_fixed_schedule(name) or None,
            weights=section.weights,
            allow_pickled_weights=section.pickled_weights,
            execution=execution,
            offload=pool.offload,
            quantisation=section.quantisation,
        )
    return loaded


def warm_up(engine: StepEngine, ladder: Ladder, size: str) -> float:
    """Make one short picture with every variant, so that the first client does not wait for it.

    Returns the seconds of one job's step, of the slowest variant. RuntimeError if a variant cannot
    make a picture.
    """
    width, height = _sides(size)
    slowest_s = 0.0
    for name, variant in engine.variants.items():
        index = next(i for i, rung in enumerate(ladder.rungs) if rung.variant == name)
        rung = ladder[index]
        steps = min(WARM_STEPS, rung.steps) if rung.replannable else rung.steps
        engine.submit(
            PictureRequest(
                job_id=f"warm-up-{name}",
                prompt="a red circle",
                service=Service(name, steps, index),
                seed=0,
                width=width,
                height=height,
                fixed=True,
            )
        )
        boundaries_s = []
        while engine.has_work():
            began_s = time.monotonic()
            for event in engine.step():
                if isinstance(event, PictureFailed):
                    raise RuntimeError(f"{event.job_id} failed: {event.message}")
            if variant.device.type == "cuda":
                torch.cuda.synchronize(variant.device)
            boundaries_s.append(time.monotonic() - began_s)
        slowest_s = max(slowest_s, min(boundaries_s))
    return slowest_s


def _convergence(config: Config) -> ConvergenceSettings | None:
    section = config.early_exit.convergence
    if section is None:
        return None
    return ConvergenceSettings(section.loss_budget, section.audited_share)


def _sides(size: str) -> tuple[int, int]:
    width, height = size.split("x")
    return int(width), int(height)
