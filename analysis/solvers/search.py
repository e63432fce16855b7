"""Search among the neighbours of a policy, by any cost that can be asked for.

The cost may be a chain's (`deadlines`), or what a simulation with fixed seeds says.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from analysis.solvers.decision_process import Rungs

STEPS = (4, 1)
"""By how many jobs the search moves a threshold, in turn."""

GAIN = 1e-7
"""The least relative gain for which it does."""


def refined(policy: Rungs, cost: Callable[[Rungs], float], steps: tuple[int, ...] = STEPS) -> Rungs:
    """The policy, with single thresholds moved while that lowers the cost.

    A threshold is the number of jobs at which a rung is entered; it moves in all rows of a phase
    together. Monotone policies stay so. The result is no worse than the policy, and no neighbour by
    the last of the steps is better.
    """
    least = cost(policy)
    phases, rungs, _ = policy.shape
    for step in steps:
        ways = list(product(range(phases), range(rungs - 1, 0, -1), (step, -step)))
        since = 0  # ways tried without a gain
        while since < len(ways):
            for phase, rung, by in ways:
                since += 1
                while (near := moved(policy, phase, rung, by)) is not None:
                    value = cost(near)
                    if value >= least - GAIN * abs(least):
                        break
                    policy, least, since = near, value, 0
                if since >= len(ways):
                    break
    return policy


def moved(policy: Rungs, phase: int, rung: int, by: int) -> Rungs | None:
    """The policy with a rung entered `by` jobs later (if negative sooner); None if it is the same.

    Other rungs give way: one that is entered sooner takes the place of better ones, one that is
    entered later leaves its place to the next better one.
    """
    near = policy.copy()
    sizes = policy.shape[2]
    for row in near[phase]:
        first = int(np.searchsorted(row, rung))
        there = min(max(first + by, 0), sizes)
        if by < 0:
            row[there:first] = np.maximum(row[there:first], rung)
        else:
            row[first:there] = np.minimum(row[first:there], rung - 1)
    return None if (near == policy).all() else near
