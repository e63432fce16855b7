"""One server, two speeds, one threshold: the textbook's problem of service rate control, exactly.

Jobs come as a Poisson process. Below `threshold` jobs in the system they are served at the slow
rate, from there on at the fast one; both services are exponential. A job in the system costs
`holding` per unit of time, and a job that departs while the server is fast costs `degraded`. That a
single threshold is optimal among all policies is a theorem (Crabill 1972, Management Science 18;
George and Harrison 2001, Operations Research 49); `policy_iteration` finds the same on the chain.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.models.steady import Unstable


@dataclass(frozen=True, slots=True)
class TwoSpeeds:
    """The problem. ValueError unless rates are above 0, slow < fast, and costs are not negative.

    Unstable if not even the fast rate keeps up with the arrivals.
    """

    rate_per_s: float
    slow_per_s: float
    fast_per_s: float
    holding: float
    degraded: float

    def __post_init__(self) -> None:
        if not 0 < self.slow_per_s < self.fast_per_s:
            raise ValueError(
                f"the slow rate {self.slow_per_s} must lie above 0 and below the fast one"
                f" {self.fast_per_s}"
            )
        if not self.rate_per_s > 0:
            raise ValueError(f"rate_per_s {self.rate_per_s} must be above 0")
        if not self.holding > 0 or self.degraded < 0:
            raise ValueError(
                f"the holding cost {self.holding} must be above 0 and the cost of a degraded job"
                f" {self.degraded} not negative"
            )
        if self.rate_per_s >= self.fast_per_s:
            raise Unstable(self.rate_per_s / self.fast_per_s)

    def cost(self, threshold: int) -> float:
        """Long-run cost per unit of time if the server is fast from `threshold` (>= 1) jobs on.

        From the stationary law of the birth-death chain. Below the threshold its weights are powers
        of the slow utilisation; above it they form a geometric series, which is summed in closed
        form, so that nothing is truncated.
        """
        if threshold < 1:
            raise ValueError(f"threshold {threshold} must be at least 1")
        slow, fast = self.rate_per_s / self.slow_per_s, self.rate_per_s / self.fast_per_s
        weights = [1.0]
        for _ in range(1, threshold):
            # Scaled to the largest, so that a slow utilisation above 1 cannot overflow.
            weights.append(weights[-1] * slow)
            if weights[-1] > 1e200:
                weights = [weight / weights[-1] for weight in weights]
        first = weights[-1] * fast  # of n = threshold
        fast_mass = first / (1 - fast)
        fast_jobs = fast_mass * (threshold + fast / (1 - fast))
        total = sum(weights) + fast_mass
        jobs = (sum(n * weight for n, weight in enumerate(weights)) + fast_jobs) / total
        return self.holding * jobs + self.degraded * self.fast_per_s * fast_mass / total


@dataclass(frozen=True, slots=True)
class Best:
    """The optimal threshold, its long-run cost, and that of its neighbours (None below 1)."""

    threshold: int
    cost: float
    cost_below: float | None
    cost_above: float


def optimal_threshold(problem: TwoSpeeds) -> Best:
    """The threshold of least cost; of thresholds that cost the same the smallest.

    A job in a longer line is worth more to have served, so a threshold that is no worse than its
    two neighbours satisfies the optimality equation everywhere: the first valley is the only one.
    """
    threshold, cost, below = 1, problem.cost(1), None
    while True:
        above = problem.cost(threshold + 1)
        if above >= cost:
            return Best(threshold, cost, below, above)
        threshold, cost, below = threshold + 1, above, cost
