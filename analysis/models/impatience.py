"""Lines that jobs leave: M/M/c+M, Erlang's model A (Palm 1957; Garnett, Mandelbaum, Reiman 2002)."""

from __future__ import annotations

import math

import numpy as np

from analysis.models.absorption import Moves
from analysis.models.steady import Prediction
from analysis.service_times import Array
from analysis.textbook.models import Poisson

_LEFT_OUT = 1e-17
_JOBS_MAX = 1_000_000


def erlang_a(
    rate_per_s: float, service_per_s: float, servers: int, patience_per_s: float
) -> Prediction:
    """Poisson arrivals, exponential services and patience; who is in service stays.

    mean_wait_s is over all jobs, served or not; response and percentiles are of those served;
    throughput is of those served. Exact: a birth-death chain and, for the law of response, the
    line ahead of a tagged job, which shrinks by services and by leaving. Stable at any load.
    ValueError for parameters that cannot be.
    """
    Poisson(rate_per_s)
    for name, value in (("service_per_s", service_per_s), ("patience_per_s", patience_per_s)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} {value} must be a finite number above 0")
    if servers < 1:
        raise ValueError(f"servers {servers} must be at least 1")
    all_per_s = servers * service_per_s
    share = _shares(rate_per_s, service_per_s, servers, patience_per_s)
    n = np.arange(share.size)
    in_line = float(np.maximum(n - servers, 0) @ share)
    busy = float(np.minimum(n, servers) @ share)
    throughput_per_s = busy * service_per_s
    # With a ahead the tagged job is served with this chance, and what it waits for each of them is
    # exponential whether it will be served or not.
    ahead = np.arange(max(share.size - servers, 0))
    stage_per_s = all_per_s + (ahead + 1) * patience_per_s
    waits = share[servers:] * all_per_s / stage_per_s
    served = float(share[:servers].sum() + waits.sum())
    wait_s = float(waits @ np.cumsum(1 / stage_per_s)) / served
    moves = Moves(1 + ahead.size)
    moves.end(np.array([0]), service_per_s)
    moves.add(1 + ahead, ahead, stage_per_s)
    law = moves.law(np.concatenate(([share[:servers].sum()], waits)))
    return Prediction(
        mean_wait_s=in_line / rate_per_s,
        mean_response_s=wait_s + 1 / service_per_s,
        p50_s=law.percentile(0.50),
        p95_s=law.percentile(0.95),
        p99_s=law.percentile(0.99),
        utilisation=busy / servers,
        throughput_per_s=throughput_per_s,
        method=f"M/M/{servers}+M (Erlang A): exact (birth-death chain, tagged job); response of"
        " jobs served",
        error_estimate=1e-9,
    )


def _shares(rate_per_s: float, service_per_s: float, servers: int, patience_per_s: float) -> Array:
    """P(n in the system), cut off where the rest is below _LEFT_OUT."""
    size = 2 * servers + 64
    while size < _JOBS_MAX:
        n = np.arange(1, size)
        leaving_per_s = np.minimum(n, servers) * service_per_s
        leaving_per_s = leaving_per_s + np.maximum(n - servers, 0) * patience_per_s
        log_share = np.concatenate(([0.0], np.cumsum(np.log(rate_per_s / leaving_per_s))))
        share = np.exp(log_share - log_share.max())
        share /= share.sum()
        ratio = rate_per_s / leaving_per_s[-1]
        if ratio < 1 and share[-1] * ratio / (1 - ratio) < _LEFT_OUT:
            kept = np.flatnonzero(share > _LEFT_OUT * 1e-3)[-1] + 1
            return np.asarray(share[: max(kept, servers + 1)])
        size *= 2
    raise ValueError(
        f"the line is so long that {_JOBS_MAX} jobs do not describe it; lower rate_per_s or raise"
        " patience_per_s"
    )
