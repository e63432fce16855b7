"""One tagged job followed through the chain to its end.

As in `analysis.lps`, but with a policy that changes the rung, and with phases. A state is (jobs
that must finish before it can run, jobs in the system with itself, own stages done, phase, rung in
force). Running jobs share the engines equally; those that came later matter by their number only.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from analysis.service_times import Array
from analysis.solvers.decision_process import DecisionProcess, Rungs

_TAIL = 8.0  # standard deviations of the Poisson number of jumps that are followed


class TaggedChain:
    """The tagged job's chain before any policy: built once, asked for many policies."""

    def __init__(self, process: DecisionProcess, stages: int) -> None:
        self._shape = process.shape
        self._places, self._stages = process.station.places, stages
        self._number_rows()
        parts = [
            part
            for phase, rung in np.ndindex(self._shape[:2])
            for part in self._moves(process, phase, rung)
        ]
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        self._start, self._row, self._phase, self._jobs, self._rung, own = (
            column.astype(np.int64) for column in columns[:6]
        )
        self._own = own.astype(bool)
        self._rates = columns[6].astype(np.float64)
        self._size = self._ahead.size * self._shape[0] * self._shape[1]
        self._leaving = np.bincount(self._start, self._rates, self._size)

    def late(self, policy: Rungs, deadline_s: float) -> Array:
        """[phase, rung in force, jobs found]: P(the job takes longer), 0 for one that is refused."""
        survive = self._survival(policy, deadline_s)
        late = np.zeros(self._shape)
        found = np.arange(self._shape[2] - 1)
        ahead = np.maximum(0, found + 1 - self._places)
        rows = self._rows(ahead, found + 1, np.zeros_like(found))
        for phase, rung in np.ndindex(self._shape[:2]):
            chosen = policy[phase, rung, 1:]
            late[phase, rung, :-1] = survive[self._state(rows, phase, chosen)]
        return late

    def _survival(self, policy: Rungs, deadline_s: float) -> Array:
        """P(not finished by the deadline) from every state, by uniformisation."""
        chosen = np.where(self._own, self._rung, policy[self._phase, self._rung, self._jobs])
        end = self._state(self._row, self._phase, chosen)
        stays = self._row >= 0  # the others end the tagged job
        uniform_per_s = float(self._leaving.max())
        shape = (self._size, self._size)
        moved = (self._rates[stays], (self._start[stays], end[stays]))
        jump = sparse.csr_array(
            sparse.coo_array(moved, shape=shape) / uniform_per_s
            + sparse.diags_array(1.0 - self._leaving / uniform_per_s)
        )
        mean = uniform_per_s * deadline_s
        jumps = np.arange(math.ceil(mean + _TAIL * math.sqrt(mean) + 40) + 1)
        weights = np.exp(jumps * math.log(mean) - mean - special.gammaln(jumps + 1))
        alive, survive = np.ones(self._size), np.zeros(self._size)
        for weight in weights:
            survive += weight * alive
            alive = np.asarray(jump @ alive)
        return np.clip(survive, 0.0, 1.0)

    def _number_rows(self) -> None:
        """Rows of (ahead, jobs, stages done): the running ones first, then those that wait."""
        jobs_max = self._shape[2] - 1
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

    def _state(self, rows: Rungs, phase: int | Rungs, rung: Rungs) -> Rungs:
        return np.asarray((rows * self._shape[0] + phase) * self._shape[1] + rung)

    def _moves(
        self, process: DecisionProcess, phase: int, rung: int
    ) -> list[tuple[NDArray[np.generic], ...]]:
        """(from, row, phase, jobs, rung in force, own, rate) of the events in one phase and rung.

        `own` are the tagged job's own stages, at which nobody decides; the row -1 is its end.
        """
        ahead, jobs, done = self._ahead, self._in_all, self._done
        here = self._state(np.arange(ahead.size), phase, np.full(ahead.size, rung))
        finish = process.finish_per_s[rung][jobs]
        sharing = np.minimum(jobs, self._places)
        runs = ahead == 0
        parts: list[tuple[NDArray[np.generic], ...]] = []

        def add(
            rows: Rungs, to_phase: int, to_jobs: Rungs, rate: Array, used: Array, own: bool = False
        ) -> None:
            keep = np.asarray(used, dtype=bool) & (rate > 0)
            count = int(keep.sum())
            same = (np.full(count, value) for value in (to_phase, rung, own))
            to, in_force, mine = same
            parts.append((here[keep], rows[keep], to, to_jobs[keep], in_force, mine, rate[keep]))

        room = jobs < self._shape[2] - 1
        more, fewer = np.minimum(jobs + 1, self._shape[2] - 1), jobs - 1
        arrive = np.full(ahead.size, process.arrivals.rates_per_s[phase])
        add(self._rows(ahead, more, done), phase, more, arrive, room)
        for other, change in enumerate(process.arrivals.change_per_s[phase]):
            add(self._rows(ahead, jobs, done), other, jobs, np.full(ahead.size, change), jobs > 0)
        nearer = np.maximum(ahead - 1, 0)
        add(self._rows(nearer, fewer, done), phase, fewer, finish, ~runs)
        others = finish * (1 - 1 / sharing)
        add(self._rows(ahead, fewer, done), phase, fewer, others, runs & (sharing > 1))
        last = done + 1 == self._stages
        on = np.where(last, -1, self._rows(ahead, jobs, np.where(last, done, done + 1)))
        add(on, phase, jobs, self._stages * finish / sharing, runs, own=True)
        return parts
