"""Short ways to run an engine to its end in tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import diffusers
import numpy as np
import torch

from pipelines.engine import StepEngine
from pipelines.jobs import EngineEvent, Picture, PictureDone, PictureFailed, PictureRequest
from pipelines.loading import Variant
from pipelines.preparing import embeddings_of
from pipelines.running import RunningJob
from pipelines.slots import SlotBank
from tests.pipelines.tiny_pipelines import LADDER

library: Any = diffusers  # its classes are untyped
LIBRARY_CLASSES = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler_ancestral": "EulerAncestralDiscreteScheduler",
    "dpmpp_2m": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lcm": "LCMScheduler",
}
REPLANNABLE = tuple(name for name in LIBRARY_CLASSES if name != "lcm")


def engine_of(*variants: Variant, max_batch: int = 8, **options: Any) -> StepEngine:
    return StepEngine({v.name: v for v in variants}, LADDER, max_batch, **options)


def run_out(engine: StepEngine) -> list[EngineEvent]:
    events: list[EngineEvent] = []
    while engine.has_work():
        events += engine.step()
    return events


def done(events: Sequence[EngineEvent]) -> dict[str, PictureDone]:
    return {event.job_id: event for event in events if isinstance(event, PictureDone)}


def failed(events: Sequence[EngineEvent]) -> dict[str, str]:
    return {event.job_id: event.message for event in events if isinstance(event, PictureFailed)}


def alone(variant: Variant, asked: PictureRequest) -> PictureDone:
    engine = engine_of(variant)
    engine.submit(asked)
    return done(run_out(engine))[asked.job_id]


def difference(a: Picture, b: Picture) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def start(bank: SlotBank, asked: PictureRequest) -> RunningJob:
    """Put a job into a bank without an engine around it."""
    job = RunningJob(asked, bank.variant, started_s=0.0)
    latents = job.draw().to(bank.variant.device) * job.plan.initial_scale
    bank.join(job, latents, *embeddings_of(asked, bank.variant))
    return job


def latents_of(bank: SlotBank, job: RunningJob) -> torch.Tensor:
    return bank.state.latents[job.row : job.row + 1].clone()


def estimate_of(bank: SlotBank, job: RunningJob) -> torch.Tensor:
    return bank.state.estimate[job.row : job.row + 1].clone()


def with_sampler(pipeline: Any, sampler: str) -> Any:
    """The library's pipeline with the sampler of that name, made from its own settings."""
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = getattr(library, LIBRARY_CLASSES[sampler]).from_config(
        pipeline.scheduler.config
    )
    return pipeline


def library_call(pipeline: Any, asked: PictureRequest, output_type: str = "np") -> Any:
    """What the library's own pipeline makes of a request: an array or a tensor of one picture."""
    return pipeline(
        prompt=asked.prompt,
        negative_prompt=asked.negative_prompt or None,
        num_inference_steps=asked.service.steps,
        guidance_scale=asked.guidance_scale,
        guidance_rescale=asked.guidance_rescale,
        width=asked.width,
        height=asked.height,
        generator=torch.Generator("cpu").manual_seed(asked.seed),
        output_type=output_type,
    ).images


def library_picture(pipeline: Any, asked: PictureRequest) -> Picture:
    picture: Picture = np.round(library_call(pipeline, asked)[0] * 255).astype(np.uint8)
    return picture
