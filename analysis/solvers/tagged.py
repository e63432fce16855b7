"""One tagged job followed through the chain to its end.

As in `analysis.models.lps`, but with a policy that changes the rung, and with phases. A state is (jobs
that must finish before it can run, jobs in the system with itself, own stages done, phase, rung in
force). Running jobs share the engines equally; those that came later matter by their number only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse, special

from analysis.service_times import Array
from analysis.solvers.decision_process import DecisionProcess, Rungs

_TAIL = 8.0  # standard deviations of the Poisson number of jumps that are followed


class TaggedChain:
    """The tagged job's chain before any policy: asked for many policies."""

    def __init__(self, process: DecisionProcess, stages: int) -> None:
        self._process, self._stages = process, stages
        self._places, self._sizes = process.station.places, process.shape[2]
        self._number_rows()

    def late(self, policy: Rungs, deadline_s: float) -> Array:
        """[phase, rung in force, jobs found]: P(the job takes longer), 0 for one that is refused."""
        finish = np.broadcast_to(self._process.finish_per_s, policy.shape)
        if (policy == policy[:, :1]).all():
            # The number of jobs says which rung is in force, so the chain need not.
            finish = np.take_along_axis(finish, policy[:, :1], axis=1)
            alone = np.zeros_like(policy[:, :1])
            return np.broadcast_to(self._late(finish, alone, deadline_s), policy.shape).copy()
        return self._late(finish, policy, deadline_s)

    def _late(self, finish_per_s: Array, policy: Rungs, deadline_s: float) -> Array:
        moves = _Moves(policy.shape[0], policy.shape[1], [])
        for phase, rung in np.ndindex(policy.shape[:2]):
            self._add_moves(moves, phase, rung, finish_per_s[phase, rung])
        survive = moves.survival(policy, self._ahead.size, deadline_s)
        late = np.zeros(policy.shape)
        found = np.arange(self._sizes - 1)
        ahead = np.maximum(0, found + 1 - self._places)
        rows = self._rows(ahead, found + 1, np.zeros_like(found))
        for phase, rung in np.ndindex(policy.shape[:2]):
            late[phase, rung, :-1] = survive[moves.state(rows, phase, policy[phase, rung, 1:])]
        return late

    def _number_rows(self) -> None:
        """Rows of (ahead, jobs, stages done): the running ones first, then those that wait."""
        jobs_max = self._sizes - 1
        running = [(0, n, k) for n in range(1, jobs_max + 1) for k in range(self._stages)]
        waiting = [
            (a, n, 0)
            for a in range(1, jobs_max - self._places + 1)
            for n in range(self._places + a, jobs_max + 1)
        ]
        self._ahead, self._in_all, self._done = np.array(running + waiting, dtype=np.int64).T
        self._waiting = np.zeros((jobs_max + 1, jobs_max + 1), dtype=np.int64)
        for row, (a, n, _) in enumerate(waiting, start=len(running)):
            self._waiting[a, n] = row

    def _rows(self, ahead: Rungs, jobs: Rungs, done: Rungs) -> Rungs:
        running = (jobs - 1) * self._stages + done
        return np.where(ahead > 0, self._waiting[ahead, jobs], running)

    def _add_moves(self, moves: _Moves, phase: int, rung: int, finish_per_s: Array) -> None:
        """The events in one phase and rung. Nobody decides at the tagged job's own stages."""
        ahead, jobs, done = self._ahead, self._in_all, self._done
        arrivals = self._process.arrivals
        finish = finish_per_s[jobs]
        sharing = np.minimum(jobs, self._places)
        runs = ahead == 0
        at = phase, rung
        room = jobs < self._sizes - 1
        more, fewer = np.minimum(jobs + 1, self._sizes - 1), jobs - 1
        moves.add(
            at, phase, self._rows(ahead, more, done), more, room * arrivals.rates_per_s[phase]
        )
        same = self._rows(ahead, jobs, done)
        for other, change in enumerate(arrivals.change_per_s[phase]):
            moves.add(at, other, same, jobs, np.full(jobs.size, change))
        nearer = self._rows(np.maximum(ahead - 1, 0), fewer, done)
        moves.add(at, phase, nearer, fewer, np.where(runs, 0.0, finish))
        others = np.where(runs, finish * (1 - 1 / sharing), 0.0)
        moves.add(at, phase, self._rows(ahead, fewer, done), fewer, others)
        last = done + 1 == self._stages
        on = np.where(last, ENDED, self._rows(ahead, jobs, np.where(last, done, done + 1)))
        own = np.where(runs, self._stages * finish / sharing, 0.0)
        moves.add(at, phase, on, np.full(jobs.size, UNDECIDED), own)


ENDED, UNDECIDED = -1, -1


@dataclass
class _Moves:
    """Events by (from, row, phase, jobs, rung in force, rate), as columns.

    The row ENDED is the tagged job's end; with UNDECIDED jobs the rung stays.
    """

    phases: int
    rungs: int
    parts: list[tuple[Rungs, Rungs, Rungs, Rungs, Rungs, Array]]

    def state(self, rows: Rungs, phase: int | Rungs, rung: int | Rungs) -> Rungs:
        """The number of a state."""
        return np.asarray((rows * self.phases + phase) * self.rungs + rung)

    def add(self, at: tuple[int, int], phase: int, rows: Rungs, jobs: Rungs, rate: Array) -> None:
        """From every row in phase and rung `at` to these rows in `phase`, where the rate is not 0."""
        used = np.flatnonzero(rate > 0)
        start = self.state(used, *at)
        to, in_force = np.full(used.size, phase), np.full(used.size, at[1])
        self.parts.append((start, rows[used], to, jobs[used], in_force, rate[used]))

    def survival(self, policy: Rungs, rows: int, deadline_s: float) -> Array:
        """P(not ended by the deadline) from every state, by uniformisation."""
        size = rows * self.phases * self.rungs
        start, row, phase, jobs, rung, rate = (
            np.concatenate(column) for column in zip(*self.parts, strict=True)
        )
        chosen = np.where(jobs == UNDECIDED, rung, policy[phase, rung, jobs])
        end, stays = self.state(row, phase, chosen), row != ENDED
        leaving = np.bincount(start, rate, size)
        uniform_per_s = float(leaving.max())
        jump = sparse.csr_array(
            sparse.coo_array((rate[stays], (start[stays], end[stays])), shape=(size, size))
            / uniform_per_s
            + sparse.diags_array(1.0 - leaving / uniform_per_s)
        )
        mean = uniform_per_s * deadline_s
        jumps = np.arange(math.ceil(mean + _TAIL * math.sqrt(mean) + 40) + 1)
        weights = np.exp(jumps * math.log(mean) - mean - special.gammaln(jumps + 1))
        alive, survive = np.ones(size), np.zeros(size)
        for weight in weights:
            survive += weight * alive
            alive = np.asarray(jump @ alive)
        return np.clip(survive, 0.0, 1.0)
