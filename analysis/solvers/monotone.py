"""Policies that never answer more waiting with a better rung.

An optimal policy can break that rule where it costs next to nothing: at a line so long that
everybody is late anyway, or in an idle server that puts off a costly switch. A controller must keep
it (`policies.controllers.base`), so the nearest policy that does is chosen.
"""

from __future__ import annotations

import numpy as np

from analysis.service_times import Array
from analysis.solvers.decision_process import DecisionProcess, Rungs
from analysis.solvers.policy_iteration import Solution, choices

NEVER = 1e-9
"""Weight of states that the optimal policy never visits: enough to decide among equals."""


def is_monotone(policy: Rungs) -> bool:
    """Whether from every rung, more jobs never lead to a better one."""
    return bool((np.diff(policy, axis=2) >= 0).all())


def monotone(process: DecisionProcess, solution: Solution) -> Rungs:
    """The monotone policy that loses least, to first order, against the optimal one.

    Each row of the table is chosen by dynamic programming over the number of jobs: the loss of a
    rung in a state is what the optimality equation says, weighted by how often the optimal policy
    decides there. The optimal policy itself if that is monotone.
    """
    if is_monotone(solution.policy):
        return solution.policy
    options = choices(process, solution.values)
    loss = options - options.min(axis=0)
    start, end, rates = process.moves()
    visits = np.bincount(end, rates * solution.evaluation.share.ravel()[start], process.size)
    weight = visits.reshape(process.shape) + NEVER
    found = np.empty(process.shape, dtype=np.int64)
    if not process.prices.switch:
        # What is best does not depend on the current rung, so neither shall the table.
        together = weight.sum(axis=1)
        for phase in range(process.shape[0]):
            found[phase] = _isotone(loss[:, phase, 0] * together[phase])[None, :]
        return found
    for phase, current in np.ndindex(process.shape[:2]):
        found[phase, current] = _isotone(loss[:, phase, current] * weight[phase, current])
    return found


def _isotone(loss: Array) -> Rungs:
    """The rising sequence of least total loss; loss[rung, n]."""
    rungs, sizes = loss.shape
    total = np.zeros(rungs)
    came_from = np.zeros((sizes, rungs), dtype=np.int64)
    for n in range(sizes):
        least = np.minimum.accumulate(total)
        for rung in range(rungs):
            came_from[n, rung] = int(np.argmin(total[: rung + 1]))
        total = least + loss[:, n]
    path = np.empty(sizes, dtype=np.int64)
    rung = int(np.argmin(total))
    for n in range(sizes - 1, -1, -1):
        path[n] = rung
        rung = int(came_from[n, rung])
    return path
