"""The step-level simulator's speed, timed like that of the compiled loops.

What is timed is `analysis.simulator.simulate` as every study uses it: the live dispatcher, an
engine that takes its batch through every step, one record a request. The costs are round numbers
(speed does not depend on them, only on how many jobs share a boundary): a step takes 10 ms and
2.5 ms for each row of its batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np

from analysis.simulator import Arrival, EngineSpec, Server, Template, simulate
from analysis.textbook.benchmark import Measured, Speed
from policies.admission import Admission
from policies.costs import completion_rate_per_s
from policies.nouns import Ladder, Rung
from policies.policy import Policy

JOBS = 20_000
STEPS = 25
PLACES = 8
LOAD = 0.6
"""Offered load as a share of what the engine can do with all places taken."""

GOAL_PER_S = 1e4
"""Jobs a second on one core that it is to reach."""


class RoundCosts:
    """Encoding 4 ms, a step 10 ms and 2.5 ms a row, decoding 6 ms a picture."""

    def encode_s(self, variant: str) -> float:
        """Seconds for one prompt."""
        return 0.004

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        """Seconds for one step of `batch` jobs, of which `guided` (None: all) need two rows."""
        return 0.010 + 0.0025 * (batch + (batch if guided is None else guided))

    def decode_s(self, variant: str, batch: int) -> float:
        """Seconds for `batch` pictures."""
        return 0.006 * batch


def measure_steps(
    replications: int,
    seed: int,
    jobs: int = JOBS,
    finished: Callable[[], None] = lambda: None,
) -> Measured:
    """Time runs of `jobs` jobs of 25 steps on one engine of 8 places at moderate load.

    `finished` is called after each run.
    """
    if replications < 1 or jobs < 1:
        raise ValueError(f"replications {replications} and jobs {jobs} must be at least 1")
    policy = Policy(Ladder((Rung("full", STEPS, "high"),)), admission=Admission(max_waiting=jobs))
    costs, template = RoundCosts(), Template(floor=0)
    server = Server(policy, {"main": costs}, (EngineSpec("engine", PLACES),))
    capacity_per_s = completion_rate_per_s(costs, policy.ladder.rungs[0], PLACES)
    gap_s = 1 / (LOAD * capacity_per_s)
    per_s = []
    for stream in np.random.SeedSequence(seed).spawn(replications):
        gaps_s = gap_s * np.random.default_rng(stream).standard_exponential(jobs)
        arrivals = [Arrival(at_s, template) for at_s in np.cumsum(gaps_s).tolist()]
        begun_s = time.perf_counter()
        simulate(arrivals, server)
        per_s.append(jobs / (time.perf_counter() - begun_s))
        finished()
    what = f"{jobs:,} jobs step by step: {STEPS} steps, one engine of {PLACES}, load {LOAD:g}"
    return Measured(Speed("steps", what, median(per_s), min(per_s), max(per_s), GOAL_PER_S), ())
