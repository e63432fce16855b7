"""Queueing models of a server without control, fed by Poisson arrivals.

================= ============================= ==============================================
function          mean                          percentiles of the response time
================= ============================= ==============================================
mm1, mmc          exact (Erlang C)              exact, closed form
md1, mdc          exact (chain)                 exact (Franx 2001, Oper. Res. Letters 29)
mg1               exact (Pollaczek-Khinchine)   transform on lattices, extrapolated
mgc               Cosmetatos / Allen-Cunneen    approximation, see `mgc_law`; exact for
                                                services as in mdc, mmc and `erlang_servers`
lps               exact for the exponential     exact for that chain, see `analysis.models.lps`
                  chain
================= ============================= ==============================================

Rates are jobs per second and times seconds (or any other unit, if used throughout). Arrivals are
Poisson, services independent of them and of one another, lines unbounded and first come first served.
Valid at any utilisation below 1. ValueError for rates, times or numbers of servers that cannot be,
Unstable, with the utilisation, for a load that cannot be served.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from analysis.models.embedded import poisson_masses, stationary_embedded
from analysis.models.erlang_servers import erlang_stages, mekc
from analysis.models.laws import (
    FittedLaw,
    FormulaLaw,
    Law,
    convolve,
    residual_masses,
    service_masses,
    sum_of_geometric,
)
from analysis.models.mm1 import mm1 as mm1
from analysis.models.steady import Prediction, checked_utilisation, prediction
from analysis.service_times import Array, Deterministic, Gamma, ServiceTime
from policies import scaling

MeanWait = Literal["cosmetatos", "allen-cunneen"]


def mmc(rate_per_s: float, mean_service_s: float, servers: int) -> Prediction:
    """M/M/c: exponential services of this mean, one line. Exact (Erlang 1917; Kleinrock 1975, ch. 3)."""
    utilisation = checked_utilisation(rate_per_s, mean_service_s, servers)
    delayed = erlang_c(rate_per_s * mean_service_s, servers)
    spare_per_s = servers / mean_service_s - rate_per_s
    law = FormulaLaw(_mmc_cdf(rate_per_s, mean_service_s, servers, delayed), mean_service_s)
    return prediction(
        delayed / spare_per_s,
        mean_service_s,
        law,
        utilisation,
        rate_per_s,
        f"M/M/{servers}: exact (Erlang C)",
        error_estimate=1e-12,
    )


def md1(rate_per_s: float, service_s: float) -> Prediction:
    """M/D/1: every service takes service_s; `mdc` with one server."""
    return mdc(rate_per_s, service_s, 1)


def mdc(rate_per_s: float, service_s: float, servers: int) -> Prediction:
    """M/D/c: every service takes service_s, one line.

    Exact: the numbers in the system one service time apart form a chain (Crommelin 1932), from
    which the waits follow (Franx 2001). ValueError also so near to capacity that the chain has too
    many states (utilisation beyond about 0.99999).
    """
    utilisation = checked_utilisation(rate_per_s, service_s, servers)
    found = _mdc_found(rate_per_s * service_s, servers)
    in_line = float(np.maximum(np.arange(found.size) - servers, 0) @ found)
    return prediction(
        in_line / rate_per_s,
        service_s,
        mdc_law(rate_per_s, service_s, servers),
        utilisation,
        rate_per_s,
        f"M/D/{servers}: exact (chain at service times, Franx)",
        error_estimate=1e-9,
    )


def mg1(rate_per_s: float, service: ServiceTime) -> Prediction:
    """M/G/1: the mean is exact (Pollaczek 1930, Khinchine 1932), percentiles up to the lattice's step.

    A deterministic service is handed to `md1`, an exponential one to `mm1`. error_estimate is the
    step's error at p50, p95 and p99.
    """
    if isinstance(service, Deterministic):
        return md1(rate_per_s, service.mean_s)
    if isinstance(service, Gamma) and service.cv2 == 1.0:
        return mm1(rate_per_s, service.mean_s)
    utilisation = checked_utilisation(rate_per_s, service.mean_s, 1)
    wait_s = pollaczek_khinchine_wait_s(rate_per_s, service)
    method = "M/G/1: Pollaczek-Khinchine mean, its transform inverted on a lattice"
    law = mg1_law(rate_per_s, service)
    # The lattice's error is of the second order of its step.
    error = max(law.step_error(share) for share in (0.50, 0.95, 0.99))
    figures = (wait_s, service.mean_s, law, utilisation, rate_per_s, method)
    return prediction(*figures, error_estimate=error)


def mgc(
    rate_per_s: float, service: ServiceTime, servers: int, mean_wait: MeanWait | None = None
) -> Prediction:
    """M/G/c: exact where a formula or a chain is known, else by approximation.

    Exact are one server, deterministic, exponential and few-stage Erlang services. `mean_wait`
    names an approximation instead: "cosmetatos" interpolates between M/D/c and M/M/c in the squared
    coefficient of variation (Cosmetatos 1976, Oper. Res. Quarterly 27) and is otherwise taken up to
    cv2 1; "allen-cunneen" scales M/M/c by (1 + cv2) / 2 and is taken beyond. error_estimate is how
    far the two lie apart, and at least 2 %: simulated services lay within that.
    """
    if servers == 1:
        return mg1(rate_per_s, service)
    if mean_wait is None:
        if isinstance(service, Deterministic):
            return mdc(rate_per_s, service.mean_s, servers)
        if isinstance(service, Gamma) and (stages := erlang_stages(service, servers)):
            if stages == 1:
                return mmc(rate_per_s, service.mean_s, servers)
            return mekc(rate_per_s, service.mean_s, stages, servers)
    utilisation = checked_utilisation(rate_per_s, service.mean_s, servers)
    formula = mean_wait or ("cosmetatos" if service.cv2 <= 1 else "allen-cunneen")
    wait_s = mgc_wait_s(rate_per_s, service, servers, formula)
    other_s = mgc_wait_s(
        rate_per_s,
        service,
        servers,
        "allen-cunneen" if formula == "cosmetatos" else "cosmetatos",
    )
    method = (
        f"M/G/{servers}: mean wait by {formula} (approximation), wait of delayed jobs shaped as in"
        f" M/G/1 at {servers} times the speed"
    )
    law = mgc_law(rate_per_s, service, servers, wait_s)
    return prediction(
        wait_s,
        service.mean_s,
        law,
        utilisation,
        rate_per_s,
        method,
        error_estimate=max(abs(other_s / wait_s - 1), 0.02),
    )


# -- means ----------------------------------------------------------------------------------------


def pollaczek_khinchine_wait_s(rate_per_s: float, service: ServiceTime) -> float:
    """Mean wait in M/G/1, seconds: rho * mean * (1 + cv2) / (2 (1 - rho)). Errors as in `mg1`."""
    utilisation = checked_utilisation(rate_per_s, service.mean_s, 1)
    return utilisation * service.mean_s * (1 + service.cv2) / (2 * (1 - utilisation))


def erlang_c(offered: float, servers: int) -> float:
    """Probability that a job must wait in M/M/c, with `offered` = rate * mean service in erlangs
    (Erlang 1917). ValueError for what cannot be, Unstable unless offered < servers."""
    checked_utilisation(offered, 1.0, servers)  # Unstable says more than the policy's refusal
    return scaling.erlang_c(offered, servers)


def mgc_wait_s(rate_per_s: float, service: ServiceTime, servers: int, mean_wait: MeanWait) -> float:
    """Mean wait in M/G/c, seconds, by the named approximation (see `mgc`); both are exact for M/M/c and
    M/G/1. Errors as in `mgc`."""
    utilisation = checked_utilisation(rate_per_s, service.mean_s, servers)
    spare_per_s = servers / service.mean_s - rate_per_s
    mmc_wait_s = erlang_c(rate_per_s * service.mean_s, servers) / spare_per_s
    if mean_wait == "allen-cunneen":
        return mmc_wait_s * (1 + service.cv2) / 2
    correction = (1 - utilisation) * (servers - 1) * (math.sqrt(4 + 5 * servers) - 2)
    mdc_wait_s = mmc_wait_s / 2 * (1 + correction / (16 * utilisation * servers))
    return service.cv2 * mmc_wait_s + (1 - service.cv2) * mdc_wait_s


# -- laws of the response time --------------------------------------------------------------------


def mdc_law(rate_per_s: float, service_s: float, servers: int) -> Law:
    """Response time in M/D/c by Franx' formula: a sum of positive terms, so nothing cancels."""
    checked_utilisation(rate_per_s, service_s, servers)
    at_most = np.cumsum(_mdc_found(rate_per_s * service_s, servers))

    def cdf(t_s: float) -> float:
        wait_s = t_s - service_s
        if wait_s < 0:
            return 0.0
        k = int(wait_s / service_s) + 1
        arrived = poisson_masses(rate_per_s * (k * service_s - wait_s))[: k * servers]
        # With j arrivals in the rest of the k-th service time, these may have been found at most.
        found = (k + 1) * servers - 1 - np.arange(arrived.size)
        return float(arrived @ at_most[np.minimum(found, at_most.size - 1)])

    return FormulaLaw(cdf, service_s)


