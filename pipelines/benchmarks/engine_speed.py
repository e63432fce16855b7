"""The engine's speed: one job alone, and jobs that come at random moments, beside the library's pipeline."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from pipelines.benchmarks.arrivals import (
    Stream,
    ideal_makespan_s,
    pump_in_one_thread,
    random_arrivals,
    serve_arrivals,
)
from pipelines.benchmarks.comparison import Summary, ratios, summarise
from pipelines.benchmarks.contestants import EngineCaller, LibraryCaller, Workload
from pipelines.benchmarks.machine import Watch
from pipelines.benchmarks.report import Claim, Section, Table, claim_of, figure_text
from pipelines.benchmarks.rounds import Figures, measure_rounds

ALONE_GOAL = 1.05
STATIC_SHARE_GOAL = 0.9
SERIAL_FACTOR_GOAL = 2.0
ALONE_REPEATS = 3  # runs in a pair; their sum is the pair's time
WINDOWS = (0.1, 0.25, 0.5)  # of the static batch's duration
CYCLES = 2


@dataclass(frozen=True, slots=True)
class SpeedRig:
    """The two contestants and what they are measured with."""

    library: LibraryCaller
    engine: EngineCaller
    workload: Workload
    watch: Watch
    pairs: int
    seed: int


def measure_alone(rig: SpeedRig) -> Section:
    """One job at a time: seconds from submission to picture, against the library's call."""
    seconds = measure_rounds(
        {
            "engine": lambda: {"engine": _repeated(lambda: rig.engine.together(1))},
            "library": lambda: {"library": _repeated(lambda: rig.library.batch(1))},
        },
        rig.pairs,
        seed=rig.seed,
        watch=rig.watch,
        label="one job alone",
    )
    each = {name: [value / ALONE_REPEATS for value in values] for name, values in seconds.items()}
    ratio = summarise(ratios(each["engine"], each["library"]))
    return Section(
        title="One job alone",
        text=(
            "Seconds from submission to the finished picture, and of one call of the library's "
            f"pipeline, a new prompt every time. Each pair holds {ALONE_REPEATS} runs of either. "
            "The engine knows the empty negative prompt from earlier jobs, as it does in service; "
            "the library encodes it in every call."
        ),
        claims=(
            claim_of("one job alone: engine / library, time", ratio, ALONE_GOAL, at_most=True),
        ),
        table=Table(
            ("", "seconds, median (95 % interval)"),
            tuple((name, figure_text(summarise(each[name]))) for name in ("engine", "library")),
        ),
        measurements={"seconds_per_picture": each},
    )


def _repeated(run: Callable[[], float]) -> float:
    return sum(run() for _ in range(ALONE_REPEATS))


def measure_arrivals(rig: SpeedRig) -> tuple[Section, Section]:
    """Jobs at random moments: an open stream, and the literal handful within a window."""
    places, draws = rig.workload.batch, _Draws(rig)
    static_s = rig.library.batch(places)  # warms up, and sets the length of the windows
    contestants: dict[str, Callable[[], Mapping[str, float]]] = {
        "serial": lambda: {"serial": rig.library.one_after_another(places)},
        "stream": draws.stream,
    }
    contestants |= {f"static {size}": partial(_static, rig, size) for size in _sizes(places)}
    contestants |= {f"window {s}": partial(draws.window, s, static_s) for s in WINDOWS}
    figures = measure_rounds(
        contestants, rig.pairs, seed=rig.seed, watch=rig.watch, label="random arrivals"
    )
    return _stream_section(rig, figures), _window_section(rig, figures, draws, static_s)


def _static(rig: SpeedRig, size: int) -> dict[str, float]:
    return {f"static {size}": rig.library.batch(size)}


class _Draws:
    """Runs with random arrivals, new ones in every round, kept for the ceilings."""

    def __init__(self, rig: SpeedRig) -> None:
        self._rig = rig
        self._rng = random.Random(rig.seed)
        self._arrivals: dict[float, list[list[float]]] = {share: [] for share in WINDOWS}

    def arrivals(self, share: float) -> list[list[float]]:
        """The moments of the rounds that count, for a window of that share."""
        return self._arrivals[share][-self._rig.pairs :]

    def stream(self) -> dict[str, float]:
        stream = Stream(
            self._rig.engine, steps=self._rig.workload.steps, cycles=CYCLES, rng=self._rng
        )
        figures = pump_in_one_thread(self._rig.engine, stream)
        return {
            "stream pictures/s": figures.pictures_per_s,
            "stream places": figures.places_taken,
        }

    def window(self, share: float, static_s: float) -> dict[str, float]:
        at_s = random_arrivals(self._rig.workload.batch, share * static_s, self._rng)
        self._arrivals[share].append(at_s)
        return {f"window {share}": serve_arrivals(self._rig.engine, at_s)}


