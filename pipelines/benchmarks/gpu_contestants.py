"""Who is measured on a card: the library's pipeline, and the engine in several configurations."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import diffusers
import torch

from pipelines.benchmarks.contestants import EngineCaller, Workload
from pipelines.execution import Execution
from pipelines.jobs import PictureFailed, PictureRequest, StepDone
from pipelines.loading import Variant, load_variant
from pipelines.quantisation import Quantisation

SAMPLER = "euler"
SETTLE_STEPS = 2  # before a step is timed: everybody has joined, everything is compiled
TIMED_STEPS = 5
MATRIX_SIDE = {"cuda": 8192, "cpu": 256}
PRODUCTS = 10
library: Any = diffusers  # its classes are untyped


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way to run the engine's networks.

    `every_batch`: its steps are measured at every batch size, and at sizes other than the model's
    own; False for compiled ones, where every shape takes minutes.
    """

    name: str
    execution: Execution
    quantisation: Quantisation = "none"
    every_batch: bool = True


_GRAPHS = Execution(compile="cuda_graphs", channels_last=True)
_INDUCTOR = Execution(compile="inductor", channels_last=True)
CONFIGURATIONS = {
    one.name: one
    for one in (
        Configuration("bf16", Execution()),
        Configuration("channels-last", Execution(channels_last=True)),
        Configuration("cuda-graphs", _GRAPHS),
        Configuration("inductor", _INDUCTOR, every_batch=False),
        Configuration("int8-weights", Execution(channels_last=True), "int8_weights", False),
        Configuration("int8", _INDUCTOR, "int8", False),
        Configuration("float8", _INDUCTOR, "float8", False),
    )
}


def wait_for(device: torch.device) -> None:
    """Let the host wait until the card has done everything it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class LibraryOnCard:
    """The library's pipeline as its documentation calls it, in bfloat16, with Euler's sampler."""

    def __init__(self, workload: Workload, device: torch.device) -> None:
        self._workload = workload
        self._device = device
        self.pipeline = library.DiffusionPipeline.from_pretrained(
            workload.folder, dtype=torch.bfloat16
        ).to(device)
        self.pipeline.set_progress_bar_config(disable=True)
        self._seeds = itertools.count()

    def pictures_s(self, count: int) -> float:
        """Seconds of one call for `count` pictures."""
        wait_for(self._device)
        started_s = time.perf_counter()
        self._call(count, self._workload.steps, output_type="np")
        return time.perf_counter() - started_s

    def step_s(self, count: int) -> float:
        """Seconds of one step of `count` pictures, in the middle of a call."""
        marks: dict[int, float] = {}
        first, last = SETTLE_STEPS - 1, SETTLE_STEPS + TIMED_STEPS - 1

        def note(_: Any, index: int, __: Any, given: dict[str, Any]) -> dict[str, Any]:
            if index in (first, last):
                wait_for(self._device)
                marks[index] = time.perf_counter()
            return given

        self._call(count, last + 1, output_type="latent", callback_on_step_end=note)
        return (marks[last] - marks[first]) / TIMED_STEPS

    def _call(self, count: int, steps: int, **options: Any) -> None:
        workload = self._workload
        prompts = list(itertools.islice(workload.prompts, count))
        generators = [torch.Generator("cpu").manual_seed(next(self._seeds)) for _ in prompts]
        self.pipeline(
            prompts,
            num_inference_steps=steps,
            guidance_scale=workload.guidance_scale,
            width=workload.width,
            height=workload.height,
            generator=generators,
            **options,
        )


class EngineOnCard(EngineCaller):
    """The step engine with one configuration of the model, asked for pictures by Euler's sampler."""

    def __init__(self, variant: Variant, workload: Workload) -> None:
        """`workload.batch` is the number of the engine's places."""
        super().__init__(variant, workload)
        self.variant = variant

    def ask(self) -> PictureRequest:
        """A new request."""
        return replace(super().ask(), sampler=SAMPLER)

    def step_s(self, count: int) -> float:
        """Seconds of one step of `count` jobs; RuntimeError if they do not all fit one call."""
        for _ in range(count):
            self.engine.submit(self.ask())
        for _ in range(SETTLE_STEPS):
            self._step(count)
        wait_for(self.variant.device)
        started_s = time.perf_counter()
        for _ in range(TIMED_STEPS):
            self._step(count)
        wait_for(self.variant.device)
        seconds = time.perf_counter() - started_s
        self.empty()
        return seconds / TIMED_STEPS

    def _step(self, count: int) -> None:
        events = self.engine.step()
        failed = [event.message for event in events if isinstance(event, PictureFailed)]
        stepped = sum(isinstance(event, StepDone) for event in events)
        if failed or stepped != count or self.engine.batch_limits():
            self.empty()
            raise RuntimeError(
                f"{count} jobs do not run in one call: {failed[0] if failed else 'too many'}"
            )


