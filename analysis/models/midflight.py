"""M/D/1 with a speed that follows the jobs in the system, also in mid-service: exactly.

A service is one unit of work, done at 1 / slow_s while fewer than `up_at` jobs are in the system and
at 1 / fast_s otherwise: deterministic steps whose number is re-planned at once. Poisson arrivals, one
server, first come first served. In a service jobs only join, so it is slow up to a moment and fast
from there. That makes the jobs left by departures a chain (M/G/1 type), and a tagged job's response

    (work ahead and its own) * fast_s + (time at slow speed) * (1 - fast_s / slow_s),

in which only the time at slow speed is random once the work is known. Its law follows service by
service; it jumps at multiples of slow_s and is analytic between, so polynomials there and
Gauss-Legendre quadrature are exact up to rounding.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.models.embedded import poisson_masses, stationary_embedded
from analysis.models.laws import FormulaLaw
from analysis.models.residuals import poisson_table
from analysis.models.steady import Prediction, Unstable, prediction
from analysis.service_times import Array
from analysis.textbook.models import Poisson

SLOWER_MAX, ARRIVALS_MAX = 30, 10


def in_flight_deterministic(
    rate_per_s: float, slow_s: float, fast_s: float, up_at: int
) -> Prediction:
    """Exact mean and percentiles; degraded is a job that ends at the fast speed.

    ValueError for parameters that cannot be, and for a slow service that is SLOWER_MAX fast ones or
    ARRIVALS_MAX arrivals long; Unstable if the fast speed does not keep up.
    """
    Poisson(rate_per_s)
    if not 0 < fast_s < slow_s < math.inf:
        raise ValueError(f"fast_s {fast_s} must lie above 0 and below slow_s {slow_s}")
    if up_at < 1:
        raise ValueError(f"up_at {up_at} must be at least 1")
    if rate_per_s * fast_s >= 1:
        raise Unstable(rate_per_s * fast_s)
    if slow_s > SLOWER_MAX * fast_s or rate_per_s * slow_s > ARRIVALS_MAX:
        raise ValueError(
            f"a slow service of {slow_s} is too long to be followed: it may be {SLOWER_MAX} fast ones"
            f" and {ARRIVALS_MAX} arrivals long"
        )
    return _MidFlight(rate_per_s, slow_s, fast_s, up_at).prediction()


class _Nodes:
    """Gauss-Legendre on [0, 1], also as nodes of interpolation."""

    def __init__(self, size: int) -> None:
        nodes, weights = np.polynomial.legendre.leggauss(size)
        self.at, self.weights = (nodes + 1) / 2, weights / 2
        index = np.arange(size)
        # Barycentric weights of these nodes (Wang, Huybrechs, Vandewalle 2014).
        self._barycentric = (-1.0) ** index * np.sqrt((1 - nodes**2) * weights)

    def to(self, x: Array) -> Array:
        """[..., node]: interpolation from the nodes to x in [0, 1]."""
        gaps = np.asarray(x)[..., None] - self.at
        exact = np.abs(gaps) < 1e-15
        weights = self._barycentric / np.where(exact, 1.0, gaps)
        weights = np.where(exact.any(axis=-1, keepdims=True), exact, weights)
        return np.asarray(weights / weights.sum(axis=-1)[..., None])


class _MidFlight:
    def __init__(self, rate_per_s: float, slow_s: float, fast_s: float, up_at: int) -> None:
        self._rate_per_s, self._slow_s, self._fast_s = rate_per_s, slow_s, fast_s
        self._up_at = up_at
        self._nodes = _Nodes(16 + 4 * math.ceil(rate_per_s * slow_s))
        fast = poisson_masses(rate_per_s * fast_s)
        laws = [
            self._arrivals(max(left, 1)) if max(left, 1) < up_at else fast for left in range(up_at)
        ]
        self._left = stationary_embedded(
            lambda left: laws[left] if left < up_at else fast, up_at, 1, rate_per_s * fast_s
        )
        # Services started with n = 1, 2, ... in the system, per second.
        self._starts = rate_per_s * np.concatenate(([self._left[:2].sum()], self._left[2:]))
        self._slow_laws: list[Array] = []
        self._density: dict[int, Array] = {}
        self._busy = 0.0

    # -- means ------------------------------------------------------------------------------------

    def prediction(self) -> Prediction:
        rate_per_s, slow_s, fast_s = self._rate_per_s, self._slow_s, self._fast_s
        n = np.arange(1, self._starts.size + 1)
        share = self._starts / rate_per_s
        missing = np.maximum(self._up_at - n, 1)
        ends_fast = np.where(n >= self._up_at, 1.0, special.gammainc(missing, rate_per_s * slow_s))
        # Mean time at slow speed: until `missing` have come, slow_s at most.
        later = special.gammainc(missing + 1, rate_per_s * slow_s) * missing / rate_per_s
        slow = np.where(n >= self._up_at, 0.0, later + slow_s * (1 - ends_fast))
        service_s = float(share @ (fast_s + slow * (1 - fast_s / slow_s)))
        self._busy = rate_per_s * service_s
        response_s = float(np.arange(self._left.size) @ self._left) / rate_per_s
        return prediction(
            response_s - service_s,
            service_s,
            FormulaLaw(self._cdf, response_s),
            self._busy,
            rate_per_s,
            f"M/D/1, fast in flight from {self._up_at} jobs on: exact (chain at departures, time"
            " at slow speed service by service)",
            degraded_share=float(share @ ends_fast),
            error_estimate=1e-9,
        )

    def _erlang(self, order: int, t_s: Array) -> Array:
        """Density of the arrival number `order`."""
        log = order * math.log(self._rate_per_s) - math.lgamma(order) - self._rate_per_s * t_s
        return np.asarray(np.exp(log + special.xlogy(order - 1, t_s)))

    def _arrivals(self, n: int) -> Array:
        """Law of the number that arrive in a service that starts slow with n in the system."""
        missing = self._up_at - n
        turn_s, weights = self._slow_s * self._nodes.at, self._slow_s * self._nodes.weights
        rest = self._rate_per_s * self._fast_s * (1 - self._nodes.at)
        size = poisson_masses(self._rate_per_s * self._fast_s).size
        law = np.zeros(missing + size)
        law[:missing] = poisson_masses(self._rate_per_s * self._slow_s, missing)[:missing]
        law[missing:] = (weights * self._erlang(missing, turn_s)) @ poisson_table(rest, size)
        return law

    # -- the law of the response ------------------------------------------------------------------

    def _cdf(self, t_s: float) -> float:
        """P(response <= t): over the jobs found and the work left of the one in service."""
        gain = 1 - self._fast_s / self._slow_s
        alone = np.array([(t_s - self._fast_s) / gain])
        total = (1 - self._busy) * float(self._service(1, np.ones(1), alone, 1)[0, 0])
        steps = np.arange(self._up_at + 1) * (self._slow_s - self._fast_s)
        for found in range(1, math.floor(t_s / self._fast_s) + 1):
            left_s = t_s - found * self._fast_s - steps
            ends = np.concatenate((left_s / self._fast_s, left_s / self._slow_s))
            ends = np.unique(np.concatenate(([0.0, 1.0], ends[(ends > 0) & (ends < 1)])))
            width = np.diff(ends)[:, None]
            work = (ends[:-1, None] + width * self._nodes.at).ravel()
            weights = (width * self._nodes.weights).ravel()
            slow_s = (t_s - (work + found) * self._fast_s) / gain
            density = self._nodes.to(work) @ self._found(found)
            chance = self._service(found + 1, work, slow_s, 1)[:, 0]
            total += float((weights * density * chance).sum())
        return total

    def _found(self, n: int) -> Array:
        """[node]: density of finding n jobs and this much work left of the one in service."""
        if n not in self._density:
            since = 1 - self._nodes.at
            ours = np.arange(1, min(n, self._starts.size) + 1)
            in_time = ours >= self._up_at
            takes_s = self._fast_s if n >= self._up_at else self._slow_s
            same = ours[in_time] if n >= self._up_at else ours
            come = poisson_table(self._rate_per_s * since * takes_s, n + 1)
            density = takes_s * come[:, n - same] @ self._starts[same - 1]
            if n >= self._up_at:
                density = density + self._turned(n)
            self._density[n] = density
        return self._density[n]

    def _turned(self, n: int) -> Array:
        """As `_found`, of services that began slow and have turned fast."""
        since = 1 - self._nodes.at[:, None]
        turn = since * self._nodes.at  # work done before the turn
        mean = self._rate_per_s * self._fast_s * (since - turn)
        later = n - self._up_at
        come = np.exp(special.xlogy(later, mean) - mean - special.gammaln(later + 1))
        turning = sum(
            self._starts[began - 1] * self._erlang(self._up_at - began, turn * self._slow_s)
            for began in range(1, min(self._up_at, self._starts.size + 1))
        )
        weights = since * self._slow_s * self._nodes.weights
        return np.asarray(self._fast_s * (weights * turning * come).sum(axis=1))

    def _slow_law(self, services: int) -> Array:
        """[behind, k, node]: P(time at slow speed <= (k + node) slow_s) for so many whole services to
        come, k and behind < up_at; beyond, the chance is 1."""
        most, nodes = self._up_at, self._nodes
        while len(self._slow_laws) <= services:
            left = len(self._slow_laws)
            if left == 0:
                self._slow_laws.append(np.ones((most, most, nodes.at.size)))
                continue
            slow_s = self._slow_s * (np.arange(most)[:, None] + nodes.at)
            law = self._service(left, np.ones(slow_s.size), slow_s.ravel(), most)
            self._slow_laws.append(law.T.reshape(most, *slow_s.shape))
        return self._slow_laws[services]

    def _at(self, services: int, slow_s: Array) -> Array:
        """[..., behind]: P(time at slow speed <= slow_s) for so many whole services to come."""
        law, most = self._slow_law(services), self._up_at
        scaled = slow_s / self._slow_s
        k = np.floor(scaled).astype(np.int64)
        chance = np.where(slow_s < 0, 0.0, 1.0)[..., None] * np.ones(most)
        for one in range(most):
            there = k == one
            if there.any():
                chance[there] = self._nodes.to(scaled[there] - one) @ law[:, one].T
        return chance

    def _service(self, services: int, work: Array, slow_s: Array, wanted: int) -> Array:
        """[one, behind]: P(time at slow speed <= slow_s), with so many services to come of which the
        first has this much work left, and behind < wanted <= up_at."""
        most = self._up_at
        chance = np.zeros((work.size, wanted))
        slow = min(max(most - services, 0), wanted)  # with fewer behind the service is slow now
        if slow < wanted:
            come = poisson_table(self._rate_per_s * self._fast_s * work, most)
            after = self._at(services - 1, slow_s)
            for behind in range(slow, wanted):
                chance[:, behind] = _joined(come, after[:, behind:], slow_s >= 0)
        if slow > 0:
            chance[:, :slow] = self._slow_throughout(services, work, slow_s, slow)
            chance[:, :slow] += self._slow_at_first(services, work, slow_s, slow)
        return chance

    def _slow_throughout(self, services: int, work: Array, slow_s: Array, wanted: int) -> Array:
        """The part of `_service` in which too few come to make it fast."""
        slow = self._up_at - services
        spare_s = slow_s - work * self._slow_s
        come = poisson_table(self._rate_per_s * self._slow_s * work, slow)
        after = self._at(services - 1, spare_s)
        return np.stack(
            [(come[:, : slow - b] * after[:, b:slow]).sum(axis=1) for b in range(wanted)], axis=1
        )

    def _slow_at_first(self, services: int, work: Array, slow_s: Array, wanted: int) -> Array:
        """The part of `_service` in which it turns fast: over the moment of the turn."""
        slow = self._up_at - services
        most_s = np.clip(np.minimum(slow_s, work * self._slow_s), 0.0, None)
        jump_s = np.clip(slow_s % self._slow_s, 0.0, most_s)
        low = np.stack((np.zeros_like(jump_s), jump_s), axis=1)[..., None]
        width = np.stack((jump_s, most_s - jump_s), axis=1)[..., None]
        turn_s = low + width * self._nodes.at
        weights = width * self._nodes.weights
        rest = np.maximum(work[:, None, None] - turn_s / self._slow_s, 0.0)
        come = poisson_table((self._rate_per_s * self._fast_s * rest).ravel(), self._up_at)
        after = self._at(services - 1, (slow_s[:, None, None] - turn_s).ravel())
        ends = _joined(come, after[:, slow:], np.True_).reshape(turn_s.shape)
        missing = slow - np.arange(wanted)
        return np.stack(
            [(weights * self._erlang(int(j), turn_s) * ends).sum(axis=(1, 2)) for j in missing],
            axis=1,
        )


def _joined(come: Array, after: Array, in_time: NDArray[np.bool_] | np.bool_) -> Array:
    """Mean of `after[:, m]` over the number m that come; with more than it knows the chance is 1."""
    known = come[:, : after.shape[1]]
    return np.asarray((known * after).sum(axis=1) + (1 - known.sum(axis=1)) * in_time)
