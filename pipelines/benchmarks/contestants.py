"""Who is measured: the library's own pipeline, as a user would call it, and the step engine."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from pipelines.embedded.captions import compose
from pipelines.embedded.judge import WEIGHTS
from pipelines.embedded.scenes import random_scene
from pipelines.engine import StepEngine
from pipelines.jobs import PictureDone, PictureFailed, PictureRequest
from pipelines.loading import Variant
from pipelines.quality import load_plain
from policies.nouns import Ladder, Rung, Service

EMBEDDED = WEIGHTS.parent.parent / "full"
SAMPLER = "dpmpp_2m"
library: Any = diffusers  # its classes are untyped


@dataclass(frozen=True, slots=True)
class Workload:
    """The same work for everybody: one model, one sampler, and prompts that nobody has seen.

    `prompts` gives a new text every time, so that no cache answers. Sizes are in pixels, `batch` is
    how many pictures are made together.
    """

    folder: Path
    prompts: Iterator[str]
    steps: int = 25
    guidance_scale: float = 2.5
    width: int = 64
    height: int = 64
    batch: int = 8
    threads: int = 2

    def settings(self) -> dict[str, Any]:
        """What a reader has to know, for the header."""
        return {
            "model": f"{self.folder.parent.name}/{self.folder.name}",
            "sampler": SAMPLER,
            "steps": self.steps,
            "guidance": self.guidance_scale,
            "size": f"{self.width}x{self.height}",
            "batch": self.batch,
        }


def new_captions(seed: int) -> Iterator[str]:
    """Captions of random scenes, never the same one twice."""
    rng = np.random.default_rng(seed)
    given: set[str] = set()
    while True:
        caption = compose(random_scene(rng), rng)
        if caption not in given:
            given.add(caption)
            yield caption


class LibraryCaller:
    """The library's `StableDiffusionPipeline` with DPM-Solver++ 2M, called as its documentation does."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self.pipeline: Any = load_plain(workload.folder)
        self.pipeline.set_progress_bar_config(disable=True)
        self.pipeline.scheduler = library.DPMSolverMultistepScheduler.from_config(
            self.pipeline.scheduler.config
        )
        self._seeds = itertools.count()

    def batch(self, count: int) -> float:
        """Seconds of one call for `count` pictures."""
        workload = self._workload
        torch.set_num_threads(workload.threads)
        prompts = list(itertools.islice(workload.prompts, count))
        generators = [torch.Generator("cpu").manual_seed(next(self._seeds)) for _ in prompts]
        started_s = time.perf_counter()
        self.pipeline(
            prompts,
            num_inference_steps=workload.steps,
            guidance_scale=workload.guidance_scale,
            width=workload.width,
            height=workload.height,
            generator=generators,
            output_type="np",
        )
        return time.perf_counter() - started_s

    def one_after_another(self, count: int) -> float:
        """Seconds of `count` calls for one picture each."""
        return sum(self.batch(1) for _ in range(count))


class EngineCaller:
    """A step engine that hosts one variant, and the requests of the workload."""

    def __init__(self, variant: Variant, workload: Workload, threads: int | None = None) -> None:
        """`threads` are torch's in the engine (None: the workload's)."""
        self._workload = workload
        self._name = variant.name
        ladder = Ladder((Rung(variant.name, workload.steps, "max"),))
        self.engine = StepEngine(
            {variant.name: variant},
            ladder,
            workload.batch,
            threads=threads or workload.threads,
            clock=time.perf_counter,
        )
        self._numbers = itertools.count()

    def ask(self) -> PictureRequest:
        """A new request."""
        workload, number = self._workload, next(self._numbers)
        return PictureRequest(
            job_id=str(number),
            prompt=next(workload.prompts),
            service=Service(self._name, workload.steps, 0),
            seed=number,
            width=workload.width,
            height=workload.height,
            guidance_scale=workload.guidance_scale,
            sampler=SAMPLER,
        )

    def together(self, count: int) -> float:
        """Seconds from the submission of `count` jobs at once to the last one's picture."""
        requests = [self.ask() for _ in range(count)]
        pictures = 0
        started_s = time.perf_counter()
        for request in requests:
            self.engine.submit(request)
        while pictures < count:
            for event in self.engine.step():
                pictures += is_picture(event)
        return time.perf_counter() - started_s

    def empty(self) -> None:
        """Cancel whatever is still in the engine."""
        for job_id in self.engine.job_ids():
            self.engine.cancel(job_id)
        while self.engine.has_work():
            self.engine.step()


def is_picture(event: object) -> bool:
    """Whether the event is a finished picture; RuntimeError if a job failed, for then no figure counts."""
    if isinstance(event, PictureFailed):
        raise RuntimeError(f"A job of the benchmark failed: {event.message}")
    return isinstance(event, PictureDone)
