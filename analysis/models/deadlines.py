"""Lines that jobs leave at a deadline: M/M/c+D (Barrer 1957, Operations Research 5)."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from analysis.models.laws import FormulaLaw
from analysis.models.steady import Prediction


def erlang_d(
    rate_per_s: float, service_per_s: float, servers: int, deadline_s: float
) -> Prediction:
    """Poisson arrivals, exponential services at `service_per_s` on each of `servers`, one line, first
    come first served; who still waits `deadline_s` after arriving leaves, who is in service stays.

    mean_wait_s is over all jobs, served or not, who leave having waited deadline_s; response and
    percentiles are of those served; throughput is of those served, utilisation the share of servers
    busy. Exact: the time until a server would be free has density rate * P(servers - 1 busy) *
    exp(rate min(x, deadline) - servers * service_per_s * x) (Baccelli, Hebuterne 1981, Performance
    '81), and 0 just if one is free. Stable at any load. ValueError for parameters that cannot be.
    """
    for name, value in (
        ("rate_per_s", rate_per_s),
        ("service_per_s", service_per_s),
        ("deadline_s", deadline_s),
    ):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} {value} must be a finite number above 0")
    if servers < 1:
        raise ValueError(f"servers {servers} must be at least 1")
    line = _Line(rate_per_s, service_per_s, servers, deadline_s)
    throughput_per_s = rate_per_s * line.served
    response_s = line.wait_s / line.served + 1 / service_per_s
    law = FormulaLaw(line.cdf, response_s)
    return Prediction(
        mean_wait_s=line.wait_s + deadline_s * (1 - line.served),
        mean_response_s=response_s,
        p50_s=law.percentile(0.50),
        p95_s=law.percentile(0.95),
        p99_s=law.percentile(0.99),
        utilisation=throughput_per_s / service_per_s / servers,
        throughput_per_s=throughput_per_s,
        method=f"M/M/{servers}+D (deadlines): exact (Barrer); response of jobs served",
        error_estimate=1e-9,
    )


class _Line:
    """What an arriving job finds; `served` is P(served), `wait_s` E[wait; served]."""

    def __init__(
        self, rate_per_s: float, service_per_s: float, servers: int, deadline_s: float
    ) -> None:
        self._service_per_s, self._deadline_s = service_per_s, deadline_s
        self._growth_per_s = rate_per_s - servers * service_per_s
        # Logarithms, for a long line may be e^1000 times likelier than an empty one.
        busy = np.arange(servers)
        factorials = np.cumsum(np.log(np.maximum(busy, 1)))
        free = busy * math.log(rate_per_s / service_per_s) - factorials
        grown = max(0.0, self._growth_per_s * deadline_s)
        scale = max(float(free.max()), float(free[-1]) + grown)
        # Density of the wait at 0 and at the deadline.
        first = rate_per_s * math.exp(float(free[-1]) - scale)
        last = rate_per_s * math.exp(float(free[-1]) - scale + self._growth_per_s * deadline_s)
        at_once = float(np.exp(free - scale).sum())
        in_time = self._integral(self._growth_per_s, first, last, deadline_s)
        total = at_once + in_time + last / (servers * service_per_s)
        self._at_once, self._first, self._last = at_once / total, first / total, last / total
        self.served = (at_once + in_time) / total
        self.wait_s = self._mean_wait_s(in_time / total)

    def cdf(self, t_s: float) -> float:
        """P(response <= t | served)."""
        waited_s = min(t_s, self._deadline_s)
        there = self._density(waited_s)
        in_service = self._integral(
            self._growth_per_s + self._service_per_s,
            self._first * math.exp(-self._service_per_s * t_s),
            there * math.exp(-self._service_per_s * (t_s - waited_s)),
            waited_s,
        )
        left_s = self._deadline_s - waited_s
        in_line = self._integral(self._growth_per_s, there, self._last, left_s)
        late = self._at_once * math.exp(-self._service_per_s * t_s) + in_service + in_line
        return 1 - late / self.served

    def _density(self, wait_s: float) -> float:
        """Of the wait, below the deadline."""
        if self._growth_per_s > 0:
            return self._last * math.exp(-self._growth_per_s * (self._deadline_s - wait_s))
        return self._first * math.exp(self._growth_per_s * wait_s)

    def _mean_wait_s(self, in_time: float) -> float:
        decay_per_s, length_s = abs(self._growth_per_s), self._deadline_s
        # The integral of x exp(-decay x), up to the deadline.
        unit = length_s**2 / 2
        if decay_per_s * length_s > 1e-8:
            unit = float(special.gammainc(2, decay_per_s * length_s)) / decay_per_s**2
        if self._growth_per_s > 0:
            return length_s * in_time - self._last * unit
        return self._first * unit

    @staticmethod
    def _integral(growth_per_s: float, first: float, last: float, length_s: float) -> float:
        """Of an exponential that grows from `first` to `last` over a length."""
        grown = growth_per_s * length_s
        if grown > 0:
            return last * length_s * -math.expm1(-grown) / grown
        return first * length_s * (math.expm1(grown) / grown if grown else 1.0)
