"""Orders: who is first in the line.

An order gives each job a rank when it joins the line; the smallest rank starts first, and equal
ranks start in order of arrival. Ranks never change while a job waits, so the line is kept sorted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from policies.nouns import Job

DEFAULT_TIER = "default"


class Order(Protocol):
    """What the line asks of an order."""

    @property
    def by_tenant(self) -> bool:
        """Whether tenants share the engines by work before ranks are looked at."""

    def rank(self, job: Job, steps: int) -> float:
        """The job's rank, for a run of `steps` denoising steps; smaller starts earlier."""


@dataclass(frozen=True, slots=True)
class Fifo:
    """First come, first served."""

    by_tenant: bool = field(default=False, init=False)

    def rank(self, job: Job, steps: int) -> float:
        """The time of arrival."""
        del steps
        return job.arrival_s


@dataclass(frozen=True, slots=True)
class EarliestDeadline:
    """Earliest deadline first (Liu and Layland, 1973); jobs without a deadline come last.

    On one server it meets all deadlines if any order can, and none can be met beyond that: combine
    it with an admission that refuses the hopeless.
    """

    by_tenant: bool = field(default=False, init=False)

    def rank(self, job: Job, steps: int) -> float:
        """The deadline."""
        del steps
        return math.inf if job.deadline_s is None else job.deadline_s


@dataclass(frozen=True, slots=True)
class ShortestWork:
    """Shortest remaining work first (Schrage, 1968), in denoising steps.

    A waiting job has all of its work left, also one that lost its engine. Smallest mean response,
    at the price of long waits for long jobs under overload.
    """

    by_tenant: bool = field(default=False, init=False)

    def rank(self, job: Job, steps: int) -> float:
        """The steps that the job asks for."""
        del job
        return float(steps)


@dataclass(frozen=True, slots=True)
class Tiers:
    """Priority tiers with ageing.

    A job of a tier stands in line as if it had come `handicap_s` later. That is a priority which
    grows with waiting at the same slope for all (Kleinrock's delay-dependent priorities, 1964): a
    tier is preferred by a fixed head start, so nobody starves. A tier that is not named has the
    handicap of "default". ValueError for a handicap below 0 or not finite.
    """

    handicap_s: Mapping[str, float]
    by_tenant: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for tier, handicap_s in self.handicap_s.items():
            if not 0.0 <= handicap_s < math.inf:
                raise ValueError(
                    f"tier {tier!r} has the handicap {handicap_s} s; give 0 or a number of seconds"
                )

    def rank(self, job: Job, steps: int) -> float:
        """The arrival, put off by the tier's handicap."""
        del steps
        default_s = self.handicap_s.get(DEFAULT_TIER, 0.0)
        return job.arrival_s + self.handicap_s.get(job.tier, default_s)


@dataclass(frozen=True, slots=True)
class FairShare:
    """Fair share between tenants, by work done in denoising steps.

    The next job is that of the tenant who has been given least (the virtual token counter of Sheng
    et al., 2024, with steps for tokens); within a tenant, first come first served.
    """

    by_tenant: bool = field(default=True, init=False)

    def rank(self, job: Job, steps: int) -> float:
        """The time of arrival, within the tenant."""
        del steps
        return job.arrival_s
