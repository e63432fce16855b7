"""95 % intervals: Wilson's for a share, a paired bootstrap for a difference on the same prompts and seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z_95 = 1.959964  # the normal distribution's 97.5th percentile
RESAMPLES = 4000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(right: int, of: int) -> Estimate:
    """The share right/of with Wilson's interval (Wilson 1927), which stays within 0..1 at the ends."""
    if not 0 <= right <= of or of < 1:
        raise ValueError(f"a share needs 0 <= right <= of and of >= 1, got {right} of {of}")
    share = right / of
    centre = share + Z_95**2 / (2 * of)
    half = Z_95 * math.sqrt(share * (1 - share) / of + Z_95**2 / (4 * of**2))
    scale = 1 + Z_95**2 / of
    # Without the bounds, rounding leaves 1 a hair outside its own interval.
    return Estimate(share, min(share, (centre - half) / scale), max(share, (centre + half) / scale))


def bootstrap_mean(values: NDArray[np.float64], seed: int) -> Estimate:
    """The mean of values (groups, pictures), pictures drawn anew within each group (Efron 1979).

    For a paired difference, give the differences. Groups weigh alike; percentile interval.
    """
    if values.ndim != 2 or not values.size:
        raise ValueError(f"values must be (groups, pictures), got shape {values.shape}")
    rng = np.random.default_rng(seed)
    pictures = values.shape[1]
    means = np.zeros(RESAMPLES)
    for group in values:
        drawn = rng.integers(pictures, size=(RESAMPLES, pictures))
        means += group[drawn].mean(axis=1) / len(values)
    low, high = np.percentile(means, (2.5, 97.5))
    return Estimate(float(values.mean()), float(low), float(high))
