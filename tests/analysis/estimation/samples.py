"""Synthetic sequences of which the truth is known."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter


def autoregressive(n: int, rho: float, seed: int, mean: float = 0.0) -> np.ndarray:
    """An AR(1) chain with unit noise, begun in its steady state: asymptotic variance 1 / (1 - rho)^2."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(n)
    noise[0] /= np.sqrt(1 - rho**2)
    return mean + np.asarray(lfilter([1.0], [1.0, -rho], noise))


def responses(
    load: float, n: int, copies: int, seed: int, *, deterministic: bool = False
) -> np.ndarray:
    """Response times of M/M/1 or M/D/1 with service 1 by Lindley's recursion, from an empty start; one
    row a copy."""
    rng = np.random.default_rng(seed)
    waits = np.zeros(copies)
    found = np.empty((n, copies))
    for number in range(n):
        service = np.ones(copies) if deterministic else rng.exponential(size=copies)
        found[number] = waits + service
        waits = np.maximum(0.0, found[number] - rng.exponential(1 / load, size=copies))
    return found.T
