"""In-flight threshold control of exponential servers, with and without hysteresis, and MMPP/M/1.

n is the number in the system, those in service included. All `servers` work at slow_per_s each
while n is small and at fast_per_s while it is large, changing in mid-service: the textbook's form
of an exit that is decided again at every step. A job is degraded if it ends while the servers are
fast. Exact; see `inflight` for the method. ValueError for parameters that cannot be, Unstable if not
even the fast servers keep up.
"""

from __future__ import annotations

import numpy as np

from analysis.models.inflight import InFlight, in_flight_prediction
from analysis.models.steady import Prediction
from analysis.textbook.models import Arrivals, Mmpp


def mmpp_m1(arrivals: Arrivals, service_per_s: float) -> Prediction:
    """MMPP/M/1: Poisson arrivals in phases (Fischer and Meier-Hellstern 1993), one static server."""
    _positive("service_per_s", service_per_s)
    chain = InFlight(arrivals, ((service_per_s,),), 1)
    method = f"{_arrivals(arrivals)}/M/1: exact (quasi-birth-death process, tagged job)"
    return in_flight_prediction(chain, None, method)


def threshold(
    arrivals: Arrivals, slow_per_s: float, fast_per_s: float, up_at: int, servers: int = 1
) -> Prediction:
    """Fast while at least `up_at` jobs are in the system, slow below."""
    _check(slow_per_s, fast_per_s, up_at, servers)
    n = np.arange(1, max(up_at, servers) + 1)
    is_fast = n >= up_at
    rates = np.minimum(n, servers) * np.where(is_fast, fast_per_s, slow_per_s)
    chain = InFlight(arrivals, (tuple(rates.tolist()),), servers)
    method = (
        f"{_arrivals(arrivals)}/M/{servers}, fast in flight from {up_at} jobs on: exact"
        " (level-dependent chain, tagged job)"
    )
    fast = np.concatenate(([False], is_fast))[None, :]
    return in_flight_prediction(chain, fast, method)


def hysteresis(
    arrivals: Arrivals,
    slow_per_s: float,
    fast_per_s: float,
    up_at: int,
    down_at: int,
    servers: int = 1,
) -> Prediction:
    """Fast from the arrival that makes `up_at` jobs until the departure that leaves `down_at`."""
    _check(slow_per_s, fast_per_s, up_at, servers)
    if not 0 <= down_at < up_at:
        raise ValueError(f"down_at {down_at} must be from 0 to below up_at {up_at}")
    taken = np.minimum(np.arange(1, max(up_at, servers) + 1), servers)
    rates = tuple(tuple((taken * each).tolist()) for each in (slow_per_s, fast_per_s))
    chain = InFlight(arrivals, rates, servers, up_at, down_at)
    method = (
        f"{_arrivals(arrivals)}/M/{servers}, fast in flight from {up_at} jobs on and back at"
        f" {down_at}: exact (level-dependent chain, tagged job)"
    )
    fast = np.repeat([[False], [True]], 2, axis=1)
    return in_flight_prediction(chain, fast, method)


def _check(slow_per_s: float, fast_per_s: float, up_at: int, servers: int) -> None:
    _positive("slow_per_s", slow_per_s)
    _positive("fast_per_s", fast_per_s)
    for name, value in (("up_at", up_at), ("servers", servers)):
        if value < 1:
            raise ValueError(f"{name} {value} must be at least 1")


def _positive(name: str, value: float) -> None:
    if not (value > 0 and np.isfinite(value)):
        raise ValueError(f"{name} {value} must be a finite number above 0")


def _arrivals(arrivals: Arrivals) -> str:
    return f"MMPP({len(arrivals.rates_per_s)})" if isinstance(arrivals, Mmpp) else "M"
