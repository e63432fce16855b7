"""Many like engines at full service: a birth-death chain of the number of jobs in the system.

Assumptions: arrivals are Poisson; the dispatcher keeps the engines evenly filled (it sends each job
to the emptiest), so with x jobs some engines have one job more than the others and none two. The
chain's total completion rate with x jobs is that of engines so filled. While nobody waits the jobs
share the engines' time almost equally, and then the long-run law of x depends on the mean work only
(insensitivity of processor sharing: Cohen, 1979). Above the places it does not: there the line's
tail falls as in heavy traffic, (1 + cv^2) / 2 as long for work of this variation (Kingman, 1962;
0 for pictures of equal steps) as the exponential chain's.

A place is empty between a job's grant and the step boundary at which it joins; the engine's batch is
smaller by those jobs. A response is the wait of the state that an arrival finds, and a time in the
engine as they are filled then, by Little's law; it varies around that with the step boundary at which
it may begin, with how many others begin and end meanwhile, and with the engine's own jobs being one
more or less.
Validity: tens of engines and more, where one engine's fate moves little; tests and the study's page
tell how far it is off.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize, stats

from analysis.service_times import Array
from policies.costs import Costs, completion_rates_per_s
from policies.nouns import Rung

_LEFT_OUT = 1e-12
_GRID = 400
_ROUNDS = 30


def rate_with_gaps(costs: Costs, rung: Rung, jobs: int, gap_s: float) -> float:
    """Completions per second of an engine to which so many jobs are assigned, each of which spends
    gap_s outside its batch first: the batch is then no whole number, and its rate between two."""
    rates = np.array([0.0, *completion_rates_per_s(costs, rung, jobs)])
    inside = float(jobs)
    for _ in range(_ROUNDS):
        rate = float(np.interp(inside, np.arange(jobs + 1), rates))
        inside = max(jobs - rate * gap_s, 0.01)  # Little: so many are on their way
    return float(np.interp(inside, np.arange(jobs + 1), rates))


def saturated_rate_per_s(costs: Costs, rung: Rung, places: int, grant_s: float) -> float:
    """Of one engine before which a line stands: a place that a grant reaches in the middle of a step
    is empty until the step's end, and with grants that take no time not at all."""
    step_s = costs.step_s(rung.variant, places)
    return rate_with_gaps(costs, rung, places, math.ceil(grant_s / step_s) * step_s)


