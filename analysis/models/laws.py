"""Laws of response times, and the arithmetic on a lattice by which they are found.

A law on a lattice of step h carries its mass at 0, h, 2h, ...; each law is put there so that its
mean is kept (a mass between two points is split linearly between them), which makes percentiles
exact to the order of h^2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import brentq

from analysis.service_times import Array, ServiceTime

LATTICE_POINTS = 1 << 18
SEARCH_POINTS = 1 << 12
TAIL_TOLERANCE = 1e-10
MAX_DOUBLINGS = 24


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
    """A law by its masses on a lattice: mass[k] at k * step_s."""

    mass: Array
    step_s: float

    def cdf(self, t_s: Array) -> Array:
        """Linear between the midpoints of the lattice, where the running sum is exact."""
        running_sum = np.cumsum(self.mass)
        return np.interp(np.ravel(t_s), self._midpoints(), running_sum, left=0.0)

    def percentile(self, share: float) -> float:
        """Inverse of `cdf`."""
        require_share(share)
        return float(np.interp(share, np.cumsum(self.mass), self._midpoints()))

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
    """Masses of the sum of N copies, P(N = n) = (1 - ratio) ratio^n, by fast Fourier transform."""
    transform = np.fft.rfft(masses)
    return np.fft.irfft((1 - ratio) / (1 - ratio * transform), masses.size)


def convolve(a: Array, b: Array) -> Array:
    """Masses of the sum of two independent times; the last part must be empty of mass."""
    return np.fft.irfft(np.fft.rfft(a) * np.fft.rfft(b), a.size)


def on_long_enough_lattice(build: Callable[[int, float], Array], scale_s: float) -> LatticeLaw:
    """Build masses on a lattice whose further half holds none.

    Mass beyond the lattice wraps round to its start, so the length is what bounds the error; a
    coarse lattice finds it. ValueError if the tail is too heavy for any lattice that is fine enough.
    """
    length_s = 8 * scale_s
    for _ in range(MAX_DOUBLINGS):
        coarse = build(SEARCH_POINTS, length_s / SEARCH_POINTS)
        if float(np.abs(coarse[SEARCH_POINTS // 2 :]).sum()) < TAIL_TOLERANCE:
            step_s = length_s / LATTICE_POINTS
            return LatticeLaw(build(LATTICE_POINTS, step_s), step_s)
        length_s *= 2
    raise ValueError("the service times have too heavy a tail; check the sample for outliers")


def require_share(share: float) -> None:
    """ValueError unless `share` lies between 0 and 1."""
    if not 0 < share < 1:
        raise ValueError(f"a percentile's share must lie between 0 and 1, got {share}")
