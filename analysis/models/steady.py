"""What every queueing model gives, and its refusal of a load that cannot be served."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.models.laws import Law


class Unstable(ValueError):
    """The load exceeds what can be served; `utilisation` (at least 1) says by how much."""

    def __init__(self, utilisation: float) -> None:
        super().__init__(
            f"utilisation {utilisation:.3f} is not below 1: without control the queue grows"
            " without bound; lower the arrival rate or let a controller shorten the service"
        )
        self.utilisation = utilisation


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of the long run; nan where it says nothing, None where nothing is meant.

    utilisation is the share of time that a server (or the engine) is busy; percentiles are of the
    response time, from arrival to the end of service. degraded_share is the share of jobs that a
    controller served faster, error_estimate the relative error to be expected of the least certain
    figure.
    """

    mean_wait_s: float
    mean_response_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    utilisation: float
    throughput_per_s: float
    method: str
    degraded_share: float | None = None
    error_estimate: float | None = None


def prediction(
    mean_wait_s: float,
    mean_service_s: float,
    law: Law,
    utilisation: float,
    throughput_per_s: float,
    method: str,
    *,
    degraded_share: float | None = None,
    error_estimate: float | None = None,
) -> Prediction:
    """Put means and percentiles together. Errors are those of the law."""
    # Rounding shall put no wait below 0, no percentile below a smaller one, no share above 1.
    mean_wait_s = max(mean_wait_s, 0.0)
    p50_s = law.percentile(0.50)
    p95_s = max(law.percentile(0.95), p50_s)
    return Prediction(
        mean_wait_s=mean_wait_s,
        mean_response_s=mean_wait_s + mean_service_s,
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=max(law.percentile(0.99), p95_s),
        utilisation=min(utilisation, 1.0),
        throughput_per_s=throughput_per_s,
        method=method,
        degraded_share=degraded_share,
        error_estimate=error_estimate,
    )


def checked_utilisation(rate_per_s: float, mean_service_s: float, servers: int) -> float:
    """Utilisation of servers without control. ValueError for a rate, a mean or a number that cannot
    be; Unstable if it is not below 1."""
    if servers < 1:
        raise ValueError(f"servers {servers} must be at least 1")
    for name, value in (("rate_per_s", rate_per_s), ("the mean service", mean_service_s)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} {value} must be a finite number above 0")
    utilisation = rate_per_s * mean_service_s / servers
    if utilisation >= 1:
        raise Unstable(utilisation)
    return utilisation
