"""The long run of a chain that is looked at between deterministic services.

From state n the chain goes to max(n - down, 0) plus a number of arrivals, whose law depends on n
below `last` and is that of `last` from there on. Such are the jobs left behind by a departure
(down = 1), those left in line by a batch (down = its size), and those in the system of M/D/c one
service time later (down = servers). The balance equations are solved as a banded linear system, of as many states as
hold all but LEFT_OUT; or, near capacity, of SOLVED_MAX, beyond which the tail is geometric.
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
SOLVED_MAX = 8_000
STATES_MAX = 4_000_000
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
    growth = _tail_growth(mean, down)
    length = math.ceil(math.log(1 / (LEFT_OUT * (1 - mean / down))) / math.log1p(growth)) + 20
    if length > STATES_MAX:
        raise ValueError(
            f"the load is so near capacity that the chain needs {length} states; the limit is"
            f" {STATES_MAX}, so lower the arrival rate"
        )
    size = last + down + 2 + min(length, SOLVED_MAX)
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
    if length <= SOLVED_MAX:
        return _null_vector(banded, above, below)
    _fold_tail(banded, above, beyond, down, growth)
    share = _null_vector(banded, above, below)
    tail = share[-1] * (1 + growth) ** -np.arange(1.0, length - SOLVED_MAX)
    share = np.concatenate((share, tail))
    return np.asarray(share / share.sum())


def _fold_tail(banded: Array, above: int, beyond: Array, down: int, growth: float) -> None:
    """Let the last state send what the states beyond it, each 1 + growth times rarer than the one
    before, send to those that are solved."""
    size = banded.shape[1]
    for over in range(1, down + 1):
        first = size - 1 + over - down
        room = min(beyond.size, size - first)
        rows = above + first - (size - 1) + np.arange(room)
        banded[rows, -1] -= beyond[:room] * (1 + growth) ** -over


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


def _tail_growth(mean: float, down: int) -> float:
    """By how much, relatively, a state far out is rarer than the one before, as Poisson arrivals
    less `down` say: (1 + x)^down = exp(mean x), x > 0."""
    mean = max(mean, 1e-3 * down)
    low = down / mean - 1
    high = 2 * low
    while down * math.log1p(high) > mean * high:
        high *= 2
    return float(brentq(lambda x: down * math.log1p(x) - mean * x, low, high))
