"""Execution time of a batch of pictures over all combinations of settings, in randomised blocks.

A block holds every cell once, in a random order of its own, so that a machine that slows down for a
while slows all cells alike on average, and a block is a complete replicate. A cell is measured
through the step engine that users run: its pictures are asked for at once, and the time counts
from there to the last picture. Right before it the same batch runs with few steps and is not
counted: as in service, the kernels and buffers of these shapes are then at hand, and torch's threads
are started.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from pipelines.benchmarks.contestants import is_picture
from pipelines.benchmarks.factorial_design import Cell, Design
from pipelines.benchmarks.machine import load_average
from pipelines.engine import StepEngine
from pipelines.jobs import PictureRequest
from pipelines.loading import Variant, load_variant
from pipelines.service_costs import CostSums
from policies.nouns import Ladder, Rung, Service

GUIDANCE = 2.5
WARM_UP_STEPS = 2
BLOCKS_MIN = 2
"""One replicate has no error of its own to hold effects against."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Observation:
    """One timed batch. `order` counts from 0 over the whole run.

    `parts_s` are the engine's own sums of what the time went into: encoding texts, steps, decoding,
    and the rest (bookkeeping).
    """

    cell: Cell
    block: int
    order: int
    seconds: float
    parts_s: Mapping[str, float]
    unix_s: float
    load_average: float | None

    def line(self) -> dict[str, Any]:
        """As JSON values, one level deep."""
        parts = {f"{part}_s": round(seconds, 7) for part, seconds in self.parts_s.items()}
        return {
            "block": self.block,
            "order": self.order,
            **self.cell.levels(),
            "seconds": round(self.seconds, 7),
            **parts,
            "unix_s": round(self.unix_s, 3),
            "load_average": self.load_average,
        }


class Bench:
    """An engine for every variant, number type and number of threads of a design."""

    def __init__(self, design: Design, folder: Path, prompts: Iterator[str]) -> None:
        """`folder` holds a pipeline folder for each variant; `prompts` are new ones without end.

        ValueError for what an engine could never make, before anything is measured.
        """
        self._prompts = prompts
        self._numbers = count()
        variants = {
            (name, dtype): load_variant(name, folder / name, dtype=dtype)
            for name in design.variant
            for dtype in design.dtype
        }
        for variant in variants.values():
            _check(variant, design)
        self._engines = {
            (name, dtype, threads): _engine(variant, design, threads)
            for (name, dtype), variant in variants.items()
            for threads in design.threads
        }

    def measure(self, cell: Cell) -> tuple[float, dict[str, float]]:
        """Seconds of the cell's batch, and what they went into; the same with few steps goes before."""
        engine = self._engines[cell.variant, cell.dtype, cell.threads]
        self._together(engine, cell, min(WARM_UP_STEPS, cell.steps))
        before = engine.costs.snapshot()
        seconds = self._together(engine, cell, cell.steps)
        return seconds, _parts(engine.costs.snapshot().since(before))

    def _together(self, engine: StepEngine, cell: Cell, steps: int) -> float:
        requests = [self._ask(cell, steps) for _ in range(cell.batch)]
        pictures = 0
        began_s = time.perf_counter()
        for request in requests:
            engine.submit(request)
        while pictures < cell.batch:
            for event in engine.step():
                pictures += is_picture(event)
        return time.perf_counter() - began_s

    def _ask(self, cell: Cell, steps: int) -> PictureRequest:
        number = next(self._numbers)
        return PictureRequest(
            job_id=str(number),
            prompt=next(self._prompts),
            service=Service(cell.variant, steps, 0),
            seed=number,
            width=cell.size[0],
            height=cell.size[1],
            guidance_scale=GUIDANCE,
            sampler=cell.sampler,
        )


def measure_blocks(
    design: Design,
    measure: Callable[[Cell], tuple[float, dict[str, float]]],
    *,
    seed: int,
    seconds_max: float,
    before_block: Callable[[int], object] = lambda number: None,
    clock: Clock = time.monotonic,
) -> Iterator[Observation]:
    """Measure block after block while another one fits into `seconds_max`, two blocks at least.

    A block is taken to need as long as the one before; none is begun that would not end in time, so
    that all that are begun are complete.
    """
    began_s, block_s, order = clock(), 0.0, count()
    for number, cells in enumerate(design.blocks(seed)):
        block_began_s = clock()
        late = block_began_s - began_s + block_s > seconds_max
        if late and number >= BLOCKS_MIN:
            return
        before_block(number)
        for cell in cells:
            unix_s = time.time()
            seconds, parts_s = measure(cell)
            yield Observation(cell, number, next(order), seconds, parts_s, unix_s, load_average())
        block_s = clock() - block_began_s


def _engine(variant: Variant, design: Design, threads: int) -> StepEngine:
    ladder = Ladder((Rung(variant.name, max(design.steps), "max"),))
    pixels = max(width * height for width, height in design.size)
    return StepEngine(
        {variant.name: variant}, ladder, max(design.batch), max_pixels=pixels, threads=threads
    )


def _check(variant: Variant, design: Design) -> None:
    if variant.fixed_schedule:
        raise ValueError(
            f"Variant {variant.name!r} has a fixed schedule of few steps and no guidance: its steps"
            " cannot be crossed with the other variants'."
        )
    for size in design.size:
        variant.check_size(*size)
    for sampler in design.sampler:
        for steps in design.steps:
            variant.sampler_for(sampler).plan(steps)


def _parts(sums: CostSums) -> dict[str, float]:
    return {
        part: sum(one.seconds for one in getattr(sums, part).values())
        for part in ("encode", "step", "decode", "rest")
    }
