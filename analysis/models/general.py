"""General arrivals and services by two moments: G/G/1 and G/G/c, bounds and approximations.

ca2 and cs2 are squared coefficients of variation of the time between arrivals and of the service.
Arrivals and services are taken to be independent renewals: what two moments do not say (bursts that
last, correlation) can make the truth lie far outside. rate is in jobs per second, m and all waits in seconds (or any one unit).
"""

from __future__ import annotations

import math

from analysis.models.lines import erlang_c
from analysis.models.steady import Prediction, Unstable


def kingman_bound_s(
    rate_per_s: float, ca2: float, mean_service_s: float, cs2: float, servers: int = 1
) -> float:
    """Upper bound of the mean wait in GI/GI/c (Kingman 1962 for c = 1; 1970, Inequalities in the
    theory of queues, for more): rate (va + vs / c + (c - 1) m^2 / c^2) / (2 (1 - rho)), with the
    variances va and vs and the mean service m. Valid at any load below 1, tight as it nears 1.

    Errors as in `ggc`.
    """
    rho = _utilisation(rate_per_s, ca2, mean_service_s, cs2, servers)
    arrivals = ca2 / rate_per_s**2
    services = cs2 * mean_service_s**2 / servers
    several = (servers - 1) * mean_service_s**2 / servers**2
    return rate_per_s * (arrivals + services + several) / (2 * (1 - rho))


def marchal_bound_s(rate_per_s: float, ca2: float, mean_service_s: float, cs2: float) -> float:
    """Lower bound of the mean wait in GI/GI/1 whatever the arrivals' law (Marchal 1978, Operations
    Research 26): ((1 + cs2) rho^2 - 2 rho) / (2 rate (1 - rho)), or 0. Errors as in `ggc`."""
    rho = _utilisation(rate_per_s, ca2, mean_service_s, cs2, 1)
    return max(0.0, ((1 + cs2) * rho**2 - 2 * rho) / (2 * rate_per_s * (1 - rho)))


def allen_cunneen_wait_s(
    rate_per_s: float, ca2: float, mean_service_s: float, cs2: float, servers: int = 1
) -> float:
    """Mean wait in G/G/c (Allen 1990, Probability, Statistics and Queueing Theory): that of M/M/c
    times (ca2 + cs2) / 2. Exact for M/M/c and M/G/1; for one server Kingman's approximation.

    Some per cent low for steady services on several servers, and up to tens of per cent off for
    arrivals far from Poisson at low load. Errors as in `ggc`.
    """
    _utilisation(rate_per_s, ca2, mean_service_s, cs2, servers)
    spare_per_s = servers / mean_service_s - rate_per_s
    delayed = erlang_c(rate_per_s * mean_service_s, servers)
    return delayed / spare_per_s * (ca2 + cs2) / 2


def kraemer_langenbach_belz_wait_s(
    rate_per_s: float, ca2: float, mean_service_s: float, cs2: float
) -> float:
    """Mean wait in GI/G/1 (Kraemer and Langenbach-Belz 1976): Kingman's approximation with a
    correction that takes less the steadier the arrivals. Errors as in `ggc`."""
    rho = _utilisation(rate_per_s, ca2, mean_service_s, cs2, 1)
    kingman_s = allen_cunneen_wait_s(rate_per_s, ca2, mean_service_s, cs2)
    if ca2 + cs2 == 0:
        return 0.0
    steady = 2 * (1 - ca2) ** 2 / (3 * rho * (ca2 + cs2))
    bursty = (ca2 - 1) / (ca2 + 4 * cs2)
    return kingman_s * math.exp(-(1 - rho) * (steady if ca2 <= 1 else bursty))


def ggc(
    rate_per_s: float, ca2: float, mean_service_s: float, cs2: float, servers: int = 1
) -> Prediction:
    """G/G/c by Allen and Cunneen; percentiles are nan: two moments say nothing of them.

    error_estimate is the distance to the farther bound (Kingman's above; below, Marchal's
    for one server and 0 for more), as a share of the response. ValueError for parameters that
    cannot be; Unstable if the load is not below the number of servers.
    """
    rho = _utilisation(rate_per_s, ca2, mean_service_s, cs2, servers)
    what = (rate_per_s, ca2, mean_service_s, cs2)
    wait_s = allen_cunneen_wait_s(*what, servers)
    high_s = kingman_bound_s(*what, servers)
    low_s = marchal_bound_s(*what) if servers == 1 else 0.0
    response_s = wait_s + mean_service_s
    nan = math.nan
    return Prediction(
        mean_wait_s=wait_s,
        mean_response_s=response_s,
        p50_s=nan,
        p95_s=nan,
        p99_s=nan,
        utilisation=rho,
        throughput_per_s=rate_per_s,
        method=f"G/G/{servers}: Allen-Cunneen (approximation); mean wait between {low_s:.6g} and"
        f" {high_s:.6g} (bounds)",
        error_estimate=max(high_s - wait_s, wait_s - low_s) / response_s,
    )


def _utilisation(
    rate_per_s: float, ca2: float, mean_service_s: float, cs2: float, servers: int
) -> float:
    for name, value in (("rate_per_s", rate_per_s), ("mean_service_s", mean_service_s)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} {value} must be a finite number above 0")
    for name, value in (("ca2", ca2), ("cs2", cs2)):
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} {value} must be a finite number, at least 0")
    if servers < 1:
        raise ValueError(f"servers {servers} must be at least 1")
    rho = rate_per_s * mean_service_s / servers
    if rho >= 1:
        raise Unstable(rho)
    return rho
