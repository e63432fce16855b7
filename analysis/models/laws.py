"""Laws of response times, and the arithmetic on a lattice by which they are found.

A law on a lattice of step h carries its mass at 0, h, 2h, ...; each law is put there so that its
mean is kept (a mass between two points is split linearly between them), which makes percentiles
exact to the order of h^2. Where the laws are smooth that error is a constant times h^2, so a second
lattice of twice the step removes it (Richardson's extrapolation).

Sums are found by fast Fourier transform. What lies beyond the lattice would wrap round to its start;
masses are damped geometrically before and restored after, so that it does so at exp(-DAMPING) of its
size (Grübel and Hermesmeier 1999, ASTIN Bulletin 29): a lattice may be shorter than the tail is long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from scipy.optimize import brentq

from analysis.service_times import Array, ServiceTime

LATTICE_POINTS = 1 << 15
SEARCH_POINTS = 1 << 12
TAIL_TOLERANCE = 1e-5
DAMPING = 20.0
MAX_DOUBLINGS = 40


class Law(Protocol):
    """The law of a time: its distribution function, and its inverse."""

    def cdf(self, t_s: Array) -> Array:
        """P(T <= t) at each t."""

    def percentile(self, share: float) -> float:
        """The time that `share` (0 to 1) of all jobs do not exceed."""


@dataclass(frozen=True, slots=True)
class FormulaLaw:
    """A law with a formula for its distribution function; `scale_s` is any time of its order."""

    formula: Callable[[float], float]
    scale_s: float

    def cdf(self, t_s: Array) -> Array:
        """The formula at each t; 0 before time 0."""
        return np.array([self.formula(t) if t >= 0 else 0.0 for t in np.ravel(t_s)])

    def percentile(self, share: float) -> float:
        """Root of the formula, to 1e-12 relative."""
        require_share(share)
        low, high = 0.0, self.scale_s
        while self.formula(high) < share:
            low, high = high, 2 * high
        if low == 0 and self.formula(0.0) >= share:
            return 0.0
        root = brentq(lambda t: self.formula(t) - share, low, high, xtol=1e-14, rtol=1e-13)
        return float(root)


@dataclass(frozen=True, slots=True)
class LatticeLaw:
    """A law by its masses on a lattice: mass[k] at k * step_s. `coarse` is the same law at twice the
    step, by which the step's error is removed."""

    mass: Array
    step_s: float
    coarse: LatticeLaw | None = None

    def cdf(self, t_s: Array) -> Array:
        """Linear between the midpoints of the lattice, where the running sum is exact."""
        running_sum = np.cumsum(self.mass)
        fine = np.interp(np.ravel(t_s), self._midpoints(), running_sum, left=0.0)
        return fine if self.coarse is None else fine + (fine - self.coarse.cdf(t_s)) / 3

    def percentile(self, share: float) -> float:
        """Inverse of `cdf`. ValueError for a share that is not between 0 and 1, or beyond the lattice."""
        fine_s = self._inverse(share)
        return (
            fine_s if self.coarse is None else fine_s + (fine_s - self.coarse._inverse(share)) / 3
        )

    def step_error_s(self, share: float) -> float:
        """What removing the step's error has changed; 0 without a coarse law."""
        return abs(self.percentile(share) - self._inverse(share))

    def _inverse(self, share: float) -> float:
        require_share(share)
        running_sum = np.cumsum(self.mass)
        if share > running_sum[-1]:
            raise ValueError(f"the lattice does not reach as far as the share {share}")
        return float(np.interp(share, running_sum, self._midpoints()))

    def _midpoints(self) -> Array:
        return _lattice(self.mass.size, self.step_s) + 0.5 * self.step_s


def service_masses(service: ServiceTime, points: int, step_s: float) -> Array:
    """Masses of the service time itself."""
    x = _lattice(points + 1, step_s)
    p0, m1, _ = service.tail_moments(x)
    return _masses(m1 - x * p0, step_s, total_excess=service.mean_s)


def residual_masses(service: ServiceTime, points: int, step_s: float) -> Array:
    """Masses of the residual service time, of density P(S > x) / E[S]."""
    x = _lattice(points + 1, step_s)
    p0, m1, m2 = service.tail_moments(x)
    excess = (m2 - 2 * x * m1 + x * x * p0) / (2 * service.mean_s)
    return _masses(excess, step_s, total_excess=float(excess[0]))


def _lattice(points: int, step_s: float) -> Array:
    return np.arange(points, dtype=np.float64) * step_s


def _masses(excess: Array, step_s: float, total_excess: float) -> Array:
    """Mean-preserving masses from the excess E[(X - x)+] on the lattice: second differences."""
    slope = np.diff(np.concatenate(([total_excess + step_s], excess))) / step_s
    return np.maximum(np.diff(slope), 0.0)


def sum_of_geometric(masses: Array, ratio: float) -> Array:
    """Masses of the sum of N copies, P(N = n) = (1 - ratio) ratio^n."""
    damping = _damping(masses.size)
    transform = np.fft.rfft(masses * damping)
    damped = np.fft.irfft((1 - ratio) / (1 - ratio * transform), masses.size)
    return np.asarray(damped / damping)


def convolve(a: Array, b: Array) -> Array:
    """Masses of the sum of two independent times, as far as the lattice reaches."""
    damping = _damping(a.size)
    damped = np.fft.irfft(np.fft.rfft(a * damping) * np.fft.rfft(b * damping), a.size)
    return np.asarray(damped / damping)


def _damping(points: int) -> Array:
    return np.asarray(np.exp(-DAMPING / points * np.arange(points)))


class FittedLaw:
    """A law that `build(points, step_s)` puts on a lattice: for each percentile on one that reaches
    twice as far, so that the step is small beside it. `scale_s` is any time of its order."""

    def __init__(self, build: Callable[[int, float], Array], scale_s: float) -> None:
        self._build, self._scale_s = build, scale_s
        self.lattice = cache(self._lattice)

    def cdf(self, t_s: Array) -> Array:
        """P(T <= t) at each t, on a lattice that holds nearly all."""
        return self.lattice(1 - TAIL_TOLERANCE).cdf(t_s)

    def percentile(self, share: float) -> float:
        """The time that `share` (0 to 1) of all jobs do not exceed."""
        return self.lattice(share).percentile(share)

    def step_error(self, share: float) -> float:
        """Relative change of a percentile by Richardson's extrapolation: an upper bound of its error."""
        return self.lattice(share).step_error_s(share) / self.percentile(share)

    def _lattice(self, share: float) -> LatticeLaw:
        """With `share` of the mass up to its middle. ValueError if the tail is too heavy for that."""
        require_share(share)
        length_s = self._scale_s / 256
        for _ in range(MAX_DOUBLINGS):
            search = self._build(SEARCH_POINTS, length_s / SEARCH_POINTS)
            if float(search[: SEARCH_POINTS // 2].sum()) >= share:
                step_s = length_s / LATTICE_POINTS
                half = LatticeLaw(self._build(LATTICE_POINTS // 2, 2 * step_s), 2 * step_s)
                return LatticeLaw(self._build(LATTICE_POINTS, step_s), step_s, half)
            length_s *= 2
        raise ValueError("the service times have too heavy a tail; check the sample for outliers")


def require_share(share: float) -> None:
    """ValueError unless `share` lies between 0 and 1."""
    if not 0 < share < 1:
        raise ValueError(f"a percentile's share must lie between 0 and 1, got {share}")
