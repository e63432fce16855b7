"""Intervals for the mean of correlated values, such as the latencies of one line.

Means of long batches of neighbours are nearly independent, so Student's interval holds for them
(Conway 1963). As few as ten to thirty batches suffice (Schmeiser 1982), and longer batches are less
alike: the most batches of 30, 20 and 10 are taken whose means pass von Neumann's test (1941). The
overlapping kind uses every batch of that length (Meketon, Schmeiser 1984): the same expectation with
two thirds of the variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.intervals import Band, student

Array = NDArray[np.float64]

BATCHES = (30, 20, 10)
VALUES_MIN = 100
INDEPENDENCE_LEVEL = 0.1


@dataclass(frozen=True, slots=True)
class BatchMeans:
    """Interval of a mean by `batches` batches of `size` values, the last of all.

    `lag_1`: correlation of neighbouring batch means; `independence_p`: von Neumann's test against a
    positive one. `trusted` is False where even ten batches are alike: then the run is too short and
    the interval too narrow. `overlapping`: the interval by overlapping batch means.
    `asymptotic_variance`: n times the variance of the mean of n values, for large n.
    """

    n: int
    mean: float
    batches: int
    size: int
    band: Band
    overlapping: Band
    lag_1: float
    independence_p: float
    trusted: bool
    asymptotic_variance: float


def batch_means(values: Array) -> BatchMeans:
    """The interval, with the number of batches chosen. ValueError for fewer than 100 values."""
    n = values.size
    if n < VALUES_MIN:
        raise ValueError(f"{n} values are too few for batch means: at least {VALUES_MIN}")
    for batches in BATCHES:
        size = n // batches
        # What does not fill a batch is left out at the start, where a warm-up may be.
        means = values[n - batches * size :].reshape(batches, size).mean(axis=1)
        p = von_neumann_p(means)
        if p >= INDEPENDENCE_LEVEL:
            break
    variance = overlapping_variance(values, size)
    freedom = 1.5 * (n / size - 1)
    half = float(stats.t.ppf(0.975, freedom)) * math.sqrt(variance / n)
    mean = float(values.mean())
    return BatchMeans(
        n=n,
        mean=mean,
        batches=batches,
        size=size,
        band=student(means),
        overlapping=Band(mean - half, mean + half),
        lag_1=lag_1(means),
        independence_p=p,
        trusted=p >= INDEPENDENCE_LEVEL,
        asymptotic_variance=variance,
    )


def overlapping_variance(values: Array, size: int) -> float:
    """n times the variance of the mean, by overlapping batches of `size` values."""
    n = values.size
    running = np.concatenate(([0.0], np.cumsum(values - values.mean())))
    means = (running[size:] - running[:-size]) / size
    return float(n * size * (means @ means) / ((n - size + 1) * (n - size)))


def von_neumann_p(values: Array) -> float:
    """Chance of neighbours as much alike, if the values are independent and normal: the ratio of
    squared differences to squared deviations (von Neumann 1941), normal with mean 2 and variance
    4 (n - 2) / (n^2 - 1)."""
    n = values.size
    deviations = values - values.mean()
    power = float(deviations @ deviations)
    if power == 0:
        return 1.0
    ratio = float((np.diff(values) ** 2).sum()) / power
    return float(stats.norm.cdf((ratio - 2) / math.sqrt(4 * (n - 2) / (n * n - 1))))


def lag_1(values: Array) -> float:
    """Correlation of neighbours; 0 if all are equal."""
    deviations = values - values.mean()
    power = float(deviations @ deviations)
    return float(deviations[:-1] @ deviations[1:]) / power if power else 0.0
