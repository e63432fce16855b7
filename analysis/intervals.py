"""Confidence intervals for shares, rates, means, correlated latencies, and the growth of a queue.

Latencies of neighbouring requests are alike (they wait in the same line), so intervals that take
them as independent are too narrow. Here blocks of neighbours are drawn instead of single ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

Z95 = 1.959963984540054
DRAWS = 2000
BLOCK_MIN = 8
HELD_MAX = 4_000_000
"""Values of draws that are held at a time."""
EFFECTIVE_MIN = 20
"""Fewer effectively independent requests than this carry no interval worth trusting."""


@dataclass(frozen=True, slots=True)
class Band:
    """An interval; both ends belong to it."""

    low: float
    high: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    @property
    def half_width(self) -> float:
        """Half of its length."""
        return (self.high - self.low) / 2


def wilson(hits: float, n: int) -> Band:
    """95 % score interval for a share of `hits` in `n` (Wilson 1927); ValueError if n is 0."""
    if n < 1 or not 0 <= hits <= n:
        raise ValueError(f"a share needs 0 <= hits <= n and n >= 1, got {hits} of {n}")
    share = hits / n
    spread = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n * n))
    middle, scale = share + Z95**2 / (2 * n), 1 + Z95**2 / n
    return Band(max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale))


def count_rate(count: int, time_s: float) -> Band:
    """95 % exact interval of a Poisson process's rate per second, `count` events in `time_s` seconds
    (Garwood 1936); ValueError if there was no time."""
    if count < 0 or not time_s > 0:
        raise ValueError(f"a rate needs a count and some time, got {count} in {time_s} s")
    low = float(stats.chi2.ppf(0.025, 2 * count)) / 2 if count else 0.0
    return Band(low / time_s, float(stats.chi2.ppf(0.975, 2 * count + 2)) / 2 / time_s)


def student(values: Array) -> Band:
    """95 % interval for the mean of independent values (Student 1908); ValueError for fewer than two."""
    n = values.size
    if n < 2:
        raise ValueError(f"an interval needs at least 2 values, got {n}")
    half = float(stats.t.ppf(0.975, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    mean = float(values.mean())
    return Band(mean - half, mean + half)


def share_difference(hits_a: float, n_a: int, hits_b: float, n_b: int) -> Band:
    """95 % interval for share a minus share b, independent samples (Newcombe 1998, method 10)."""
    a, b = hits_a / n_a, hits_b / n_b
    band_a, band_b = wilson(hits_a, n_a), wilson(hits_b, n_b)
    return Band(
        a - b - math.hypot(a - band_a.low, band_b.high - b),
        a - b + math.hypot(band_a.high - a, b - band_b.low),
    )


def correlation_length(values: Array) -> float:
    """How many neighbours one independent value is worth: 1 + 2 * (sum of autocorrelations).

    Summed up to the window of Sokal (five times the length itself); at least 1.
    """
    n = values.size
    centred = values - values.mean() if n else values
    power = float(centred @ centred)
    if n < 4 or power == 0:
        return 1.0
    length = 1.0
    for lag in range(1, n // 2):
        length += 2 * float(centred[:-lag] @ centred[lag:]) / power
        if lag >= 5 * length:
            break
    return max(1.0, length)


def effective_size(values: Array) -> float:
    """How many independent values the correlated ones are worth."""
    return values.size / correlation_length(values)


def block_bootstrap(
    values: Array, figure: Callable[[Array], Array], seed: int, draws: int = DRAWS
) -> Band:
    """95 % percentile interval of `figure` by the circular block bootstrap (Politis, Romano 1992).

    `figure` maps draws of shape (draws, n) to (draws,). Blocks are four times the correlation
    length (shorter ones gave 83 % coverage on a chain worth a ninth of its values), at most a
    quarter of the sample. ValueError for an empty sample.
    """
    n = values.size
    if n < 1:
        raise ValueError("there are no values to draw from")
    block = min(max(BLOCK_MIN, math.ceil(4 * correlation_length(values))), max(1, n // 4))
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, n, size=(draws, math.ceil(n / block)))
    found = []
    for some in np.array_split(starts, math.ceil(draws * n / HELD_MAX)):
        rows = (some[:, :, None] + np.arange(block)).reshape(len(some), -1)[:, :n] % n
        found.append(figure(values[rows]))
    low, high = np.quantile(np.concatenate(found), (0.025, 0.975))
    return Band(float(low), float(high))


def mean_of(draws: Array) -> Array:
    """Mean of each draw."""
    return np.asarray(draws.mean(axis=1))


def percentile_of(share: float) -> Callable[[Array], Array]:
    """The percentile (0 to 1) of each draw."""
    return lambda draws: np.asarray(np.quantile(draws, share, axis=1))


@dataclass(frozen=True, slots=True)
class Growth:
    """How fast a count rises: mean of the growth in equal windows, with Student's interval."""

    per_s: float
    band: Band
    later_half_per_s: float
    windows: int


def growth(times_s: Sequence[float], counts: Sequence[float]) -> Growth:
    """Growth between equally spaced looks at a count, per second.

    A queue in overload is a random walk with drift: its increments, not its levels, are nearly
    independent, so a line fitted through the levels would look far surer than it is.
    ValueError for fewer than four windows.
    """
    if len(times_s) != len(counts) or len(times_s) < 5:
        raise ValueError(f"growth needs at least 5 looks at the count, got {len(times_s)}")
    rates = np.diff(np.asarray(counts, dtype=np.float64)) / np.diff(np.asarray(times_s))
    n = rates.size
    return Growth(float(rates.mean()), student(rates), float(rates[n // 2 :].mean()), n)
