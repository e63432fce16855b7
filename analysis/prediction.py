"""A run's figures, measured or predicted, and what a server can serve at most by its costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from analysis.configured_server import configured_server
from analysis.runs import Outcome
from analysis.server_config import ServerSettings
from analysis.simulator import Overheads, Server
from policies.costs import Costs, completion_rates_per_s
from policies.exits import guided_steps

Array = NDArray[np.float64]

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
