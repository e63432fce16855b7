"""Single timed calls: one step of an engine full of jobs, one encoding, one decoding."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from itertools import count

import torch

from pipelines.encoding import Encoder
from pipelines.engine import StepEngine
from pipelines.jobs import EngineEvent, PictureFailed, PictureRequest
from pipelines.loading import Variant
from pipelines.streams import synchronise
from policies.nouns import Ladder, Rung, Service

STEPS_PER_FILL = 40  # steps that one set of jobs is measured for before fresh ones replace it
PROMPT = "a red circle"  # short in any tokenizer; texts are padded to one length anyway
NO_GUIDANCE = 1.0

Probe = Callable[[], float]
"""Does its work once and gives the seconds that it took."""


class StepRig:
    """An engine full of jobs, to time one of its steps again and again."""

    def __init__(
        self, variant: Variant, batch: int, width: int, height: int, *, guided: bool = True
    ) -> None:
        """`batch` jobs of the variant with its own sampler, and its own guidance or none."""
        steps = min(STEPS_PER_FILL, variant.sampler_for(None).steps_max)
        rung = Rung(variant.name, steps, "max", replannable=not variant.fixed_schedule)
        self._engine = StepEngine(
            {variant.name: variant}, Ladder((rung,)), batch, max_pixels=width * height
        )
        self._variant = variant
        self._guidance_scale = None if guided else NO_GUIDANCE
        self._service = Service(variant.name, steps, 0)
        self._batch, self._width, self._height = batch, width, height
        self._left = 0
        self._numbers = count()

    def run(self) -> float:
        """Seconds of one step that neither takes in, nor finishes, nor decodes a job.

        ValueError if the variant cannot be stepped, or not so many jobs at once.
        """
        if self._left < 2:
            self._refill()
        self._left -= 1
        events: list[EngineEvent] = []
        taken_s = timed(lambda: events.extend(self._engine.step()), self._variant.device)
        self._check(events)
        return taken_s

    def _refill(self) -> None:
        for job_id in self._engine.job_ids():
            self._engine.cancel(job_id)
        self._engine.step()  # drops them, and frees their places
        for number in (next(self._numbers) for _ in range(self._batch)):
            self._engine.submit(
                PictureRequest(
                    str(number),
                    PROMPT,
                    self._service,
                    number,
                    self._width,
                    self._height,
                    guidance_scale=self._guidance_scale,
                )
            )
        self._check(self._engine.step())
        self._left = self._service.steps - 1

    def _check(self, events: Iterable[EngineEvent]) -> None:
        """A step of fewer jobs, or one that memory made the engine cut in pieces, does not count."""
        failed = next((event for event in events if isinstance(event, PictureFailed)), None)
        if failed is not None:
            raise ValueError(f"Variant {self._variant.name!r} cannot be measured: {failed.message}")
        if self._engine.batch_limits():
            raise ValueError(
                f"Variant {self._variant.name!r} cannot be measured: memory does not hold a batch "
                f"of {self._batch}; profile with smaller --batches."
            )


def steady(probe: Probe, calls: int = 1) -> Probe:
    """The median of `calls` in a row, after one that does not count.

    Whatever ran before has taken the caches, and oneDNN keeps the kernels of the last thousand
    layers only; a serving engine repeats the same step and finds both as it left them.
    """

    def run() -> float:
        probe()
        return statistics.median(probe() for _ in range(calls))

    return run


def encode_probe(variant: Variant) -> Probe:
    """One new text an encoding: a cache of its own, and never the same text twice."""
    encoder = Encoder(variant.pipeline, variant.device, kept=1)
    numbers = count()

    @torch.inference_mode()
    def run() -> float:
        text = f"{PROMPT} {next(numbers)}"
        return timed(lambda: _encode(encoder, text), variant.device)

    return run


def _encode(encoder: Encoder, text: str) -> None:
    encoder.check_length(text)
    encoder.encode([text])


def decode_probe(variant: Variant, batch: int, width: int, height: int) -> Probe:
    """Latents of `batch` pictures to pixels, in one call."""
    generator = torch.Generator("cpu").manual_seed(batch)
    shape = (batch, *variant.latent_shape(width, height)[1:])
    latents = torch.randn(shape, generator=generator).to(variant.device)

    @torch.inference_mode()
    def run() -> float:
        return timed(lambda: variant.decoder.decode(latents), variant.device)

    return run


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that `work` takes, the accelerator's queue emptied before and after."""
    synchronise(device)
    start_s = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - start_s
