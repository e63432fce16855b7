"""The schedules of the study: when jobs come, and until when each must be answered.

Loads are multiples of the full-step capacity: the completion rate of full batches at the best rung.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.simulator import Arrival, Template
from loadgen.arrivals import Burst, Day, Times, bursty, diurnal, poisson

BURST = Burst(factor=9.0, share=0.1, mean_s=5.0)
"""Nine times the mean rate in a tenth of the time, as the hours of a public text-to-image trace
peak over their mean (Alibaba, 26,823 requests), scaled to bursts of seconds."""

DAY = Day()
"""The whole run is one day: a trough of 0.1, peaks of 1.45 times the mean rate."""

DEADLINES = (4.0, 8.0)
"""Deadlines as multiples of the unloaded full-step response, each for as many jobs: one class that
waits at a screen, one that can wait longer."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """`kind` of arrivals at `load` times the full-step capacity for duration_s."""

    kind: str
    load: float
    duration_s: float

    @property
    def name(self) -> str:
        """A key for files and tables."""
        return f"{self.kind}-{self.load:g}"

    @property
    def title(self) -> str:
        """What stands above its panel."""
        shape = {"poisson": "Poisson", "bursty": "bursts", "diurnal": "a day"}[self.kind]
        return f"{shape} at {self.load:g} times capacity"

    def times_s(self, capacity_per_s: float, seed: int) -> Times:
        """The instants of arrival; the same for the same seed."""
        rate_per_s = self.load * capacity_per_s
        match self.kind:
            case "poisson":
                return poisson(rate_per_s, self.duration_s, seed)
            case "bursty":
                return bursty(rate_per_s, self.duration_s, seed, BURST)
            case "diurnal":
                return diurnal(rate_per_s, self.duration_s, seed, DAY)
        raise ValueError(f"there is no schedule of kind {self.kind!r}")


WARM_UP_S = 10.0
"""Jobs that come before are served and not counted: the server begins empty, and the dispatcher's
rates are over so long a window."""

FULL: tuple[Schedule, ...] = (
    *(Schedule("poisson", load, 50.0) for load in (0.5, 1.0, 1.5, 2.0, 3.0)),
    Schedule("bursty", 0.5, 150.0),
    Schedule("bursty", 1.0, 150.0),
    Schedule("diurnal", 1.5, 180.0),
)
"""The issue's: Poisson at 0.5 to 3 times capacity, bursts, and a day scaled to minutes."""


def shortened(schedules: Sequence[Schedule], factor: float) -> tuple[Schedule, ...]:
    """The same schedules, `factor` times as long."""
    return tuple(replace(one, duration_s=one.duration_s * factor) for one in schedules)


@dataclass(frozen=True, slots=True)
class Load:
    """One replication of a schedule, the same for every policy.

    ranks[i] is how good the cheap rung's picture of job i is among all such, 0 to 1 and uniform; a
    perfect discriminator's confidence in it.
    """

    arrivals: tuple[Arrival, ...]
    ranks: tuple[float, ...]


def draw(
    schedule: Schedule, capacity_per_s: float, unloaded_s: float, floor: int, seed: int
) -> Load:
    """Arrivals, the class of each job's deadline and the ranks, from one seed.

    unloaded_s is the response of a full run alone. Jobs accept every rung down to `floor`.
    """
    times_s = schedule.times_s(capacity_per_s, seed)
    rng = np.random.default_rng([seed, 1])
    classes = rng.integers(len(DEADLINES), size=len(times_s))
    ranks = rng.random(len(times_s))
    templates = [Template(floor, deadline_after_s=unloaded_s * factor) for factor in DEADLINES]
    arrivals = tuple(
        Arrival(at_s, templates[of], rank)
        for at_s, of, rank in zip(times_s.tolist(), classes.tolist(), ranks.tolist(), strict=True)
    )
    return Load(arrivals, tuple(ranks.tolist()))
