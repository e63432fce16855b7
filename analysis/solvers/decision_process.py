"""The server as a Markov decision process in continuous time.

State: jobs in the system, the current rung, and the phase of the arrivals. Jobs arrive as a Poisson
process, or as one modulated by a chain of phases (MMPP). All running jobs are taken to be at the
current rung, as when a change is applied in flight, and finish at the total rate that the cost
table gives for so many of them; the finishing is exponential. At every event the controller
chooses the rung, from what it sees just after the event. With `jobs_max` in the system an arrival
is refused.

What is an approximation: exponential finishing (the real engine's jobs end after a known number of
steps), the rate of one rung for all that run (in truth some have run their first steps at another),
and the late share that `lateness` charges. What follows from these is exact.

The table that comes out says for every current rung and every number of jobs which rung is next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from analysis.service_times import Array
from analysis.solvers.station import Station

Rungs = NDArray[np.int64]
"""A policy: [phase, current rung, jobs] -> next rung."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Arrivals at rates_per_s[p] while phase p lasts; change_per_s[p][q] is the rate of p -> q.

    One phase is a Poisson process. ValueError for rates that cannot be.
    """

    rates_per_s: tuple[float, ...]
    change_per_s: tuple[tuple[float, ...], ...] = ((0.0,),)

    def __post_init__(self) -> None:
        phases = len(self.rates_per_s)
        square = len(self.change_per_s) == phases and all(
            len(row) == phases for row in self.change_per_s
        )
        if not phases or not square:
            raise ValueError(f"{phases} phases need {phases} x {phases} rates of change")
        flat = [rate for row in self.change_per_s for rate in row]
        if min((*self.rates_per_s, *flat)) < 0 or not all(map(math.isfinite, flat)):
            raise ValueError("rates of arrival and of change must be finite and not negative")
        if max(self.rates_per_s) <= 0:
            raise ValueError("some phase must have arrivals")
        if any(self.change_per_s[p][p] for p in range(phases)):
            raise ValueError("a phase does not change into itself; write 0 there")

    @classmethod
    def poisson(cls, rate_per_s: float) -> Self:
        """Arrivals at one rate."""
        return cls((rate_per_s,))

    @classmethod
    def mmpp2(
        cls, quiet_per_s: float, busy_per_s: float, quiet_mean_s: float, busy_mean_s: float
    ) -> Self:
        """Two phases that last so long in the mean; ValueError for times that are not above 0."""
        if min(quiet_mean_s, busy_mean_s) <= 0:
            raise ValueError(f"phases of {quiet_mean_s} s and {busy_mean_s} s must last above 0 s")
        changes = ((0.0, 1 / quiet_mean_s), (1 / busy_mean_s, 0.0))
        return cls((quiet_per_s, busy_per_s), changes)

    @property
    def phases(self) -> int:
        """How many phases there are."""
        return len(self.rates_per_s)


@dataclass(frozen=True, slots=True)
class Prices:
    """What things cost, all in one unit.

    holding: a job in the system, per second. quality: a finished picture of score 0; one of score s
    costs (1 - s) as much. switch: a change of rung. late: a job that misses its deadline. refused:
    a job turned away. ValueError for negative prices.
    """

    holding: float = 0.0
    quality: float = 0.0
    switch: float = 0.0
    late: float = 0.0
    refused: float = 0.0

    def __post_init__(self) -> None:
        for name in ("holding", "quality", "switch", "late", "refused"):
            price = getattr(self, name)
            if not 0 <= price < math.inf:
                raise ValueError(f"the price {name} is {price}; it must not be negative")


@dataclass(frozen=True)
class DecisionProcess:
    """The chain and its costs.

    `late_share[r, n]`, or by phase as well, is the probability that a job misses its deadline which
    finds n others at rung r (see `lateness`); it may be left out if lateness costs nothing. The arrays are by
    [phase, rung in force, jobs]: `cost` per second, `total_per_s` the rate of events.
    ValueError for a jobs_max below the number of places, or a late_share that is missing.
    """

    station: Station
    arrivals: Arrivals
    prices: Prices
    jobs_max: int
    late_share: Array | None = None
    cost: Array = field(init=False)
    total_per_s: Array = field(init=False)
    finish_per_s: Array = field(init=False)
    """[rung in force, jobs]"""

    def __post_init__(self) -> None:
        station, prices = self.station, self.prices
        if self.jobs_max < station.places:
            raise ValueError(
                f"jobs_max {self.jobs_max} is below the {station.places} places of the engines"
            )
        if prices.late and self.late_share is None:
            raise ValueError("a price for lateness needs late_share; see lateness.late_shares")
        jobs = range(self.jobs_max + 1)
        finish = np.array(
            [[station.completion_per_s(n, rung) for n in jobs] for rung in range(station.rungs)]
        )
        arrive = np.asarray(self.arrivals.rates_per_s)[:, None, None]
        changes = np.asarray(self.arrivals.change_per_s).sum(axis=1)[:, None, None]
        lost = 1.0 - np.asarray(station.scores)[:, None]
        full = np.zeros(self.jobs_max + 1)
        full[-1] = 1.0
        cost = prices.holding * np.arange(self.jobs_max + 1) + prices.quality * lost * finish
        cost = cost + arrive * prices.refused * full
        if self.late_share is not None:
            if self.late_share.shape not in (finish.shape, self.shape):
                raise ValueError(
                    f"late_share has shape {self.late_share.shape}, not {finish.shape}"
                )
            # A refused job is not late as well: its price is its own.
            cost = cost + arrive * prices.late * self.late_share * (1.0 - full)
        object.__setattr__(self, "finish_per_s", finish)
        object.__setattr__(self, "cost", cost)
        object.__setattr__(self, "total_per_s", arrive * (1.0 - full) + changes + finish[None])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(phases, rungs, jobs_max + 1)"""
        return self.arrivals.phases, self.station.rungs, self.jobs_max + 1

    @property
    def size(self) -> int:
        """The number of states."""
        return math.prod(self.shape)

    def moves(self, policy: Rungs | None = None) -> tuple[Rungs, Rungs, Array]:
        """(from, to, rate per second) of every transition between states with a rung in force.

        States are numbered as in a flattened array of `shape`. Without a policy `to` is the state
        before the decision: the new number of jobs or phase, and still the former rung.
        """
        phases, rungs, sizes = self.shape
        number = np.arange(self.size).reshape(self.shape)
        jobs = np.arange(sizes)
        parts: list[tuple[Rungs, Rungs, Array | float]] = []
        for phase in range(phases):
            rate = self.arrivals.rates_per_s[phase]
            parts.append((number[phase, :, :-1], number[phase, :, 1:], rate))
            for other, change in enumerate(self.arrivals.change_per_s[phase]):
                parts.append((number[phase], number[other], change))
            parts.append((number[phase, :, 1:], number[phase, :, :-1], self.finish_per_s[:, 1:]))
        start = np.concatenate([a.ravel() for a, _, _ in parts])
        end = np.concatenate([b.ravel() for _, b, _ in parts])
        rates = np.concatenate([np.broadcast_to(r, a.shape).ravel() for a, _, r in parts])
        used = rates > 0
        start, end, rates = start[used], end[used], rates[used].astype(np.float64)
        if policy is not None:
            chosen = policy.ravel()[end]
            phase_of, jobs_of = end // (rungs * sizes), jobs[end % sizes]
            end = (phase_of * rungs + chosen) * sizes + jobs_of
        return start, end, rates

    def switching_cost(self, policy: Rungs) -> Array:
        """The price of the change of rung that the policy makes, by state before the decision."""
        current = np.arange(self.shape[1])[None, :, None]
        return np.asarray(self.prices.switch * (policy != current), dtype=np.float64)

    def checked(self, policy: Rungs) -> Rungs:
        """The policy itself; ValueError if it does not fit this process."""
        policy = np.asarray(policy, dtype=np.int64)
        if policy.shape != self.shape:
            raise ValueError(f"the policy has shape {policy.shape}, the process {self.shape}")
        if policy.min() < 0 or policy.max() >= self.shape[1]:
            raise ValueError(f"the policy must name rungs 0 to {self.shape[1] - 1}")
        return policy

    def generator(self, policy: Rungs) -> sparse.csr_array:
        """Transition rates between states with a rung in force, under a policy."""
        start, end, rates = self.moves(policy)
        shape = (self.size, self.size)
        off = sparse.coo_array((rates, (start, end)), shape=shape).tocsr()
        return sparse.csr_array(off - sparse.diags_array(np.asarray(off.sum(axis=1)).ravel()))