def load_engine(
    configuration: Configuration, workload: Workload, device: torch.device
) -> EngineOnCard:
    """The folder's model in bfloat16 as the configuration says; LoadError if it cannot be so."""
    variant = load_variant(
        "full",
        workload.folder,
        dtype="bfloat16",
        device=str(device),
        sampler=SAMPLER,
        steps=workload.steps,
        execution=configuration.execution,
        quantisation=configuration.quantisation,
    )
    return EngineOnCard(variant, workload)


class NetworkSeconds:
    """Adds up how long networks run: on a card between events in its stream, else by the clock.

    So what the host does meanwhile does not count, and gaps within a network do.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._spans: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._seconds = 0.0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, counted."""
        return self._by_events(call) if self._device.type == "cuda" else self._by_clock(call)

    def _by_events(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            result = call(*arguments, **named)
            end.record()
            self._spans.append((start, end))
            return result

        return timed

    def _by_clock(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            started_s = time.perf_counter()
            result = call(*arguments, **named)
            self._seconds += time.perf_counter() - started_s
            return result

        return timed

    def take_s(self) -> float:
        """The seconds since the last time that this was asked."""
        wait_for(self._device)
        seconds = self._seconds + sum(a.elapsed_time(b) for a, b in self._spans) / 1000
        self._spans, self._seconds = [], 0.0
        return seconds


class OutsideShare:
    """How much of the time of making pictures is spent outside the networks."""

    def __init__(self, caller: EngineOnCard, workload: Workload) -> None:
        """With the caller's model, in an engine of its own."""
        self._clock = NetworkSeconds(caller.variant.device)
        denoiser = caller.variant.denoiser.within(self._clock.timed)
        self._variant = replace(caller.variant, denoiser=denoiser)
        self._engine = EngineOnCard(self._variant, workload)

    def share(self, count: int) -> float:
        """Make `count` pictures together; returns 0 to 1."""
        with self._watched():
            self._clock.take_s()
            whole_s = self._engine.together(count)
            return 1 - self._clock.take_s() / whole_s

    @contextmanager
    def _watched(self) -> Iterator[None]:
        calls = [("vae", "decode"), ("text_encoder", "forward"), ("text_encoder_2", "forward")]
        parts = ((getattr(self._variant.pipeline, part, None), method) for part, method in calls)
        networks = [(network, method) for network, method in parts if network is not None]
        for network, method in networks:
            setattr(network, method, self._clock.timed(getattr(network, method)))
        try:
            yield
        finally:
            for network, method in networks:
                delattr(network, method)  # the class's own shows again


def matrix_flops_per_s(device: torch.device) -> float:
    """What the card's bfloat16 matrix products reach: the peak that networks are held against."""
    side = MATRIX_SIDE[device.type]
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    out = torch.mm(a, b)  # chooses its kernel
    wait_for(device)
    started_s = time.perf_counter()
    for _ in range(PRODUCTS):
        torch.mm(a, b, out=out)
    wait_for(device)
    return 2 * side**3 * PRODUCTS / (time.perf_counter() - started_s)
