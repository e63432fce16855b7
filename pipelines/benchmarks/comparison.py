"""The arithmetic of side-by-side measurement: orders, medians, ratios, slopes, and how sure they are.

Two things are compared by measuring both in every round and taking the ratio within the round: a
machine that slows down for a while slows both alike, and the ratio hardly moves.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

PAIRS_MIN = 7
"""Fewer pairs than this give a median nobody should quote."""
DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval; both ends belong to it."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A sample's median, the interval of that median, and its 10th and 90th percentile."""

    median: float
    interval: Interval
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through a series: what it rises by per unit of x, with its 95 % interval."""

    slope: float
    interval: Interval


def orders(names: Sequence[str], rounds: int, seed: int) -> list[tuple[str, ...]]:
    """Who is measured when: a random order in even rounds, the same reversed in odd ones (ABBA).

    So a drift that is even over two rounds touches everybody alike.
    """
    shuffler = random.Random(seed)
    result: list[tuple[str, ...]] = []
    for number in range(rounds):
        if number % 2:
            result.append(result[-1][::-1])
        else:
            result.append(tuple(shuffler.sample(list(names), len(names))))
    return result


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Round by round, `above` over `below`; ValueError if they are not of one length."""
    return [a / b for a, b in zip(above, below, strict=True)]


def summarise(values: Sequence[float], seed: int = 0) -> Summary:
    """Median with its percentile bootstrap interval (Efron 1979); ValueError if there are no values."""
    if not values:
        raise ValueError("There is nothing to summarise: no values were measured.")
    sample = np.asarray(values, dtype=np.float64)
    rows = np.random.default_rng(seed).integers(0, sample.size, size=(DRAWS, sample.size))
    low, high = np.quantile(np.median(sample[rows], axis=1), (0.025, 0.975))
    tenths = np.quantile(sample, (0.1, 0.9))
    return Summary(
        float(np.median(sample)),
        Interval(float(low), float(high)),
        float(tenths[0]),
        float(tenths[1]),
        sample.size,
    )


def trend(x: Sequence[float], y: Sequence[float]) -> Trend:
    """Least squares line through correlated values, its interval widened for that correlation.

    The residuals' lag-1 autocorrelation r leaves n (1 - r) / (1 + r) independent values (Santer et
    al. 2000, doi:10.1029/1999JD901105). With fewer than three of those the interval is without
    end. ValueError for fewer than four points.
    """
    if len(x) != len(y) or len(x) < 4:
        raise ValueError(f"A trend needs at least 4 points, got {len(x)} and {len(y)}.")
    across, up = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centred = across - across.mean()
    power = float(centred @ centred)
    slope = float(centred @ up) / power
    residuals = up - up.mean() - slope * centred
    independent = len(x) * _shrinkage(residuals)
    freedom = independent - 2
    if freedom < 1:
        return Trend(slope, Interval(-math.inf, math.inf))
    error = math.sqrt(float(residuals @ residuals) / freedom / power)
    half = float(stats.t.ppf(0.975, freedom)) * error
    return Trend(slope, Interval(slope - half, slope + half))


def _shrinkage(residuals: NDArray[np.float64]) -> float:
    power = float(residuals @ residuals)
    if power == 0:
        return 1.0
    lag_one = max(0.0, float(residuals[:-1] @ residuals[1:]) / power)
    return (1 - lag_one) / (1 + lag_one)
