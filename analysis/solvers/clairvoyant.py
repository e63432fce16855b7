"""What nobody could beat who knew all arrivals beforehand: a bound for every policy on a trace.

A linear programme relaxes everything that makes serving hard. Jobs may be cut into pieces and
served in any order at any time between arrival and deadline; a picture of a rung takes no more
engine time than its share of the batch that is best for it; time is cut into slots, and whoever
comes or is due within one may use all of it. Every policy's schedule is one of the programme's, so
no policy has fewer violations at the same mean score, if its pictures are whole runs of one rung
with that rung's score. How far below a policy can stay depends on how much it must guess and on
what batches cost to fill, so the bound need not be reachable.

A violation is a job without a picture by its deadline, whatever the reason. The mean score is over
the pictures in time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from analysis.service_times import Array
from analysis.solvers.decision_process import Rungs
from policies.costs import Costs, steps_s
from policies.nouns import Ladder

SLOTS = 8
"""Slots in the shortest deadline."""

_SLACK = 1e-9


def least_work_s(costs: Costs, ladder: Ladder, max_batch: int, encodes: bool = True) -> list[float]:
    """Engine seconds that a picture of each rung takes at the very least, by rung.

    Its share of steps and of one decoding in the best batch for either, and its own encoding.
    ValueError for a max_batch below 1.
    """
    if max_batch < 1:
        raise ValueError(f"max_batch {max_batch} must be at least 1")
    batches = range(1, max_batch + 1)
    return [
        (costs.encode_s(rung.variant) if encodes else 0.0)
        + min(steps_s(costs, rung, batch) / batch for batch in batches)
        + min(costs.decode_s(rung.variant, batch) / batch for batch in batches)
        for rung in ladder.rungs
    ]


@dataclass(frozen=True)
class Trace:
    """When jobs come, until when each must be answered, and what their pictures take and give.

    `work_s` and `scores` are by rung; `slot_s` defaults to a part of the shortest deadline.
    ValueError for lists that do not fit together, or times that are not above 0.
    """

    arrivals_s: Sequence[float]
    deadlines_after_s: Sequence[float]
    work_s: Sequence[float]
    scores: Sequence[float]
    engines: int = 1
    slot_s: float | None = None

    def __post_init__(self) -> None:
        if not len(self.arrivals_s) or len(self.arrivals_s) != len(self.deadlines_after_s):
            raise ValueError("give each job an arrival and a deadline, at least one job")
        if not len(self.work_s) or len(self.work_s) != len(self.scores):
            raise ValueError("give each rung its work and its score, at least one rung")
        if min(*self.work_s, *self.deadlines_after_s, math.inf) <= 0 or self.engines < 1:
            raise ValueError("work, deadlines and engines must be above 0")
        if self.slot_s is not None and not self.slot_s > 0:
            raise ValueError(f"slot_s {self.slot_s} must be above 0")

    def least_violations(self, mean_score: float) -> float | None:
        """The least share of violations with this mean score or a better one.

        None if no rung is that good.
        """
        if mean_score > max(self.scores) + _SLACK:
            return None
        programme = _Programme.of(self)
        rows = programme.row(np.asarray(self.scores) - mean_score, 0.0)
        unserved = programme.solve(programme.row(np.zeros(len(self.scores)), 1.0), least=rows)
        return max(0.0, unserved / len(self.arrivals_s)) if unserved is not None else None

    def best_score(self, violations: float) -> float | None:
        """The best mean score with this share of violations, below 1; None if that is too few.

        ValueError for a share outside [0, 1).
        """
        if not 0 <= violations < 1:
            raise ValueError(f"violations {violations} must be a share below 1")
        programme = _Programme.of(self)
        unserved = programme.row(np.zeros(len(self.scores)), 1.0)
        jobs = len(self.arrivals_s)
        lost = programme.solve(
            programme.row(-np.asarray(self.scores), 0.0), equal=(unserved, violations * jobs)
        )
        return None if lost is None else -lost / (jobs * (1 - violations))


@dataclass(frozen=True)
class _Programme:
    """Jobs that come in one slot and are due in one slot are one group.

    Unknowns: pictures by group and rung, then unserved jobs by group, then engine time by group and
    slot.
    """

    groups: int
    rungs: int
    served: sparse.csr_array  # each group's jobs are pictures or unserved
    jobs: Array
    worked: sparse.csr_array  # each group's pictures take the time given to it
    slots: sparse.csr_array  # no slot gives more than there is
    slot_s: float

    @classmethod
    def of(cls, trace: Trace) -> _Programme:
        slot_s = trace.slot_s or min(trace.deadlines_after_s) / SLOTS
        came_s = np.asarray(trace.arrivals_s, dtype=np.float64)
        due_s = came_s + np.asarray(trace.deadlines_after_s)
        pairs = np.floor(np.column_stack((came_s, due_s)) / slot_s + _SLACK).astype(np.int64)
        spans, jobs = np.unique(pairs, axis=0, return_counts=True)
        groups, rungs = len(spans), len(trace.scores)
        lengths = spans[:, 1] - spans[:, 0] + 1
        of_group = np.repeat(np.arange(groups), lengths)
        slot = np.concatenate([np.arange(first, last + 1) for first, last in spans])
        _, slot = np.unique(slot, return_inverse=True)
        group = np.repeat(np.arange(groups), rungs)
        pictures, times = groups * rungs, of_group.size
        columns = pictures + groups + times
        time_columns = pictures + groups + np.arange(times)
        served = _matrix(
            [
                (group, np.arange(pictures), 1.0),
                (np.arange(groups), pictures + np.arange(groups), 1.0),
            ],
            (groups, columns),
        )
        worked = _matrix(
            [
                (group, np.arange(pictures), np.tile(np.asarray(trace.work_s), groups)),
                (of_group, time_columns, -1.0),
            ],
            (groups, columns),
        )
        slots = _matrix([(slot, time_columns, 1.0 / trace.engines)], (slot.max() + 1, columns))
        return cls(groups, rungs, served, jobs.astype(np.float64), worked, slots, slot_s)

    def row(self, of_rung: Array, of_unserved: float) -> Array:
        """A linear function of the unknowns."""
        row = np.zeros(self.served.shape[1])
        row[: self.groups * self.rungs] = np.tile(of_rung, self.groups)
        row[self.groups * self.rungs : self.groups * (self.rungs + 1)] = of_unserved
        return row

    def solve(
        self,
        cost: Array,
        least: Array | None = None,
        equal: tuple[Array, float] | None = None,
    ) -> float | None:
        """The least cost, with `least` not below 0 and `equal` at its value; None if none fits."""
        upper, bounds = [self.slots], [np.full(self.slots.shape[0], self.slot_s)]
        if least is not None:
            upper.append(sparse.csr_array(-least[None, :]))
            bounds.append(np.zeros(1))
        exact, values = [self.served, self.worked], [self.jobs, np.zeros(self.groups)]
        if equal is not None:
            exact.append(sparse.csr_array(equal[0][None, :]))
            values.append(np.array([equal[1]]))
        solved = linprog(
            cost,
            A_ub=sparse.vstack(upper, format="csr"),
            b_ub=np.concatenate(bounds),
            A_eq=sparse.vstack(exact, format="csr"),
            b_eq=np.concatenate(values),
            method="highs",
        )
        if solved.status == 2:  # infeasible
            return None
        if not solved.success or solved.fun is None:
            raise RuntimeError(f"the linear programme was not solved: {solved.message}")
        return float(solved.fun)


def _matrix(
    parts: Sequence[tuple[Rungs, Rungs, Array | float]], shape: tuple[int, int]
) -> sparse.csr_array:
    rows = np.concatenate([row for row, _, _ in parts])
    columns = np.concatenate([column for _, column, _ in parts])
    values = np.concatenate([np.broadcast_to(value, row.shape) for row, _, value in parts])
    return sparse.csr_array(sparse.coo_array((values, (rows, columns)), shape=shape))
