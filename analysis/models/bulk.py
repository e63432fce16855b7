"""Bulk service: one server takes all who wait, up to a batch, at once.

Assumptions: Poisson arrivals; a batch of n takes setup_s + n * per_job_s, starts as soon as the
server is free and any job waits, and ends for all its jobs together (Chaudhry and Templeton 1983, A
First Course in Bulk Queues, ch. 4). The chain of jobs left waiting by a batch gives the means by
Markov-renewal rewards; the response follows from what an arriving job sees.
"""

from __future__ import annotations

import math

import numpy as np

from analysis.models.embedded import poisson_masses, stationary_embedded
from analysis.models.laws import FormulaLaw
from analysis.models.residuals import AheadDensity, poisson_table
from analysis.models.steady import Prediction, Unstable, prediction
from analysis.service_times import Array
from analysis.textbook.models import Bulk, Poisson


def bulk(rate_per_s: float, setup_s: float, per_job_s: float, batch_max: int) -> Prediction:
    """Exact mean and percentiles. ValueError for parameters that cannot be; Unstable if full
    batches do not keep up."""
    server = Bulk(setup_s, per_job_s, batch_max)
    arrivals = Poisson(rate_per_s)
    utilisation = rate_per_s / server.capacity_per_s
    if utilisation >= 1:
        raise Unstable(utilisation)
    return _Solved(arrivals.rate_per_s, server).prediction()


class _Solved:
    def __init__(self, rate_per_s: float, server: Bulk) -> None:
        self._rate_per_s, self._most = rate_per_s, server.batch_max
        # [n]: what a batch of n takes; after an idle time it is one of 1.
        self._takes_s = server.setup_s + server.per_job_s * np.maximum(
            np.arange(server.batch_max + 1), 1
        )
        laws = [poisson_masses(rate_per_s * float(takes_s)) for takes_s in self._takes_s]
        self._left = stationary_embedded(
            lambda n: laws[min(n, self._most)],
            self._most,
            self._most,
            rate_per_s * float(self._takes_s[-1]),
        )
        self._size = np.clip(np.arange(self._left.size), 1, self._most)
        self._batch_s = self._takes_s[self._size]
        self._cycle_s = float(self._left @ self._batch_s) + float(self._left[0]) / rate_per_s
        self._ahead = AheadDensity(rate_per_s, self._services())

    def prediction(self) -> Prediction:
        rate_per_s, left = self._rate_per_s, self._left
        jobs = np.maximum(np.arange(left.size), 1)
        # The job-seconds of a cycle: those there at its start, and the arrivals since.
        stay = jobs * self._batch_s + rate_per_s * self._batch_s**2 / 2
        response_s = float(left @ stay) / self._cycle_s / rate_per_s
        service_s = float(left @ (self._size * self._batch_s)) / self._cycle_s / rate_per_s
        idle = float(left[0]) / rate_per_s / self._cycle_s
        return prediction(
            response_s - service_s,
            service_s,
            FormulaLaw(self._cdf, response_s),
            1 - idle,
            rate_per_s,
            f"M/D^[1,{self._most}]/1: exact (chain at the ends of batches, residual batch)",
            error_estimate=1e-9,
        )

    def _cdf(self, t_s: float) -> float:
        """P(response <= t): who arrives at residual r with a jobs ahead waits for r and a // most
        full batches, and then shares a batch with those that have come behind."""
        full_s = float(self._takes_s[-1])
        size = self._most * (math.floor(t_s / full_s) + 1)
        total = 0.0
        if t_s >= self._takes_s[1]:
            total += float(self._left[0]) / self._rate_per_s / self._cycle_s
        ends = np.add.outer(full_s * np.arange(size // self._most + 1), self._takes_s[1:])
        jumps_s = (t_s - ends).ravel()
        for middle_s, r_s, ahead in self._ahead.pieces(jumps_s, size):
            total += float((ahead * self._in_time(t_s, middle_s, r_s, size)).sum())
        return total

    def _services(self) -> list[tuple[float, Array]]:
        """Each size of batch: what it takes, and how often it starts and leaves n waiting."""
        starts = self._left / self._cycle_s
        most = self._most
        services = [(float(self._takes_s[n]), starts[n : n + 1]) for n in range(1, most)]
        if most == 1:
            return [(float(self._takes_s[1]), np.concatenate(([starts[:2].sum()], starts[2:])))]
        services[0] = (float(self._takes_s[1]), np.array([starts[0] + starts[1]]))
        return [*services, (float(self._takes_s[most]), starts[most:])]

    def _in_time(self, t_s: float, middle_s: float, r_s: Array, size: int) -> Array:
        """[node, a]: P(the tagged job's own batch is small enough to end by t)."""
        full_s, most = float(self._takes_s[-1]), self._most
        chance = np.zeros((r_s.size, size))
        for batches in range(size // most):
            left_s = t_s - middle_s - batches * full_s
            largest = int(np.searchsorted(self._takes_s[1:], left_s, side="right"))
            if largest == 0:
                break
            columns = slice(batches * most, (batches + 1) * most)
            if largest >= most:
                chance[:, columns] = 1.0
                continue
            behind = np.cumsum(
                poisson_table(self._rate_per_s * (r_s + batches * full_s), largest), axis=1
            )
            # With p ahead in its batch it is one of p + 1 and those behind.
            chance[:, columns.start : columns.start + largest] = behind[:, ::-1]
        return chance
