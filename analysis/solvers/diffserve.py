"""The cascade's confidence threshold for a rate, after DiffServe, by an integer linear programme.

Ahmad et al., "DiffServe: Efficiently Serving Text-to-Image Diffusion Models with Query-Aware Model
Scaling", MLSys 2025 (arXiv 2411.15381). Taken from it: every query goes to the light model first;
what a discriminator trusts too little is made again by the heavy one; the threshold, the batch
sizes and the numbers of workers for each model are one programme, under the observed demand (each
model must keep up with its share of it) and the deadline (the way through both must fit).

What differs. DiffServe maximises the threshold as a stand-in for quality; here the mean score of
what is delivered is maximised itself, since a threshold that is too high redoes good pictures. It
adds the time in queues by Little's law from the lengths it sees; solved beforehand, there is no
length to see, so a share of the capacity is left free (`headroom`) and a share of the deadline
(`deadline_share`). `shared_plan` is for engines that run both models in one batch, which DiffServe
has not; `divided_plan` divides the engines as it does. Its discriminator is a trained network; here
confidences are samples (`confidences`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import optimize

from analysis.service_times import Array
from analysis.solvers.confidences import Judged
from analysis.solvers.defaults import HEADROOM

THRESHOLDS = tuple(step / 100 for step in range(101))

_SMALL = 1e-7
"""Of plans with equal score, the one that redoes less."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What the plan is for. ValueError unless all is above 0 and the shares at most 1."""

    rate_per_s: float
    deadline_s: float
    engines: int
    headroom: float = HEADROOM
    deadline_share: float = 1.0

    def __post_init__(self) -> None:
        if not self.rate_per_s > 0 or not self.deadline_s > 0 or self.engines < 1:
            raise ValueError(
                f"rate_per_s {self.rate_per_s}, deadline_s {self.deadline_s} and engines"
                f" {self.engines} must be above 0"
            )
        for name in ("headroom", "deadline_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} {getattr(self, name)} must lie above 0 and be at most 1")

    @property
    def within_s(self) -> float:
        """The time that the way through both models may take."""
        return self.deadline_s * self.deadline_share


@dataclass(frozen=True, slots=True)
class CascadePlan:
    """A threshold, what follows from it, and how the engines are used.

    `batches` and `engines` are (cheap, full); engines that run both count for both. `feasible` is
    False where no plan fits; then no picture is made again and nothing is promised.
    """

    threshold: float
    redone_share: float
    mean_score: float
    utilisation: float
    batches: tuple[int, int]
    engines: tuple[int, int]
    feasible: bool


def shared_plan(
    demand: Demand,
    judged: Judged,
    cheap_per_s: Sequence[float],
    full_per_s: Sequence[float],
    thresholds: Sequence[float] = THRESHOLDS,
) -> CascadePlan:
    """The plan of the best mean score where every engine runs both models.

    `cheap_per_s[b-1]` is the completion rate of one engine that runs b cheap jobs, `full_per_s`
    likewise. Each job takes its share of engine time at the chosen batch. ValueError for rates that
    are not above 0 or differ in number, or no threshold.
    """
    cheap, full = _rates(cheap_per_s, full_per_s)
    redone, score = _outcomes(judged, thresholds)
    options = list(product(range(1, cheap.size + 1), range(len(thresholds))))
    rate = demand.rate_per_s / demand.engines
    busy, time_s = [], []
    for batch, level in options:
        work = 1 / cheap[batch - 1] + redone[level] / full[batch - 1]
        again_s = batch / full[batch - 1] if redone[level] > 0 else 0.0
        busy.append(rate * work)
        time_s.append(batch / cheap[batch - 1] + again_s)
    worth = np.array([score[level] - _SMALL * redone[level] for _, level in options])
    rows = np.array([np.ones(len(options)), busy, time_s])
    low = np.array([1.0, -np.inf, -np.inf])
    high = np.array([1.0, demand.headroom, demand.within_s])
    chosen = _choose(worth, rows, low, high)
    if chosen is None:
        return _nothing_redone(demand, judged, cheap)
    (index,) = np.flatnonzero(chosen)
    batch, level = options[int(index)]
    both = demand.engines
    return CascadePlan(
        float(thresholds[level]),
        float(redone[level]),
        float(score[level]),
        float(busy[int(index)]),
        (batch, batch),
        (both, both),
        feasible=True,
    )


