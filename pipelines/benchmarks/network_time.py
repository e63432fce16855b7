"""How much of the time is spent outside the networks: everything that is not UNet, VAE or text encoder."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.benchmarks.arrivals import Stream, pump_in_one_thread
from pipelines.benchmarks.comparison import summarise
from pipelines.benchmarks.engine_speed import SpeedRig
from pipelines.benchmarks.report import Section, Table, claim_of, figure_text
from pipelines.benchmarks.rounds import measure_rounds

OUTSIDE_GOAL = 0.10
CYCLES = 2
PROBES = 20_000
NETWORKS = (
    ("unet", "forward"),
    ("vae", "decode"),
    ("text_encoder", "forward"),
    ("text_encoder_2", "forward"),
)


class NetworkClock:
    """Adds up the seconds inside a pipeline's networks, by wrapping their calls.

    For the CPU, where a call has done its work when it returns. The networks must not call each
    other, and must be called in one thread at a time.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.calls = 0

    @contextmanager
    def watching(self, pipeline: Any) -> Iterator[None]:
        """Within it, calls of the pipeline's networks are timed."""
        wrapped = []
        for part, method in NETWORKS:
            network = getattr(pipeline, part, None)
            if network is not None:
                setattr(network, method, self._timed(getattr(network, method)))
                wrapped.append((network, method))
        try:
            yield
        finally:
            for network, method in wrapped:
                delattr(network, method)  # the class's own shows again

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            started_s = time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - started_s
                self.calls += 1

        return timed

    def cost_s(self) -> float:
        """Seconds that wrapping adds to a call, measured on an empty one."""
        watched = NetworkClock()._timed(_nothing)
        plain_s, watched_s = _time_of(_nothing), _time_of(watched)
        return max(0.0, watched_s - plain_s) / PROBES


def _nothing() -> None:
    return None


def _time_of(call: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    for _ in range(PROBES):
        call()
    return time.perf_counter() - started_s


class _Meter:
    """Runs the contestants under a clock and gives the share of the time outside the networks."""

    def __init__(self, rig: SpeedRig) -> None:
        self._rig = rig
        self._rng = random.Random(rig.seed)
        self.clock = NetworkClock()

    def engine_alone(self) -> dict[str, float]:
        return {"engine, 1 job": self._share(lambda: self._rig.engine.together(1))}

    def engine_stream(self) -> dict[str, float]:
        engine, steps = self._rig.engine, self._rig.workload.steps
        stream = Stream(
            engine, steps=steps, cycles=CYCLES, rng=self._rng, meter=lambda: self.clock.seconds
        )
        figures = pump_in_one_thread(engine, stream)
        return {self._name("engine, {} places"): 1 - figures.metered_s / figures.window_s}

    def engine_batch(self) -> dict[str, float]:
        batch = self._rig.workload.batch
        share = self._share(lambda: self._rig.engine.together(batch))
        return {self._name("engine, {} jobs at once"): share}

    def library_alone(self) -> dict[str, float]:
        return {"library, 1 picture": self._share(lambda: self._rig.library.batch(1))}

    def library_batch(self) -> dict[str, float]:
        batch = self._rig.workload.batch
        share = self._share(lambda: self._rig.library.batch(batch))
        return {self._name("library, static batch of {}"): share}

    def _name(self, pattern: str) -> str:
        return pattern.format(self._rig.workload.batch)

    def _share(self, run: Callable[[], float]) -> float:
        before_s = self.clock.seconds
        whole_s = run()
        return 1 - (self.clock.seconds - before_s) / whole_s


def measure_outside(rig: SpeedRig) -> Section:
    """The share of time outside the networks, of the engine and of the library, alone and in batches."""
    meter = _Meter(rig)
    variant = next(iter(rig.engine.engine.variants.values()))
    with meter.clock.watching(variant.pipeline), meter.clock.watching(rig.library.pipeline):
        shares = measure_rounds(
            {
                "engine alone": meter.engine_alone,
                "engine stream": meter.engine_stream,
                "engine batch": meter.engine_batch,
                "library alone": meter.library_alone,
                "library batch": meter.library_batch,
            },
            rig.pairs,
            seed=rig.seed,
            watch=rig.watch,
            label="time outside the networks",
        )
    if not meter.clock.calls:
        raise RuntimeError("No call of a network was seen; their time cannot be told.")
    cost_s, mean_s = meter.clock.cost_s(), meter.clock.seconds / meter.clock.calls
    batch = rig.workload.batch
    return Section(
        title="Time outside the networks",
        text=(
            "Share of the time that is not spent in calls of the UNet, of the autoencoder's decoder "
            "and of the text encoder. Each call is wrapped with two readings of the clock, which "
            f"cost {1e6 * cost_s:.2f} µs, {cost_s / mean_s:.1e} of a mean call, and count as inside."
        ),
        claims=(
            claim_of(
                f"outside the networks, engine with {batch} places taken",
                summarise(shares[f"engine, {batch} places"]),
                OUTSIDE_GOAL,
                at_most=True,
            ),
            claim_of(
                "outside the networks, engine with one job",
                summarise(shares["engine, 1 job"]),
                OUTSIDE_GOAL,
                at_most=True,
            ),
        ),
        table=Table(
            ("", "share outside, % (95 % interval)"),
            tuple(
                (name, figure_text(summarise(values), scale=100))
                for name, values in sorted(shares.items())
            ),
        ),
        measurements={"shares": shares, "wrapper_s": cost_s, "calls": meter.clock.calls},
    )
