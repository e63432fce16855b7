"""Whether texts and pictures should be made in the thread that denoises or in one beside it."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np

from pipelines.benchmarks.arrivals import (
    Stream,
    StreamFigures,
    pump_in_one_thread,
    pump_in_two_threads,
)
from pipelines.benchmarks.comparison import ratios, summarise
from pipelines.benchmarks.contestants import EngineCaller, Workload
from pipelines.benchmarks.machine import Watch
from pipelines.benchmarks.report import Section, Table, figure_text
from pipelines.benchmarks.rounds import Figures, measure_rounds
from pipelines.loading import Variant

Pump = Callable[[EngineCaller, Stream], StreamFigures]
PUMPS: Mapping[str, Pump] = {"one thread": pump_in_one_thread, "two threads": pump_in_two_threads}
TORCH_THREADS = (1, 2)
CYCLES = 2
SWITCH_INTERVAL_S = 0.0005
"""As the server sets it: a thread that gave up the interpreter at a tensor operation gets it back soon."""


def measure_pumps(
    variant: Variant, workload: Workload, watch: Watch, *, pairs: int, seed: int
) -> Section:
    """The same stream with one and with two threads working the engine, at 1 and 2 of torch's each."""
    rng = random.Random(seed)
    callers = {threads: EngineCaller(variant, workload, threads) for threads in TORCH_THREADS}
    ways = {_way(pump, threads): (pump, threads) for threads in TORCH_THREADS for pump in PUMPS}
    with _switch_interval(SWITCH_INTERVAL_S):
        figures = measure_rounds(
            {
                way: partial(_measure, way, PUMPS[pump], callers[threads], workload.steps, rng)
                for way, (pump, threads) in ways.items()
            },
            pairs,
            seed=seed,
            watch=watch,
            label="pumps",
        )
    return Section(
        title="Decoding and encoding beside the steps",
        text=(
            f"An open stream on {workload.batch} places. In one thread a boundary is texts, one "
            "step, pictures, in turn; in two, one thread denoises and the other makes texts and "
            "pictures, each with the number of torch's threads given. A stall is the time between "
            f"the ends of two successive steps while jobs run. {_conclusion(ways, figures)}"
        ),
        table=Table(
            (
                "",
                "pictures/s",
                "/ one thread",
                "longest stall, ms",
                "95th percentile, ms",
                "median, ms",
                "places taken",
            ),
            tuple(_row(way, pump, threads, figures) for way, (pump, threads) in ways.items()),
        ),
        measurements=figures,
    )


@contextmanager
def _switch_interval(seconds: float) -> Iterator[None]:
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def _measure(
    way: str, pump: Pump, caller: EngineCaller, steps: int, rng: random.Random
) -> dict[str, float]:
    seen = pump(caller, Stream(caller, steps=steps, cycles=CYCLES, rng=rng))
    return {
        f"{way}: pictures/s": seen.pictures_per_s,
        f"{way}: longest": max(seen.gaps_s),
        f"{way}: p95": float(np.quantile(seen.gaps_s, 0.95)),
        f"{way}: median": float(np.median(seen.gaps_s)),
        f"{way}: places": seen.places_taken,
    }


def _row(way: str, pump: str, threads: int, figures: Figures) -> tuple[str, ...]:
    rate = figures[f"{way}: pictures/s"]
    plain = figures[f"{_way('one thread', threads)}: pictures/s"]
    stalls = [
        figure_text(summarise(figures[f"{way}: {name}"]), scale=1000)
        for name in ("longest", "p95", "median")
    ]
    places = f"{summarise(figures[f'{way}: places']).median:.2f}"
    return (
        way,
        figure_text(summarise(rate)),
        "1" if pump == "one thread" else figure_text(summarise(ratios(rate, plain))),
        *stalls,
        places,
    )


def _conclusion(ways: Mapping[str, object], figures: Figures) -> str:
    def median(way: str, name: str) -> float:
        return summarise(figures[f"{way}: {name}"]).median

    fastest = max(ways, key=lambda way: median(way, "pictures/s"))
    calmest = min(ways, key=lambda way: median(way, "longest"))
    return (
        f"Most pictures per second: {fastest}, {median(fastest, 'pictures/s'):.3g}; shortest longest "
        f"stall: {calmest}, {1000 * median(calmest, 'longest'):.3g} ms."
    )


def _way(pump: str, threads: int) -> str:
    return f"{pump}, torch {threads}"