def mg1_law(rate_per_s: float, service: ServiceTime) -> FittedLaw:
    """Response time in M/G/1: the wait is a geometric sum of residual services (Benes)."""
    utilisation = checked_utilisation(rate_per_s, service.mean_s, 1)
    wait_s = pollaczek_khinchine_wait_s(rate_per_s, service)

    def build(points: int, step_s: float) -> Array:
        wait = sum_of_geometric(residual_masses(service, points, step_s), utilisation)
        return convolve(wait, service_masses(service, points, step_s))

    return FittedLaw(build, wait_s + service.mean_s)


def mgc_law(rate_per_s: float, service: ServiceTime, servers: int, mean_wait_s: float) -> FittedLaw:
    """Response time in M/G/c, approximately.

    A job is delayed with Erlang's probability (which hardly depends on the law of service). The
    wait of a delayed job has the shape that it has in M/G/1 with the same utilisation and a server
    as fast as all together, stretched to the given mean. Exact for M/M/c and for one server.
    """
    utilisation = checked_utilisation(rate_per_s, service.mean_s, servers)
    delayed = erlang_c(rate_per_s * service.mean_s, servers)
    # In M/G/1 a delayed job waits mean residual / (1 - rho); the stretch makes the means agree.
    residual_s = service.mean_s * (1 + service.cv2) / 2
    stretch = mean_wait_s / delayed * (1 - utilisation) / residual_s

    def build(points: int, step_s: float) -> Array:
        # Stretching a law is putting it on a lattice of a smaller step and then renaming the step.
        residual = residual_masses(service, points, step_s / stretch)
        some = sum_of_geometric(residual, utilisation)
        # Wait of a delayed job: at least one residual, then a geometric number more.
        wait = delayed * convolve(some, residual)
        wait[0] += 1 - delayed
        return convolve(wait, service_masses(service, points, step_s))

    return FittedLaw(build, mean_wait_s + service.mean_s)


# -- parts ----------------------------------------------------------------------------------------


def _mmc_cdf(
    rate_per_s: float, mean_service_s: float, servers: int, delayed: float
) -> Callable[[float], float]:
    service_per_s = 1 / mean_service_s
    spare_per_s = servers * service_per_s - rate_per_s
    slow_per_s = min(service_per_s, spare_per_s)
    gap_per_s = abs(spare_per_s - service_per_s)

    def cdf(t_s: float) -> float:
        # P(T > t) = exp(-mu t) + C mu (exp(-mu t) - exp(-spare t)) / (spare - mu), whose limit at
        # spare = mu is C mu t exp(-mu t).
        grown_s = t_s if gap_per_s == 0 else -math.expm1(-gap_per_s * t_s) / gap_per_s
        late = delayed * service_per_s * math.exp(-slow_per_s * t_s) * grown_s
        return 1 - math.exp(-service_per_s * t_s) - late

    return cdf


def _mdc_found(offered: float, servers: int) -> Array:
    """P(j jobs in the system) of M/D/c (Crommelin 1932): one service time later all that were in
    service have left, and those that came in it are there."""
    arrived = poisson_masses(offered)
    return stationary_embedded(lambda n: arrived, servers, servers, offered)