def _sizes(places: int) -> tuple[int, ...]:
    """Static batches to measure: powers of two up to the number of places, and that number."""
    return (*(2**k for k in range(places.bit_length()) if 2**k < places), places)


def _stream_section(rig: SpeedRig, figures: Figures) -> Section:
    places = rig.workload.batch
    static = [places / seconds for seconds in figures[f"static {places}"]]
    serial = [places / seconds for seconds in figures["serial"]]
    stream = figures["stream pictures/s"]
    rows = {
        f"engine, {places} places, random arrivals": stream,
        f"library, static batch of {places}": static,
        "library, one after the other": serial,
    }
    return Section(
        title="An open stream of jobs at random moments",
        text=(
            f"The engine's {places} places are taken one by one at random steps of the first job, "
            "and then always, so every job joins while the others stand at random steps. "
            f"The window opens at the {places}th finished picture and closes {CYCLES * places} "
            "pictures later. All jobs are equally long, so in it each place runs exactly "
            f"{CYCLES} jobs' worth of steps, texts and pictures: nothing is counted whose work lies "
            f"outside. Places taken, on average: {np.mean(figures['stream places']):.2f}."
        ),
        claims=(
            claim_of(
                f"{places} jobs at random moments: engine / static batch of the library, pictures/s",
                summarise(ratios(stream, static)),
                STATIC_SHARE_GOAL,
                at_most=False,
            ),
            claim_of(
                f"{places} jobs at random moments: engine / one after the other, pictures/s",
                summarise(ratios(stream, serial)),
                SERIAL_FACTOR_GOAL,
                at_most=False,
            ),
        ),
        table=Table(
            ("", "pictures/s, median (95 % interval)"),
            tuple((name, figure_text(summarise(values))) for name, values in rows.items()),
        ),
        measurements=figures,
    )


def _window_section(rig: SpeedRig, figures: Figures, draws: _Draws, static_s: float) -> Section:
    places = rig.workload.batch
    static = figures[f"static {places}"]
    rows, claims = [], []
    for share in WINDOWS:
        measured = figures[f"window {share}"]
        ceilings = [
            ideal_makespan_s(at_s, _batch_time(figures, number, places))
            for number, at_s in enumerate(draws.arrivals(share))
        ]
        of_ceiling = summarise(ratios(ceilings, measured))
        rows.append(
            (
                f"{share:.0%}",
                figure_text(summarise([places / seconds for seconds in measured])),
                figure_text(summarise([places / seconds for seconds in ceilings])),
                figure_text(of_ceiling),
                figure_text(summarise(ratios(static, measured))),
            )
        )
        claims.append(_ceiling_claim(places, share, of_ceiling))
    return Section(
        title=f"Just {places} jobs at random moments",
        text=(
            f"{places} jobs arrive uniformly within a share of {static_s:.2f} s, the time of one "
            "static batch; pictures/s count from the first arrival to the last picture. Nobody "
            "could reach the static batch's figure here, for it needs all jobs at the start; the "
            "ceiling is an ideal server that begins each job at once and advances n jobs at the "
            "speed of the library's static batch of n (measured in the same round at "
            f"{', '.join(str(size) for size in _sizes(places))}, straight lines between)."
        ),
        claims=tuple(claims),
        table=Table(
            (
                "window",
                "engine, pictures/s",
                "ceiling, pictures/s",
                "engine / ceiling",
                "engine / static batch",
            ),
            tuple(rows),
        ),
        measurements={"arrivals_s": {str(share): draws.arrivals(share) for share in WINDOWS}},
    )


def _ceiling_claim(places: int, share: float, of_ceiling: Summary) -> Claim:
    return claim_of(
        f"just {places} jobs within {share:.0%} of a static batch: engine / its ceiling, pictures/s",
        of_ceiling,
        STATIC_SHARE_GOAL,
        at_most=False,
    )


def _batch_time(figures: Figures, number: int, places: int) -> Callable[[int], float]:
    sizes = _sizes(places)
    seconds = [figures[f"static {size}"][number] for size in sizes]
    return lambda count: float(np.interp(count, sizes, seconds))
