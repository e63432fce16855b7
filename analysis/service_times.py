"""Laws of a service time, given by their moments beyond a point.

Every queueing formula here needs a service time only through P(S > x), E[S; S > x] and
E[S^2; S > x], so that is all a law has to provide. All times are in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Array = NDArray[np.float64]


class ServiceTime(Protocol):
    """A law of service times with two finite moments."""

    @property
    def mean_s(self) -> float:
        """Mean."""

    @property
    def cv2(self) -> float:
        """Squared coefficient of variation."""

    def tail_moments(self, x_s: Array) -> tuple[Array, Array, Array]:
        """P(S > x), E[S; S > x] and E[S^2; S > x] at each x >= 0."""


def _require_positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} {value} must be a finite number above 0")


@dataclass(frozen=True, slots=True)
class Deterministic:
    """Always the same time."""

    mean_s: float

    def __post_init__(self) -> None:
        _require_positive("mean_s", self.mean_s)

    @property
    def cv2(self) -> float:
        """No variation."""
        return 0.0

    def tail_moments(self, x_s: Array) -> tuple[Array, Array, Array]:
        """One step at the mean."""
        above: Array = (x_s < self.mean_s).astype(np.float64)
        return above, above * self.mean_s, above * self.mean_s**2


@dataclass(frozen=True, slots=True)
class Gamma:
    """Gamma law by mean and squared coefficient of variation; cv2 1 is the exponential."""

    mean_s: float
    cv2: float

    def __post_init__(self) -> None:
        _require_positive("mean_s", self.mean_s)
        _require_positive("cv2", self.cv2)

    def tail_moments(self, x_s: Array) -> tuple[Array, Array, Array]:
        """Regularised incomplete gamma functions of the size-biased laws."""
        shape = 1.0 / self.cv2
        y = x_s / (self.mean_s * self.cv2)
        second = self.mean_s**2 * (1 + self.cv2)
        p0, p1, p2 = (
            np.asarray(special.gammaincc(shape + biased, y), dtype=np.float64)
            for biased in range(3)
        )
        return p0, self.mean_s * p1, second * p2


def exponential(mean_s: float) -> Gamma:
    """The exponential law."""
    return Gamma(mean_s, 1.0)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Lognormal law by mean and squared coefficient of variation."""

    mean_s: float
    cv2: float

    def __post_init__(self) -> None:
        _require_positive("mean_s", self.mean_s)
        _require_positive("cv2", self.cv2)

    def tail_moments(self, x_s: Array) -> tuple[Array, Array, Array]:
        """Normal tails of the size-biased laws, which are lognormal again."""
        sigma2 = math.log1p(self.cv2)
        sigma = math.sqrt(sigma2)
        mu = math.log(self.mean_s) - sigma2 / 2
        with np.errstate(divide="ignore"):
            z = (mu - np.log(x_s)) / sigma
        second = self.mean_s**2 * (1 + self.cv2)
        p0: Array = special.ndtr(z)
        m1: Array = self.mean_s * special.ndtr(z + sigma)
        m2: Array = second * special.ndtr(z + 2 * sigma)
        return p0, m1, m2


@dataclass(frozen=True)
class Empirical:
    """The law of a sample of measured service times: each with equal weight."""

    times_s: tuple[float, ...] = field(repr=False)

    def __init__(self, times_s: ArrayLike) -> None:
        values = np.sort(np.asarray(times_s, dtype=np.float64).ravel())
        if values.size == 0:
            raise ValueError("the sample of service times is empty; measure some first")
        _require_positive("the shortest service time", float(values[0]))
        _require_positive("the longest service time", float(values[-1]))
        object.__setattr__(self, "times_s", tuple(values.tolist()))

    @property
    def mean_s(self) -> float:
        """Mean of the sample."""
        return float(self._tails[1][0])

    @property
    def cv2(self) -> float:
        """Squared coefficient of variation of the sample."""
        return max(0.0, float(self._tails[2][0]) / self.mean_s**2 - 1.0)

    @cached_property
    def _tails(self) -> tuple[Array, Array, Array]:
        values = np.asarray(self.times_s)
        return _suffix_means(values**0), _suffix_means(values), _suffix_means(values**2)

    def tail_moments(self, x_s: Array) -> tuple[Array, Array, Array]:
        """Sums over the part of the sample above each x."""
        first_above = np.searchsorted(np.asarray(self.times_s), x_s, side="right")
        zero, one, two = self._tails
        return zero[first_above], one[first_above], two[first_above]


def _suffix_means(values: Array) -> Array:
    """Sums of the last k values over their number, for k = all down to none."""
    sums: Array = np.append(np.cumsum(values[::-1])[::-1], 0.0) / values.size
    return sums
