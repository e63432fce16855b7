"""What the models say of a run before it (and, with its own arrivals, after it).

A static server has a closed form (`analysis.closed_forms`); a controlled one is simulated with the
live policies. Every run is simulated besides, in two ways: a priori, over many Poisson schedules of
the run's own length (which gives the band in which one run may fall by chance), and trace-driven,
with the arrivals that the server really saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.configured_server import configured_server
from analysis.intervals import Band
from analysis.runs import Outcome, Request
from analysis.server_config import ServerSettings
from analysis.simulator import Arrival, Overheads, Server, Template, simulate
from loadgen.arrivals import poisson
from policies.costs import Costs, completion_rates_per_s
from policies.exits import guided_steps

Array = NDArray[np.float64]

REPLICATIONS = 60
A_PRIORI_SEED = 1_000_000
"""Seeds of the schedules that no run uses."""


class TabulatedCosts:
    """A cost table looked up once for every batch; `factor` makes the engine that much slower."""

    def __init__(
        self, costs: Costs, variants: Sequence[str], max_batch: int, factor: float = 1.0
    ) -> None:
        batches = range(1, max_batch + 1)
        self._costs, self._factor = costs, factor
        self._encode_s = {v: factor * costs.encode_s(v) for v in variants}
        self._cut_step_s: dict[tuple[str, int, int], float] = {}
        self._step_s = {v: [factor * costs.step_s(v, b) for b in batches] for v in variants}
        self._decode_s = {v: [factor * costs.decode_s(v, b) for b in batches] for v in variants}

    def encode_s(self, variant: str) -> float:
        """Encoding one new prompt."""
        return self._encode_s[variant]

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        """One step of `batch` jobs, `guided` of them with guidance (None: all)."""
        if guided is None or guided == batch:
            return self._step_s[variant][batch - 1]
        key = variant, batch, guided
        if key not in self._cut_step_s:
            self._cut_step_s[key] = self._factor * self._costs.step_s(variant, batch, guided)
        return self._cut_step_s[key]

    def decode_s(self, variant: str, batch: int) -> float:
        """Decoding `batch` pictures."""
        return self._decode_s[variant][batch - 1]


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a run, measured or predicted, in seconds, shares and counts.

    utilisation is the share of the engines' time in boundaries, from the run's start to its last
    answer; nan where nobody counted it.
    """

    n: float
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    mean_steps: float
    degraded_share: float
    rejected: float
    utilisation: float = float("nan")


LATENCIES = ("mean_s", "p50_s", "p95_s", "p99_s")
WORK = ("mean_steps", "degraded_share")


def figures_of(
    outcomes: Sequence[Outcome],
    n: int,
    rejected: int,
    settings: ServerSettings,
    utilisation: float = float("nan"),
) -> Figures:
    """Figures over served pictures; latencies are nan if there is none.

    A picture is degraded if it had fewer steps, less guidance or another variant than full service.
    """
    if not outcomes:
        nan = float("nan")
        return Figures(n, nan, nan, nan, nan, nan, nan, rejected, utilisation)
    best = settings.ladder.best
    latencies_s = np.array([outcome.latency_s for outcome in outcomes])
    p50_s, p95_s, p99_s = np.percentile(latencies_s, (50, 95, 99))
    cut_steps = best.steps - guided_steps(best.steps, best.guidance_share)
    degraded = [
        o.variant != best.variant or o.steps < best.steps or o.cut_steps > cut_steps
        for o in outcomes
    ]
    return Figures(
        n=n,
        mean_s=float(latencies_s.mean()),
        p50_s=float(p50_s),
        p95_s=float(p95_s),
        p99_s=float(p99_s),
        mean_steps=float(np.mean([outcome.steps for outcome in outcomes])),
        degraded_share=float(np.mean(degraded)),
        rejected=rejected,
        utilisation=utilisation,
    )


@dataclass(frozen=True, slots=True)
class World:
    """A server as the models see it. `costs` reach every batch of every engine."""

    settings: ServerSettings
    costs: Costs
    overheads: Overheads

    def slower(self, factor: float) -> World:
        """The same with engines that take `factor` times as long."""
        variants, batch = self.settings.ladder.variants, self.settings.max_batch
        return replace(self, costs=TabulatedCosts(self.costs, variants, batch, factor))

    def server(self) -> Server:
        """For the simulator."""
        costs = {pool.name: self.costs for pool in self.settings.pools}
        return configured_server(self.settings, costs, self.overheads)


def full_step_rates_per_s(settings: ServerSettings, costs: Costs) -> list[float]:
    """Pictures per second at full service with n = 1, 2, ... jobs, over all engines together.

    The dispatcher sends each job to the engine with most free places, so n jobs are spread evenly.
    The last entry is the full-step capacity.
    """
    best, batches = settings.ladder.best, settings.batches_of_best()
    rates = {b: completion_rates_per_s(costs, best, b) for b in set(batches)}
    inside = [0] * len(batches)
    totals: list[float] = []
    for _ in range(sum(batches)):
        freest = max(range(len(batches)), key=lambda engine: batches[engine] - inside[engine])
        inside[freest] += 1
        spread = zip(batches, inside, strict=True)
        totals.append(sum(rates[batch][n - 1] for batch, n in spread if n))
    return totals


def capacity_per_s(settings: ServerSettings, costs: Costs) -> float:
    """Full-step pictures per second with every engine at its batch limit.

    Each picture takes its steps in a full batch, and one encoding and one decoding of its own.
    """
    return full_step_rates_per_s(settings, costs)[-1]


