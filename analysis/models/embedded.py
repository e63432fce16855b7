"""The long run of a chain that is looked at between deterministic services.

From state n the chain goes to max(n - down, 0) plus a number of arrivals, whose law depends on n
below `last` and is that of `last` from there on. Such are the jobs left behind by a departure
(down = 1), those left in line by a batch (down = its size), and those in the system of M/D/c one
service time later (down = servers). The states are cut off where the geometric tail is below
LEFT_OUT and the balance equations solved as a banded linear system.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy import special
from scipy.linalg import lapack
from scipy.optimize import brentq

from analysis.service_times import Array

ArrivalLaw: TypeAlias = Callable[[int], Array]
"""n -> P(k arrivals before the chain is looked at again), k = 0, 1, ..., complete to 1e-17."""

LEFT_OUT = 1e-15
STATES_MAX = 40_000
_SHIFT = 1e-15  # of the eigenvalue 0, so that the factorisation meets no zero
_ITERATIONS = 3


def poisson_masses(mean: float, least: int = 0) -> Array:
    """Poisson probabilities of 0, 1, ... until what is left out is below 1e-18."""
    size = max(int(mean + 10 * math.sqrt(mean) + 30), least + 1)
    k = np.arange(size)
    return np.asarray(np.exp(special.xlogy(k, mean) - mean - special.gammaln(k + 1)))


def stationary_embedded(arrivals: ArrivalLaw, last: int, down: int, mean: float) -> Array:
    """P(state n) just after each look, n = 0, 1, ...

    `mean` < down is the mean of the Poisson number of arrivals from `last` on (the caller checks).
    ValueError so near to capacity that STATES_MAX states are not enough.
    """
    size = last + down + 2 + _tail(mean, down)
    if size > STATES_MAX:
        raise ValueError(
            f"the load is so near capacity that the chain needs {size} states; the limit is"
            f" {STATES_MAX}, so lower the arrival rate"
        )
    beyond = arrivals(last)
    laws = [arrivals(n) for n in range(last)]
    # Below `down` a state is left upwards only, and by as much as its arrivals say.
    widest = max([beyond.size - down, *(law.size - min(n, down) for n, law in enumerate(laws))])
    above, below = down, max(widest, 1)
    # banded[above + target - origin, origin] = coefficient of share[origin] in target's equation
    banded = np.zeros((above + below + 1, size))
    for origin in range(min(last, size)):
        law, start = laws[origin], max(origin - down, 0)
        room = min(law.size, size - start)
        banded[above + start - origin + np.arange(room), origin] -= law[:room]
    rows = above - down + np.arange(beyond.size)
    banded[rows, last:] -= beyond[:, None]
    banded[above] += 1.0 + _SHIFT
    return _null_vector(banded, above, below)


def _null_vector(banded: Array, above: int, below: int) -> Array:
    """The law whose balance equations these are, by inverse iteration: whichever state is likely,
    nothing has to be known of it beforehand."""
    room = np.zeros((below, banded.shape[1]))  # that the factorisation needs for its pivots
    factors, pivots, _ = lapack.dgbtrf(np.concatenate((room, banded)), below, above)
    share = np.full(banded.shape[1], 1 / banded.shape[1])
    for _ in range(_ITERATIONS):
        share, _ = lapack.dgbtrs(factors, below, above, share, pivots)
        share = np.abs(share) / np.abs(share).sum()
    return share


def _tail(mean: float, down: int) -> int:
    """States until a tail that decays as Poisson arrivals less `down` say is below LEFT_OUT."""
    mean = max(mean, 1e-3 * down)
    # The tail falls by 1 + x a state, where (1 + x)^down = exp(mean x), x > 0.
    low = down / mean - 1
    high = 2 * low
    while down * math.log1p(high) > mean * high:
        high *= 2
    x = brentq(lambda x: down * math.log1p(x) - mean * x, low, high)
    return math.ceil(math.log(1 / (LEFT_OUT * (1 - mean / down))) / math.log1p(x)) + 20