def divided_plan(
    demand: Demand,
    judged: Judged,
    cheap_per_s: Sequence[float],
    full_per_s: Sequence[float],
    thresholds: Sequence[float] = THRESHOLDS,
) -> CascadePlan:
    """The plan of the best mean score where each engine runs one of the models, as in DiffServe.

    Binary choices: (batch, number of engines) for each model and one threshold; the products of
    their effects that the programme needs are sums, so it is linear. Arguments as `shared_plan`.
    """
    cheap, full = _rates(cheap_per_s, full_per_s)
    redone, score = _outcomes(judged, thresholds)
    first = list(product(range(1, cheap.size + 1), range(1, demand.engines + 1)))
    second = [(1, 0), *first]  # no engine for the full model, if nothing is redone
    sizes = len(first), len(second), len(thresholds)
    a, b = sizes[0], sizes[0] + sizes[1]
    rows = np.zeros((7, sum(sizes)))
    rows[0, :a], rows[1, a:b], rows[2, b:] = 1.0, 1.0, 1.0
    rows[3, :a] = [demand.headroom * count * cheap[batch - 1] for batch, count in first]
    rows[4, a:b] = [demand.headroom * count * full[batch - 1] for batch, count in second]
    rows[4, b:] = -demand.rate_per_s * redone
    rows[5, :b] = [count for _, count in (*first, *second)]
    rows[6, :a] = [batch / cheap[batch - 1] for batch, _ in first]
    rows[6, a:b] = [batch / full[batch - 1] if count else 0.0 for batch, count in second]
    low = np.array([1, 1, 1, demand.rate_per_s, 0, -np.inf, -np.inf])
    high = np.array([1, 1, 1, np.inf, np.inf, demand.engines, demand.within_s])
    worth = np.concatenate((np.zeros(b), score - _SMALL * redone))
    chosen = _choose(worth, rows, low, high)
    if chosen is None:
        return _nothing_redone(demand, judged, cheap)
    batch1, count1 = first[int(np.flatnonzero(chosen[:a])[0])]
    batch2, count2 = second[int(np.flatnonzero(chosen[a:b])[0])]
    level = int(np.flatnonzero(chosen[b:])[0])
    busy = [demand.rate_per_s / (count1 * cheap[batch1 - 1])]
    if count2:
        busy.append(demand.rate_per_s * redone[level] / (count2 * full[batch2 - 1]))
    return CascadePlan(
        float(thresholds[level]),
        float(redone[level]),
        float(score[level]),
        float(max(busy)),
        (batch1, batch2),
        (count1, count2),
        feasible=True,
    )


def _rates(cheap_per_s: Sequence[float], full_per_s: Sequence[float]) -> tuple[Array, Array]:
    cheap, full = np.asarray(cheap_per_s, float), np.asarray(full_per_s, float)
    if not cheap.size or cheap.shape != full.shape or min(cheap.min(), full.min()) <= 0:
        raise ValueError("give both models a completion rate above 0 for each batch size")
    return cheap, full


def _outcomes(judged: Judged, thresholds: Sequence[float]) -> tuple[Array, Array]:
    if not thresholds or min(thresholds) < 0 or max(thresholds) > 1:
        raise ValueError("give thresholds between 0 and 1, at least one")
    redone = np.array([judged.redone_share(threshold) for threshold in thresholds])
    score = np.array([judged.mean_score(threshold) for threshold in thresholds])
    return redone, score


def _choose(worth: Array, rows: Array, low: Array, high: Array) -> Array | None:
    """The 0/1 choices of the largest worth with low <= rows @ choice <= high; None if none fits."""
    solved = optimize.milp(
        -worth,
        constraints=optimize.LinearConstraint(rows, low, high),
        integrality=np.ones(worth.size, dtype=np.int64),
        bounds=optimize.Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    if solved.status == 2:  # infeasible
        return None
    if not solved.success:
        raise RuntimeError(f"the integer programme was not solved: {solved.message}")
    return np.asarray(np.round(solved.x))


def _nothing_redone(demand: Demand, judged: Judged, cheap: Array) -> CascadePlan:
    batch = int(np.argmax(cheap)) + 1
    busy = demand.rate_per_s / (demand.engines * float(cheap[batch - 1]))
    return CascadePlan(
        0.0, 0.0, judged.mean_score(0.0), busy, (batch, batch), (demand.engines, 0), feasible=False
    )
