"""The long run of a chain whose level goes up and down by one: a quasi-birth-death process.

Levels count jobs; within a level the chain has phases. Rates may depend on the level up to `last`
and are those of `last` from there on. The repeating part is solved by logarithmic reduction (Latouche
and Ramaswami 1993, J. Appl. Prob. 30), the levels below by elimination from above (Bright and
Taylor 1995, Stochastic Models 11): all by M-matrices, so the result is exact up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from analysis.service_times import Array

Rates: TypeAlias = Callable[[int], tuple[Array, Array, Array]]
"""n -> rates from level n up, within the level (diagonal ignored), and down (empty for level 0)."""

LEFT_OUT = 1e-14
LEVELS_MAX = 40_000


def stationary(rates: Rates, last: int) -> list[Array]:
    """P(level n, phase) for n = 0, 1, ... until what is left out is below LEFT_OUT.

    `last` >= 1; the chain must be positive recurrent (the caller checks). ValueError if it is so
    near its capacity that LEVELS_MAX levels do not hold it.
    """
    up, _, down = rates(last)
    repeat = _repeating(up, _diagonal(rates, last), down)
    factors: list[Array] = [repeat]  # from the top: share[n] = share[n - 1] @ factor[n]
    for level in range(last, 0, -1):
        above = rates(level + 1)[2]
        inner = -(_diagonal(rates, level) + factors[-1] @ above)
        factors.append(_right_divide(rates(level - 1)[0], inner))
    bottom = _diagonal(rates, 0) + factors[-1] @ rates(1)[2]
    shares = [_null_vector(bottom)]
    for factor in reversed(factors[1:]):
        shares.append(shares[-1] @ factor)
        if shares[-1].sum() > 1e100:  # a long climb below the speed-up must not overflow
            shares = [share * 1e-100 for share in shares]
    one = np.ones(repeat.shape[0])
    beyond = np.linalg.solve(np.eye(repeat.shape[0]) - repeat, repeat @ one)
    total = float(sum(share.sum() for share in shares) + shares[-1] @ beyond)
    while shares[-1] @ beyond > LEFT_OUT * total:
        shares.append(shares[-1] @ repeat)
        if len(shares) > LEVELS_MAX:
            raise ValueError(
                f"the load is so near capacity that {LEVELS_MAX} jobs in the system are not"
                " enough to describe it; lower the arrival rate"
            )
    return [share / total for share in shares]


def _diagonal(rates: Rates, level: int) -> Array:
    """Rates within a level, with those of leaving each state on the diagonal."""
    up, within, down = rates(level)
    inner = np.array(within, dtype=np.float64)
    np.fill_diagonal(inner, 0.0)
    leaving = inner.sum(axis=1) + up.sum(axis=1) + down.sum(axis=1)
    return inner - np.diag(leaving)


def _repeating(up: Array, within: Array, down: Array) -> Array:
    """R of the repeating levels: share[n + 1] = share[n] @ R."""
    one = np.eye(within.shape[0])
    rise, fall = np.linalg.solve(-within, up), np.linalg.solve(-within, down)
    first, reach = fall.copy(), rise.copy()  # first passage one level down; climbed so far
    for _ in range(64):
        both = one - rise @ fall - fall @ rise
        rise, fall = np.linalg.solve(both, rise @ rise), np.linalg.solve(both, fall @ fall)
        first += reach @ fall
        reach = reach @ rise
        if np.abs(reach).max() < 1e-17:
            break
    inner = -(within + up @ first)
    return _right_divide(up, inner)


def _right_divide(left: Array, right: Array) -> Array:
    """left @ inverse of right."""
    return np.asarray(np.linalg.solve(right.T, left.T).T, dtype=np.float64)


def _null_vector(matrix: Array) -> Array:
    """The row vector x with x @ matrix = 0 and sum 1."""
    system = matrix.T.copy()
    system[-1] = 1.0
    right = np.zeros(matrix.shape[0])
    right[-1] = 1.0
    return np.asarray(np.maximum(np.linalg.solve(system, right), 0.0))