@dataclass(frozen=True, slots=True)
class APriori:
    """Many runs of finite length: the mean of each figure, and where 95 % of the runs fall.

    `latencies_s`: quantiles of all their latencies together; `cdf_bands` where 95 % of the single
    runs' quantiles lie, at the same levels.
    """

    figures: Figures
    bands: dict[str, Band]
    latencies_s: Array
    latency_bands: tuple[Array, Array]
    replications: int


LEVELS = np.linspace(0.005, 0.995, 100)


def a_priori(
    world: World, rate_per_s: float, duration_s: float, replications: int = REPLICATIONS
) -> APriori:
    """Predict a run that has not been: own Poisson seeds, from an empty server."""
    runs: list[Figures] = []
    quantiles: list[Array] = []
    for number in range(replications):
        times_s = poisson(rate_per_s, duration_s, A_PRIORI_SEED + number)
        if not times_s.size:
            continue
        found = _simulate(world, times_s.tolist(), [True] * times_s.size)
        outcomes = [outcome for outcome in found.outcomes if outcome is not None]
        runs.append(
            figures_of(outcomes, times_s.size, found.rejected, world.settings, found.utilisation)
        )
        quantiles.append(np.quantile([outcome.latency_s for outcome in outcomes], LEVELS))
    if not runs:
        raise ValueError("the run is too short for a single arrival; give more --seconds")
    names = Figures.__slots__
    columns = {name: np.array([getattr(run, name) for run in runs]) for name in names}
    bands = {}
    for name, column in columns.items():
        low, high = np.quantile(column, (0.025, 0.975))
        bands[name] = Band(float(low), float(high))
    low_s, high_s = np.quantile(quantiles, (0.025, 0.975), axis=0)
    return APriori(
        figures=Figures(**{name: float(column.mean()) for name, column in columns.items()}),
        bands=bands,
        latencies_s=np.mean(quantiles, axis=0),
        latency_bands=(low_s, high_s),
        replications=len(runs),
    )


@dataclass(frozen=True, slots=True)
class _Simulated:
    """Outcomes in order of arrival, None for refused jobs, and how many these were."""

    outcomes: list[Outcome | None]
    rejected: int
    utilisation: float


def _simulate(world: World, arrivals_s: Sequence[float], encodes: Sequence[bool]) -> _Simulated:
    floor = world.settings.ladder.last  # the demo's requests accept any rung
    templates = {new: Template(floor, encodes=new) for new in (True, False)}
    arrivals = [Arrival(t, templates[e]) for t, e in zip(arrivals_s, encodes, strict=True)]
    result = simulate(arrivals, world.server())
    outcomes: list[Outcome | None] = []
    for record in result.records:
        if record.status != "ok" or record.variant is None:
            outcomes.append(None)
            continue
        service_s = (record.finished_s or 0.0) - (record.started_s or 0.0)
        steps = record.steps_run or 0
        outcomes.append(
            Outcome(record.latency_s, record.variant, steps, service_s, record.cut_steps)
        )
    over_s = max((record.answered_s for record in result.records), default=0.0)
    busy_s = sum(result.busy_s.values())
    return _Simulated(
        outcomes,
        sum(record.status == "rejected" for record in result.records),
        busy_s / (len(result.busy_s) * over_s) if over_s > 0 else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Trace:
    """The arrivals that the server saw: when, how long after schedule, and with a new prompt?"""

    received_s: tuple[float, ...]
    late_s: tuple[float, ...]
    encodes: tuple[bool, ...]


def trace_of(requests: Sequence[Request]) -> Trace:
    """The trace of a run, by the server's stamps. Prompts are encoded when first seen."""
    came = sorted(
        (request.received_s, request.scheduled_s, request.prompt)
        for request in requests
        if request.received_s is not None
    )
    seen: set[str] = set()
    encodes = []
    for _, _, prompt in came:
        encodes.append(prompt not in seen)
        seen.add(prompt)
    return Trace(
        tuple(received for received, _, _ in came),
        tuple(received - scheduled for received, scheduled, _ in came),
        tuple(encodes),
    )


def trace_driven(world: World, trace: Trace) -> tuple[list[Outcome], Figures]:
    """Replay the realised arrivals. The way to the server is in the trace, as it was measured."""
    at_server = replace(world, overheads=replace(world.overheads, network_s=0.0))
    found = _simulate(at_server, trace.received_s, trace.encodes)
    served = [
        replace(outcome, latency_s=outcome.latency_s + late_s)
        for outcome, late_s in zip(found.outcomes, trace.late_s, strict=True)
        if outcome is not None
    ]
    requests = len(found.outcomes)
    return served, figures_of(served, requests, found.rejected, world.settings, found.utilisation)


SPREAD = (0.98, 0.99, 1.0, 1.01, 1.02)
"""Speeds over which a replay is averaged: a profile is no surer than this."""


def replay(world: World, trace: Trace) -> tuple[list[Outcome], Figures]:
    """`trace_driven` averaged over engines a little faster and slower.

    One late decision of a controller changes all that follow, so a single replay of a controlled
    server is itself a draw; its average over speeds that cannot be told apart is not.
    """
    outcomes: list[Outcome] = []
    runs: list[Figures] = []
    for factor in SPREAD:
        served, figures = trace_driven(world.slower(factor), trace)
        outcomes += served
        runs.append(figures)
    names = Figures.__slots__
    means = {name: float(np.mean([getattr(run, name) for run in runs])) for name in names}
    return outcomes, Figures(**means)
