"""What this machine takes for a step, an encoding and a decoding: the cost table, measured.

Steps are timed through the engine itself, with its sampler arithmetic and bookkeeping; encodings
and decodings through the objects that the engine calls. Every round measures each thing once, in a
new random order, so that a machine that slows down for a while slows all of them alike.
"""

from __future__ import annotations

import os
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipelines.costs import CostTable, Measurement, VariantCosts
from pipelines.encoding import Encoder
from pipelines.engine import StepEngine
from pipelines.jobs import PictureFailed, PictureRequest
from pipelines.loading import Variant
from policies.nouns import Ladder, Rung, Service

WARM_UP_ROUNDS = 3
STEPS_PER_FILL = 40  # steps that one set of jobs is measured for before fresh ones replace it
PROMPT = "a red circle"  # short in any tokenizer; texts are padded to one length anyway


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """What to measure: batches of jobs, rounds that count, picture size (None: the model's own)."""

    batches: tuple[int, ...] = (1, 2, 4, 8)
    repetitions: int = 30
    threads: int | None = None
    width: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        if not self.batches or min(self.batches) < 1 or self.repetitions < 1:
            raise ValueError("Profiling needs batches of at least 1 job and at least 1 repetition.")


class StepRig:
    """An engine full of jobs, to time one of its steps again and again."""

    def __init__(self, variant: Variant, batch: int, width: int, height: int) -> None:
        """`batch` jobs of the variant with its own sampler and guidance."""
        steps = min(STEPS_PER_FILL, variant.sampler_for(None).steps_max)
        rung = Rung(variant.name, steps, "max", replannable=not variant.fixed_schedule)
        self._engine = StepEngine(
            {variant.name: variant}, Ladder((rung,)), batch, max_pixels=width * height
        )
        self._service = Service(variant.name, steps, 0)
        self._batch, self._width, self._height = batch, width, height
        self._left = 0
        self._numbers = count()

    def run(self) -> float:
        """Seconds of one step that neither takes in, nor finishes, nor decodes a job."""
        if self._left < 2:
            self._refill()
        self._left -= 1
        return timed(self._engine.step, self._device)

    @property
    def _device(self) -> torch.device:
        return next(iter(self._engine.variants.values())).device

    def _refill(self) -> None:
        for job_id in self._engine.job_ids():
            self._engine.cancel(job_id)
        for number in (next(self._numbers) for _ in range(self._batch)):
            self._engine.submit(
                PictureRequest(
                    str(number), PROMPT, self._service, number, self._width, self._height
                )
            )
        failures = [event for event in self._engine.step() if isinstance(event, PictureFailed)]
        if failures:
            raise ValueError(f"The variant cannot be measured: {failures[0].message}")
        self._left = self._service.steps - 1


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds that `work` takes, the accelerator's queue emptied before and after."""
    synchronise(device)
    start_s = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - start_s


def synchronise(device: torch.device) -> None:
    """Wait for the accelerator; work on the CPU is never pending."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


Key = tuple[str, str, int]
"""Variant, what is measured ("encode", "step", "decode"), batch."""


def profile(
    variants: Mapping[str, Variant], settings: ProfileSettings, *, seed: int = 0
) -> CostTable:
    """Measure every variant and give the table; shows a progress bar on a terminal.

    `settings.threads` sets torch's threads for the whole process. ValueError if a variant cannot
    make pictures of the size asked for, or the variants differ in number type.
    """
    if len({variant.dtype for variant in variants.values()}) != 1:
        raise ValueError("Profile variants of one number type at a time, at least one of them.")
    first = next(iter(variants.values()))
    width = settings.width or first.native_size
    height = settings.height or first.native_size
    for variant in variants.values():
        variant.check_size(width, height)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    probes = _probes(variants, settings.batches, width, height)
    seconds = _measure(probes, settings.repetitions, random.Random(seed))
    return CostTable(
        machine=describe_machine(first.device),
        threads=torch.get_num_threads(),
        dtype=first.dtype,
        commit=describe_commit(),
        width=width,
        height=height,
        variants={name: _costs(name, settings.batches, seconds) for name in variants},
    )


def _probes(
    variants: Mapping[str, Variant], batches: Sequence[int], width: int, height: int
) -> dict[Key, Callable[[], float]]:
    probes: dict[Key, Callable[[], float]] = {}
    for name, variant in variants.items():
        probes[name, "encode", 1] = _encode_probe(variant)
        for batch in batches:
            probes[name, "step", batch] = StepRig(variant, batch, width, height).run
            probes[name, "decode", batch] = _decode_probe(variant, batch, width, height)
    return probes


def _encode_probe(variant: Variant) -> Callable[[], float]:
    encoder = Encoder(variant.pipeline, kept=1)  # its own, and new texts: no cache must answer
    numbers = count()

    @torch.inference_mode()
    def run() -> float:
        text = f"{PROMPT} {next(numbers)}"
        return timed(lambda: _encode(encoder, text), variant.device)

    return run


def _encode(encoder: Encoder, text: str) -> None:
    encoder.check_length(text)
    encoder.encode([text])


def _decode_probe(variant: Variant, batch: int, width: int, height: int) -> Callable[[], float]:
    generator = torch.Generator("cpu").manual_seed(batch)
    shape = (batch, *variant.latent_shape(width, height)[1:])
    latents = torch.randn(shape, generator=generator).to(variant.device)

    @torch.inference_mode()
    def run() -> float:
        return timed(lambda: variant.decoder.decode(latents), variant.device)

    return run


def _measure(
    probes: Mapping[Key, Callable[[], float]], repetitions: int, shuffler: random.Random
) -> dict[Key, list[float]]:
    seconds: dict[Key, list[float]] = {key: [] for key in probes}
    order = list(probes)
    columns = (
        TextColumn("measuring costs"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("", total=WARM_UP_ROUNDS + repetitions)
        for turn in range(WARM_UP_ROUNDS + repetitions):
            shuffler.shuffle(order)
            for key in order:
                taken_s = probes[key]()
                if turn >= WARM_UP_ROUNDS:
                    seconds[key].append(taken_s)
            progress.advance(task)
    return seconds


def _costs(
    name: str, batches: Sequence[int], seconds: Mapping[Key, Sequence[float]]
) -> VariantCosts:
    return VariantCosts(
        encode_s=summarise(seconds[name, "encode", 1]),
        step_s={batch: summarise(seconds[name, "step", batch]) for batch in sorted(batches)},
        decode_s={batch: summarise(seconds[name, "decode", batch]) for batch in sorted(batches)},
    )


def summarise(seconds: Sequence[float]) -> Measurement:
    """Median and the 10th and 90th percentile (linear between order statistics)."""
    if len(seconds) == 1:
        return Measurement.exactly(seconds[0])
    tenths = statistics.quantiles(seconds, n=10, method="inclusive")
    return Measurement(statistics.median(seconds), tenths[0], tenths[8], len(seconds))


def describe_machine(device: torch.device) -> str:
    """Processor, cores that may be used, and the accelerator if there is one."""
    name = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    accelerator = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return f"{name}, {cores} cores{accelerator}"


def describe_commit() -> str:
    """The commit of this working copy, "+" if it has changes, or "unknown" outside of one."""
    here = Path(__file__).parent
    try:
        commit, changes = (
            subprocess.run(
                ["git", *arguments], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changes else "")
