"""M/M/1 in closed form. It needs no library, so that asking for it takes no time."""

from __future__ import annotations

import math

from analysis.models.steady import Prediction, checked_utilisation


def mm1(rate_per_s: float, mean_service_s: float) -> Prediction:
    """M/M/1: Poisson arrivals, exponential services, one server, first come first served.

    The response is exponential with mean mean_service_s / (1 - rho) (Kleinrock 1975, Queueing Systems
    I, ch. 3). Exact at any utilisation below 1. Errors as in `steady.checked_utilisation`.
    """
    utilisation = checked_utilisation(rate_per_s, mean_service_s, 1)
    response_s = mean_service_s / (1 - utilisation)
    p50_s, p95_s, p99_s = (-response_s * math.log1p(-share) for share in (0.50, 0.95, 0.99))
    return Prediction(
        mean_wait_s=utilisation * response_s,
        mean_response_s=response_s,
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        utilisation=utilisation,
        throughput_per_s=rate_per_s,
        method="M/M/1: exact (closed form)",
        error_estimate=1e-12,
    )
