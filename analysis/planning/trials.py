"""Simulated trials of a setting, with the same random numbers for every setting and rate.

A replication's arrivals are one sequence of exponential gaps, stretched to the rate: engines, modes
and thresholds are compared on the same stream (common random numbers), and so are neighbouring rates.
Figures are of the steady state: the first part of every run is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.planning.demand import Demand, Fleet, Setting
from analysis.records import Interval, confidence_interval
from analysis.replications import Seeds, figures_of_run, spawned
from analysis.service_times import Array
from analysis.simulator import Arrival, Template, simulate

JOBS_MIN = 2_000
JOBS_PER_PLACE = 20
"""A run has so many jobs for every place of all engines, and JOBS_MIN at least."""

JOBS_PER_PLACE_CHECKED = 60
"""Where a figure is to be believed by itself, not only compared."""

WARM_UP = 0.2
"""Share of a run that is left out."""

FEWEST, MOST = 3, 12
"""Replications of a decision: until the intervals leave no doubt, and no more than this."""

HOPELESS = 1.5
"""Who exceeds the promised time so much in one run is not tried again."""

HOPELESS_SCORE = 0.5
"""Nor who loses so much more of the score than allowed."""


@dataclass(frozen=True)
class Steady:
    """Means over replications, 95 % intervals of the two figures that decide, and the verdict."""

    figures: Mapping[str, float]
    p95_s: Interval | None
    score: Interval | None
    late: bool
    poor: bool
    decided: bool

    @property
    def meets(self) -> bool:
        """Whether response and quality both keep what was asked."""
        return not (self.late or self.poor)


@dataclass
class Trials:
    """Runs settings of one fleet and remembers them. `jobs_run` counts what was simulated."""

    fleet: Fleet
    seed: int
    most: int = MOST
    jobs_per_place: int = JOBS_PER_PLACE
    jobs_run: int = 0
    _gaps: dict[tuple[int, int], Array] = field(default_factory=dict)
    _figures: dict[tuple[float, Setting, int], Mapping[str, float]] = field(default_factory=dict)
    _seeds: tuple[Seeds, ...] = ()

    def __post_init__(self) -> None:
        if self.most < FEWEST:
            raise ValueError(f"a decision needs at least {FEWEST} replications, got {self.most}")
        self._seeds = tuple(spawned(self.seed, self.most))

    def longer(self) -> Trials:
        """The same fleet and seed in longer runs."""
        return Trials(self.fleet, self.seed, self.most, JOBS_PER_PLACE_CHECKED)

    def figures(self, rate_per_s: float, setting: Setting, replication: int) -> Mapping[str, float]:
        """One run; ValueError if no picture is finished."""
        key = rate_per_s, setting, replication
        if key not in self._figures:
            self._figures[key] = self._run(rate_per_s, setting, replication)
        return self._figures[key]

    def _run(self, rate_per_s: float, setting: Setting, replication: int) -> Mapping[str, float]:
        jobs = max(JOBS_MIN, self.jobs_per_place * setting.engines * self.fleet.places)
        seeds = self._seeds[replication]
        if (jobs, replication) not in self._gaps:
            gaps = np.random.default_rng(seeds.arrivals).exponential(1.0, jobs)
            self._gaps[jobs, replication] = np.cumsum(gaps)
        times_s = self._gaps[jobs, replication] / rate_per_s
        server = replace(self.fleet.server(setting), seed=seeds.policy)
        template = Template(self.fleet.ladder.last)
        result = simulate([Arrival(t, template) for t in times_s.tolist()], server)
        self.jobs_run += jobs
        length_s = float(times_s[-1])
        return figures_of_run(result, self.fleet.ladder, length_s, WARM_UP * length_s)

    def judge(self, demand: Demand, setting: Setting, rate_per_s: float) -> Steady:
        """Whether the setting keeps the demand at this rate.

        Replications are added until both intervals (Student, 95 %) lie on one side of what is
        asked, or `most` are run: then the means decide, and `decided` is False.
        """
        first = self.figures(rate_per_s, setting, 0)
        if self._hopeless(demand, first):
            return self._verdict(demand, [first], decided=True)
        runs = [self.figures(rate_per_s, setting, number) for number in range(FEWEST)]
        while True:
            late, poor = self._doubts(demand, runs)
            if not (late or poor) or len(runs) == self.most:
                return self._verdict(demand, runs, decided=not (late or poor))
            runs.append(self.figures(rate_per_s, setting, len(runs)))

    def glance(
        self, demand: Demand, setting: Setting, rate_per_s: float, replications: int = 1
    ) -> Steady:
        """The verdict of so few replications, to rank settings or to look along a range of rates."""
        numbers = range(replications)
        runs = [self.figures(rate_per_s, setting, number) for number in numbers]
        return self._verdict(demand, runs, decided=False)

    def _hopeless(self, demand: Demand, run: Mapping[str, float]) -> bool:
        if run["p95_s"] > HOPELESS * demand.slo_p95_s:
            return True
        least = demand.min_score
        return least is not None and 1 - run["score"] > (1 + HOPELESS_SCORE) * (1 - least) + 1e-3

    def _doubts(self, demand: Demand, runs: list[Mapping[str, float]]) -> tuple[bool, bool]:
        late = demand.slo_p95_s in confidence_interval([run["p95_s"] for run in runs])
        if demand.min_score is None:
            return late, False
        score = confidence_interval([run["score"] for run in runs])
        # A score without any spread, as full service has, is no doubt.
        return late, demand.min_score in score and score.half_width > 0

    def _verdict(self, demand: Demand, runs: list[Mapping[str, float]], *, decided: bool) -> Steady:
        means = {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}
        poor = demand.min_score is not None and means["score"] < demand.min_score - 1e-12
        enough = len(runs) > 1
        return Steady(
            figures=means | {"replications": float(len(runs))},
            p95_s=confidence_interval([run["p95_s"] for run in runs]) if enough else None,
            score=confidence_interval([r["score"] for r in runs])
            if enough and "score" in runs[0]
            else None,
            late=means["p95_s"] > demand.slo_p95_s,
            poor=poor,
            decided=decided,
        )
