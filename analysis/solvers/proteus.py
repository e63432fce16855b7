"""Accuracy scaling after Proteus: the split of a rate over rungs, by a linear programme.

Ahmad et al., "Proteus: A High-Throughput Inference-Serving System with Accuracy Scaling", ASPLOS
2024. Taken from it: the server's response to more load is a less accurate mixture of models, and
the mixture for an observed rate is the one of the largest mean accuracy among those that the
machines can carry, solved exactly and looked up while the rate lasts.

What cannot be taken: its programme also decides which machine hosts which model and reloads them;
here every engine hosts its variants for good, so the programme has no whole numbers. Its batch
sizes and batching rule have no place where jobs join and leave a running batch at any step. It sees
the rate only: not the line, and not the deadline of the job at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from analysis.solvers.defaults import HEADROOM

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class RateSplit:
    """The share of jobs that each rung gets at a rate, and the mean score that follows.

    `feasible` is False where not even the fastest rung keeps up; then it gets everything.
    """

    shares: tuple[float, ...]
    mean_score: float
    utilisation: float
    feasible: bool


def split_for(
    rate_per_s: float,
    capacity_per_s: Sequence[float],
    scores: Sequence[float],
    headroom: float = HEADROOM,
) -> RateSplit:
    """The split of the largest mean score with sum of share x rate / capacity <= headroom.

    `capacity_per_s[r]` is what all engines together finish at rung r. ValueError for a rate that is
    not above 0, capacities that are not, lists of different length, or a headroom outside (0, 1].
    """
    capacity, score = np.asarray(capacity_per_s, float), np.asarray(scores, float)
    if not rate_per_s > 0:
        raise ValueError(f"rate_per_s {rate_per_s} must be above 0")
    if not capacity.size or capacity.shape != score.shape or not (capacity > 0).all():
        raise ValueError("give each rung a capacity above 0 and a score")
    if not 0 < headroom <= 1:
        raise ValueError(f"headroom {headroom} must lie above 0 and be at most 1")
    busy = rate_per_s / capacity
    if busy.min() > headroom:
        shares = np.zeros(capacity.size)
        shares[int(np.argmax(capacity))] = 1.0
        return _split(shares, busy, score, feasible=False)
    solved = linprog(
        -score,
        A_ub=busy[None, :],
        b_ub=[headroom],
        A_eq=np.ones((1, capacity.size)),
        b_eq=[1.0],
        bounds=(0.0, 1.0),
        method="highs",
    )
    if not solved.success or solved.x is None:
        raise RuntimeError(f"the linear programme was not solved: {solved.message}")
    shares = np.where(solved.x > _ROUNDING, solved.x, 0.0)
    return _split(shares / shares.sum(), busy, score, feasible=True)


def _split(
    shares: np.ndarray[tuple[int], np.dtype[np.float64]],
    busy: np.ndarray[tuple[int], np.dtype[np.float64]],
    score: np.ndarray[tuple[int], np.dtype[np.float64]],
    *,
    feasible: bool,
) -> RateSplit:
    return RateSplit(
        tuple(float(share) for share in shares),
        float(shares @ score),
        float(shares @ busy),
        feasible,
    )
