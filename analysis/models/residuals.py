"""Integrals over what is left of a deterministic service when a job arrives.

An arriving job sees the service in progress with a residual time r; those ahead of it came before,
those behind come after. Given r, the rest of a response is a sum of deterministic services, so its
distribution function jumps where lattice times are met and is analytic in r between. Gauss-Legendre
on each piece, and polynomials of the same degree for the density, are exact up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from scipy import special

from analysis.service_times import Array

_NODES = 12
_UNIT_NODES, _UNIT_WEIGHTS = np.polynomial.legendre.leggauss(_NODES)


def poisson_table(means: Array, size: int) -> Array:
    """[node, k]: Poisson probabilities of k = 0 .. size - 1 at each mean."""
    k = np.arange(size)
    column = means[:, None]
    return np.asarray(np.exp(special.xlogy(k, column) - column - special.gammaln(k + 1)))


class AheadDensity:
    """Density of arriving in a service with residual r and a jobs ahead that wait.

    `services` are (duration, starts per second that leave n = 0, 1, ... waiting); a are those n and
    the arrivals since the start. Kept at nodes of cells that no duration crosses and in which about
    one job arrives, and interpolated.
    """

    def __init__(self, rate_per_s: float, services: Sequence[tuple[float, Array]]) -> None:
        self._rate_per_s, self._services = rate_per_s, services
        ends = np.unique([0.0, *(duration_s for duration_s, _ in services)])
        cells = [
            np.linspace(low, high, 2 + math.floor(rate_per_s * (high - low)))[:-1]
            for low, high in pairwise(ends)
        ]
        self._ends = np.append(np.concatenate(cells), ends[-1])
        # Barycentric weights (Berrut, Trefethen 2004).
        gaps = _UNIT_NODES[:, None] - _UNIT_NODES + np.eye(_NODES)
        self._barycentric = 1 / gaps.prod(axis=1)
        self._table = np.zeros((0, 0, 0))

    def pieces(self, jumps_s: Array, size: int) -> Iterator[tuple[float, Array, Array]]:
        """Cut all residual times at the jumps: a piece's middle, its nodes, and [node, a] for
        a < size, which is the density times the weight of the node."""
        if self._table.shape[2] < size:
            self._fill(size)
        inside = jumps_s[(jumps_s > 0) & (jumps_s < self._ends[-1])]
        ends = np.unique(np.concatenate((self._ends, inside)))
        for low, high in pairwise(ends):
            half, middle = (high - low) / 2, (high + low) / 2
            if half > 1e-15 * self._ends[-1]:
                cell = int(np.searchsorted(self._ends, middle)) - 1
                nodes = middle + half * _UNIT_NODES
                density = self._to(cell, nodes) @ self._table[cell, :, :size]
                yield float(middle), nodes, half * _UNIT_WEIGHTS[:, None] * density

    def _to(self, cell: int, r_s: Array) -> Array:
        """[node, kept node]: interpolation from the nodes of a cell."""
        low, high = self._ends[cell], self._ends[cell + 1]
        gaps = (2 * r_s - (low + high))[:, None] / (high - low) - _UNIT_NODES
        exact = np.abs(gaps) < 1e-15
        weights = self._barycentric / np.where(exact, 1.0, gaps)
        weights = np.where(exact.any(axis=1)[:, None], exact, weights)
        return np.asarray(weights / weights.sum(axis=1)[:, None])

    def _fill(self, size: int) -> None:
        low, high = self._ends[:-1, None], self._ends[1:, None]
        r_s = ((low + high) / 2 + (high - low) / 2 * _UNIT_NODES).ravel()
        table = np.zeros((r_s.size, size))
        for duration_s, starts_per_s in self._services:
            open_ = r_s < duration_s
            arrived = poisson_table(self._rate_per_s * (duration_s - r_s[open_]), size)
            for n in np.flatnonzero(starts_per_s[:size]):
                table[open_, n:] += starts_per_s[n] * arrived[:, : size - n]
        self._table = table.reshape(self._ends.size - 1, _NODES, size)