@dataclass(frozen=True)
class ManyEngines:
    """`engines` of `places` each, all jobs at one rung, arrivals at rate_per_s.

    grant_s passes between the decision for an engine and the job's coming there, fixed_s outside
    of both in every response. ValueError if the rate is not above 0 or not below the capacity.
    """

    rate_per_s: float
    engines: int
    places: int
    rung: Rung
    costs: Costs
    grant_s: float = 0.0
    fixed_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.rate_per_s < self.capacity_per_s:
            raise ValueError(
                f"{self.engines} engines serve up to {self.capacity_per_s:.6g} pictures/s at full"
                f" service; a rate of {self.rate_per_s:.6g}/s must be above 0 and below that"
            )

    @cached_property
    def _rates_per_s(self) -> Array:
        """Of one engine with 0, 1, ... places jobs."""
        steps_s = [self.costs.step_s(self.rung.variant, b) for b in range(1, self.places + 1)]
        gaps = [self.grant_s + (step_s / 2 if b else 0.0) for b, step_s in enumerate(steps_s)]
        return np.array(
            [0.0]
            + [rate_with_gaps(self.costs, self.rung, b + 1, gap) for b, gap in enumerate(gaps)]
        )

    @property
    def capacity_per_s(self) -> float:
        """Pictures per second while a line stands."""
        each = saturated_rate_per_s(self.costs, self.rung, self.places, self.grant_s)
        return self.engines * each

    @cached_property
    def _shares(self) -> tuple[Array, float, float]:
        """P(x jobs) for x = 0 to all places; P(more) after that; the ratio of the tail beyond."""
        x = np.arange(1, self.engines * self.places + 1)
        full, over = np.divmod(x, self.engines)
        rates = self._rates_per_s
        per_s = (
            over * rates[np.minimum(full + 1, self.places)] + (self.engines - over) * rates[full]
        )
        log = np.concatenate(([0.0], np.cumsum(math.log(self.rate_per_s) - np.log(per_s))))
        weights = np.exp(log - log.max())
        load = self.rate_per_s / self.capacity_per_s
        ratio = math.exp(2 * math.log(load))  # half as long a tail: the work does not vary
        tail = float(weights[-1]) * ratio / (1 - ratio)
        total = float(weights.sum()) + tail
        return weights / total, tail / total, ratio

    @property
    def utilisation(self) -> float:
        """Share of the engines with any job."""
        shares, _, _ = self._shares
        x = np.arange(shares.size)
        return float(1 - shares @ np.maximum(1 - x / self.engines, 0.0))

    @property
    def mean_wait_s(self) -> float:
        """Mean wait for a place."""
        _, tail, ratio = self._shares
        return tail / (1 - ratio) / self.rate_per_s

    @cached_property
    def _stays(self) -> tuple[Array, Array, Array, Array]:
        """Over a grid of states: chance, shift, spread and longest wait for a boundary, in seconds."""
        shares, tail, ratio = self._shares
        found = np.flatnonzero(shares > _LEFT_OUT * shares.max())
        pieces = np.array_split(found, min(_GRID, found.size))
        chance = [float(shares[piece].sum()) for piece in pieces]
        stays = [self._stay(float(piece @ shares[piece] / shares[piece].sum())) for piece in pieces]
        shift = [mean for mean, _, _ in stays]
        mean_s = self.engines * self.places / self.capacity_per_s
        _, spread_s, _ = self._stay(float(self.engines * self.places))
        # The tail beyond the places: as many equally likely lengths of line.
        levels = (np.arange(_GRID) + 0.5) / _GRID
        waiting = np.log(1 - levels) / math.log(ratio)
        wait_s = (waiting + 1) / self.capacity_per_s
        return (
            np.array(chance + [tail / _GRID] * _GRID),
            np.concatenate((shift, mean_s + wait_s)),
            np.array([spread for _, spread, _ in stays] + [spread_s] * _GRID),
            np.array([step for _, _, step in stays] + [0.0] * _GRID),
        )

    def _stay(self, x: float) -> tuple[float, float, float]:
        """Mean and deviation of a stay with x jobs in the system, and the step that may run at its
        beginning, in seconds."""
        most = float(self.engines * self.places)
        inside = min(max(x + 1, 1.0), most) / self.engines  # with the job itself
        inside = max(inside, 1.0)
        low = min(int(inside), self.places - 1) if self.places > 1 else 1
        high = min(low + 1, self.places)
        more = min(inside - low, 1.0)
        rates = self._rates_per_s
        # A job is in an engine of k with a chance in proportion to k.
        in_high = more * high / (more * high + (1 - more) * low)
        stays = np.array([low / rates[low], high / rates[high]])
        mean_s = 1 / float(np.array([1 - in_high, in_high]) @ (1 / stays))
        apart_s = self.costs.encode_s(self.rung.variant) + self.costs.decode_s(self.rung.variant, 1)
        others = (1 - in_high) * (low - 1) + in_high * (high - 1)
        from_others = others * apart_s**2
        # The engine goes to and fro between low and high; how often decides how it evens out.
        turns_per_s = self.rate_per_s / max(self.engines * (1 - more), 1e-9) + rates[high]
        uneven = (stays[1] - stays[0]) ** 2 / mean_s**2 * in_high * (1 - in_high)
        turns = turns_per_s * mean_s
        from_turns = uneven * 2 * mean_s**2 / turns * (1 + math.expm1(-turns) / turns)
        step_s = self.costs.step_s(self.rung.variant, max(1, round(others)))
        runs = 1.0 if x >= self.engines else 0.0  # else there is an engine that stands still
        return mean_s, math.sqrt(from_others + from_turns), step_s * runs

    def beyond(self, t_s: float) -> float:
        """P(response > t_s)."""
        chance, shift, spread, step = self._stays
        left = t_s - self.fixed_s - (shift - step / 2)
        # Normal, and evenly spread over the step that runs when the job comes: three nodes do.
        nodes = np.array([0.1127, 0.5, 0.8873])
        weights = np.array([5, 8, 5]) / 18
        late = sum(
            w * stats.norm.sf(left - node * step, scale=np.maximum(spread, 1e-9))
            for node, w in zip(nodes, weights, strict=True)
        )
        return float(np.clip(chance @ late / chance.sum(), 0.0, 1.0))

    @property
    def mean_s(self) -> float:
        """Mean response."""
        chance, shift, _, _ = self._stays
        return float(chance @ shift / chance.sum()) + self.fixed_s

    def quantile_s(self, level: float) -> float:
        """Response time that this share of the requests does not exceed."""
        high = 2 * self.mean_s
        while self.beyond(high) > 1 - level:
            high *= 2
        found = optimize.brentq(lambda t_s: self.beyond(t_s) - (1 - level), 0.0, high)
        return float(found)


def least_engines(
    rate_per_s: float,
    places: int,
    rung: Rung,
    costs: Costs,
    slo_s: float,
    *,
    grant_s: float = 0.0,
    fixed_s: float = 0.0,
    level: float = 0.95,
) -> int:
    """The fewest engines at which this share of the responses keeps within slo_s.

    ValueError if not even twice as many as one job an engine at a time would need do.
    """
    each = saturated_rate_per_s(costs, rung, places, grant_s)
    alone = rate_with_gaps(costs, rung, 1, grant_s)

    def meets(engines: int) -> bool:
        model = ManyEngines(rate_per_s, engines, places, rung, costs, grant_s, fixed_s)
        return model.beyond(slo_s) <= 1 - level

    low = int(rate_per_s / each)  # not stable
    high = math.ceil(2 * rate_per_s / alone) + 1
    if not meets(high):
        raise ValueError(
            f"{high} engines do not keep {level:.0%} of the responses within {slo_s:g} s at"
            f" {rate_per_s:g} requests/s; allow more time"
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if meets(middle) else (middle, high)
    return high
