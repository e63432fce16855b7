"""Several deterministic servers whose speed is fixed at the start, by simulation.

No closed form is known: the residual times of several servers and the line's length together decide
what comes. So many independent lines are simulated side by side, one job of each at a time, with a
seed of their own that never changes: the same parameters give the same figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from analysis.models.lines import mdc
from analysis.models.starts import check_starts, start_deterministic
from analysis.models.steady import Prediction
from analysis.service_times import Array

_LINES = 1000
_GROUPS = 20  # of lines, for the interval
_COUNTED = 1200
_WARM_UP = 400
_SEED = 20_240_917
_LEVEL = 0.99


def start_deterministic_servers(
    rate_per_s: float, slow_s: float, fast_s: float, waiting: int, servers: int
) -> Prediction:
    """As `starts.start_deterministic` on several servers (one: that, exactly).

    Exact where all services are alike (M/D/c), else simulated; error_estimate is then the largest
    relative half-width of the figures' 99 % intervals, and the drift that is left after warm-up where
    that is larger. Warm-up grows with the line; a load near that of the slow speed alone converges
    slowly, which the drift shows. Errors as there.
    """
    check_starts(rate_per_s, slow_s, fast_s, waiting, servers)
    if fast_s > slow_s:
        raise ValueError(f"fast_s {fast_s} must not be longer than slow_s {slow_s}")
    if servers == 1:
        return start_deterministic(rate_per_s, slow_s, fast_s, waiting)
    if waiting == 0 or fast_s == slow_s:
        return mdc(rate_per_s, fast_s, servers)
    run = _run(rate_per_s, slow_s, fast_s, waiting, servers)
    figures = run.figures(slice(None))
    groups = np.array([run.figures(slice(g, None, _GROUPS)) for g in range(_GROUPS)])
    error = groups.std(axis=0, ddof=1) / np.sqrt(_GROUPS)
    half_width = special.stdtrit(_GROUPS - 1, (1 + _LEVEL) / 2) * error
    wait_s, response_s, p50_s, p95_s, p99_s, fast, busy_s = figures
    # A share may be 0; its error is compared with 1, that of a wait with the response.
    scale = np.array([response_s, response_s, p50_s, p95_s, p99_s, 1.0, response_s])
    return Prediction(
        mean_wait_s=wait_s,
        mean_response_s=response_s,
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        utilisation=rate_per_s * busy_s / servers,
        throughput_per_s=rate_per_s,
        method=f"M/D/{servers}, speed fixed at the start, fast if {waiting} wait: simulation of"
        f" {_LINES * _COUNTED} jobs (no closed form is known)",
        degraded_share=fast,
        error_estimate=float(max((half_width / scale).max(), run.drift())),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """[line, job]: wait, service, and whether it was fast, of the jobs that count."""

    wait_s: Array
    service_s: Array
    fast: Array

    def figures(self, lines: slice) -> tuple[float, ...]:
        """Mean wait and response, percentiles of the response, fast share, mean service."""
        response_s = self.wait_s[lines] + self.service_s[lines]
        p50_s, p95_s, p99_s = (float(p) for p in np.percentile(response_s, (50, 95, 99)))
        return (
            float(self.wait_s[lines].mean()),
            float(response_s.mean()),
            p50_s,
            p95_s,
            p99_s,
            float(self.fast[lines].mean()),
            float(self.service_s[lines].mean()),
        )

    def drift(self) -> float:
        """How far the mean responses of both halves lie apart, relatively, beyond their noise."""
        response_s = self.wait_s + self.service_s
        half = response_s.shape[1] // 2
        difference = response_s[:, :half].mean(axis=1) - response_s[:, half:].mean(axis=1)
        noise = 3 * float(difference.std(ddof=1)) / np.sqrt(difference.size)
        beyond = abs(float(difference.mean())) - float(noise)
        return max(0.0, beyond) / float(response_s.mean())


def _run(rate_per_s: float, slow_s: float, fast_s: float, waiting: int, servers: int) -> _Run:
    warm_up = _WARM_UP + 8 * (waiting + servers)
    jobs = warm_up + _COUNTED
    generator = np.random.Generator(np.random.PCG64(_SEED))
    gaps = generator.standard_exponential((jobs + waiting, _LINES))
    arrived_s = np.cumsum(gaps, axis=0) / rate_per_s
    free_s, every = np.zeros((_LINES, servers)), np.arange(_LINES)
    wait_s, fast = np.empty((_COUNTED, _LINES)), np.empty((_COUNTED, _LINES))
    for job in range(jobs):
        first = free_s.argmin(axis=1)
        start_s = np.maximum(arrived_s[job], free_s[every, first])
        # It leaves at least `waiting` behind just if the one so many later has come.
        is_fast = arrived_s[job + waiting] <= start_s
        free_s[every, first] = start_s + np.where(is_fast, fast_s, slow_s)
        if job >= warm_up:
            wait_s[job - warm_up], fast[job - warm_up] = start_s - arrived_s[job], is_fast
    return _Run(wait_s.T, (slow_s + (fast_s - slow_s) * fast).T, fast.T)
