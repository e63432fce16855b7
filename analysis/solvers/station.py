"""The completion rates of several like engines, by rung and by jobs that run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from policies.costs import Costs, completion_rates_per_s
from policies.nouns import Ladder


@dataclass(frozen=True, slots=True)
class Station:
    """All engines of one pool together.

    rates_per_s[r][n-1] is the total completion rate while n jobs run at rung r, for every n up to
    the number of places. steps[r] are a job's denoising steps at that rung, scores[r] the quality
    of its pictures from 0 to 1. ValueError for lengths that differ or rates that are not above 0.
    """

    rates_per_s: tuple[tuple[float, ...], ...]
    scores: tuple[float, ...]
    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        rungs = len(self.rates_per_s)
        if not rungs or len(self.scores) != rungs or len(self.steps) != rungs:
            raise ValueError(
                f"{rungs} rungs of rates, {len(self.scores)} scores and {len(self.steps)} numbers"
                " of steps; give one of each per rung"
            )
        places = len(self.rates_per_s[0])
        if not places or any(len(rates) != places for rates in self.rates_per_s):
            raise ValueError("every rung needs a completion rate for each number of running jobs")
        if not all(rate > 0 and math.isfinite(rate) for row in self.rates_per_s for rate in row):
            raise ValueError("completion rates must be above 0")
        if not all(0 <= score <= 1 for score in self.scores):
            raise ValueError(f"scores {self.scores} must lie between 0 and 1")
        if min(self.steps) < 1:
            raise ValueError(f"steps {self.steps} must be at least 1")

    @classmethod
    def of(
        cls,
        costs: Costs,
        ladder: Ladder,
        engines: int,
        max_batch: int,
        scores: Sequence[float] | None = None,
    ) -> Self:
        """The station of `engines` like engines that step up to `max_batch` jobs each.

        The dispatcher sends each job to the engine with most free places, so the running jobs are
        taken to be spread evenly, all at one rung. `scores` default to the ladder's own.
        ValueError for none or no engine, and for a rung without a score.
        """
        if engines < 1:
            raise ValueError(f"engines {engines} must be at least 1")
        rates = tuple(
            _spread(completion_rates_per_s(costs, rung, max_batch), engines)
            for rung in ladder.rungs
        )
        known = ladder.scores() if scores is None else tuple(scores)
        return cls(rates, known, tuple(rung.steps for rung in ladder.rungs))

    @property
    def rungs(self) -> int:
        """How many rungs the ladder has."""
        return len(self.rates_per_s)

    @property
    def places(self) -> int:
        """How many jobs run at once."""
        return len(self.rates_per_s[0])

    @property
    def capacity_per_s(self) -> tuple[float, ...]:
        """Jobs per second with every place taken, by rung."""
        return tuple(rates[-1] for rates in self.rates_per_s)

    @property
    def fastest(self) -> int:
        """The rung of the largest capacity; of several the best."""
        return max(range(self.rungs), key=lambda rung: (self.capacity_per_s[rung], -rung))

    def completion_per_s(self, jobs: int, rung: int) -> float:
        """Total completion rate with `jobs` in the system, 0 if there is none."""
        return self.rates_per_s[rung][min(jobs, self.places) - 1] if jobs else 0.0


def _spread(of_one_per_s: Sequence[float], engines: int) -> tuple[float, ...]:
    """Rates of 1, 2, ... jobs spread evenly over engines that have these rates each."""
    rates = (0.0, *of_one_per_s)
    totals = []
    for jobs in range(1, engines * len(of_one_per_s) + 1):
        each, more = divmod(jobs, engines)
        totals.append((engines - more) * rates[each] + (more * rates[each + 1] if more else 0.0))
    return tuple(totals)
