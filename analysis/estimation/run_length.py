"""How many requests a claim about a mean needs.

The mean of n correlated values has variance s / n, with s their asymptotic variance. A half-width of
a share w of the mean, at 95 %, takes n = s * (1.96 / (w * mean)) ** 2 values. For the M/G/1 queue s is
known exactly: in continuous time v ** 2 / (2 (1 - utilisation)) solves Poisson's equation for the
workload v, which gives s = rate * Cov(T, T ** 2) / (1 - utilisation) + Var(T) for response times T, and
Daley's result (1968) for waiting times in M/M/1. (Whitt 1989 plans simulations by the same variance,
in heavy traffic.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.intervals import Z95

Array = NDArray[np.float64]

HALF_WIDTH = 0.05


@dataclass(frozen=True, slots=True)
class RunLength:
    """What a run of `n` requests says of its mean, and what a half-width of 5 % would take.

    `half_width` is the present one as a share of the mean. `independent`: how many independent
    requests would say as much."""

    n: int
    half_width: float
    independent: float
    needed: int
    needed_s: float


def run_length(
    values: Array, asymptotic_variance: float, rate_per_s: float, half_width: float = HALF_WIDTH
) -> RunLength:
    """Requests needed with the variance and the correlation that this run had; `needed_s` seconds at
    `rate_per_s`. ValueError for a mean or a rate that is not above 0."""
    mean, n = float(values.mean()), values.size
    if not (mean > 0 and rate_per_s > 0):
        raise ValueError("a relative half-width needs a mean and a rate above 0")
    needed = requests_needed(mean, asymptotic_variance, half_width)
    variance = float(values.var(ddof=1))
    return RunLength(
        n=n,
        half_width=Z95 * math.sqrt(asymptotic_variance / n) / mean,
        independent=n * variance / asymptotic_variance if asymptotic_variance > 0 else float(n),
        needed=needed,
        needed_s=needed / rate_per_s,
    )


def requests_needed(mean: float, asymptotic_variance: float, half_width: float) -> int:
    """Values for a 95 % half-width of this share of the mean; ValueError for a share not above 0."""
    if not half_width > 0:
        raise ValueError(f"a half-width must be above 0, got {half_width}")
    return math.ceil(asymptotic_variance * (Z95 / (half_width * mean)) ** 2)


@dataclass(frozen=True, slots=True)
class Steady:
    """Mean and asymptotic variance of a time in the long run."""

    mean_s: float
    asymptotic_variance_s2: float


def mg1_waits(rate_per_s: float, service_moments: Sequence[float]) -> Steady:
    """Waiting times of M/G/1 from E[S], E[S^2], E[S^3], E[S^4]; ValueError if it is unstable."""
    free, wait, _ = _mg1_moments(rate_per_s, service_moments)
    variance = wait[2] - wait[1] ** 2
    covariance = wait[3] - wait[2] * wait[1]
    return Steady(wait[1], (rate_per_s * covariance + variance * (2 - free)) / free)


def mg1_responses(rate_per_s: float, service_moments: Sequence[float]) -> Steady:
    """Response times of M/G/1 from E[S], E[S^2], E[S^3], E[S^4]; ValueError if it is unstable."""
    free, _, response = _mg1_moments(rate_per_s, service_moments)
    covariance = response[3] - response[2] * response[1]
    variance = response[2] - response[1] ** 2
    return Steady(response[1], rate_per_s * covariance / free + variance)


def _mg1_moments(
    rate_per_s: float, service_moments: Sequence[float]
) -> tuple[float, list[float], list[float]]:
    """1 - utilisation, and the moments 0 to 3 of waiting (Takacs 1962) and response times."""
    service = [1.0, *service_moments]
    if len(service) != 5:
        raise ValueError(f"four moments of the service time are needed, got {len(service) - 1}")
    free = 1 - rate_per_s * service[1]
    if not 0 < free < 1:
        raise ValueError(f"utilisation {1 - free:g} must lie between 0 and 1 for a steady state")
    wait = [1.0]
    for k in range(1, 4):
        terms = (math.comb(k, i) * service[i + 1] / (i + 1) * wait[k - i] for i in range(1, k + 1))
        wait.append(rate_per_s / free * sum(terms))
    response = [
        sum(math.comb(k, i) * service[i] * wait[k - i] for i in range(k + 1)) for k in range(4)
    ]
    return free, wait, response
