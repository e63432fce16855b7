"""The jobs that run together in a batching engine, each some exponential stages from its end.

A crowd is a multiset of kinds. Without control, and where a rung binds at the start, a kind is the
number of stages to come. In flight it says as well whether the job has been planned for a lower
rung than the one that holds now: a later fall shortens the others only. How much lower is not kept:
a job that was lowered twice, and in whose run the rung came back twice and then fell twice again, is
scaled once more at the last of these six changes.

All that happens to a crowd is a sparse matrix between two sets of crowds, of rates or of
probabilities; the chains of `stage_chains` are put together from these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations_with_replacement
from typing import TypeAlias

import numpy as np
from scipy import sparse

from analysis.service_times import Array

Matrix: TypeAlias = sparse.csr_array
Crowd: TypeAlias = tuple[int, ...]
"""Kinds of the jobs: the followed one first, if there is one, then the others, ascending."""
Chances: TypeAlias = dict[int, float]
_WHOLE = 1e-9


def between_neighbours(stages: float) -> Chances:
    """A number of stages that need not be whole: one of its neighbours by chance, right in the
    mean, but at least one."""
    low = math.floor(stages + _WHOLE)
    above = stages - low
    if low < 1:
        return {1: 1.0}
    return {low: 1.0} if above <= _WHOLE else {low: 1 - above, low + 1: above}


class Kinds:
    """What the kinds of job mean at each rung; `work` is each rung's over full work, falling."""

    def __init__(self, stages: int, work: Sequence[float], *, in_flight: bool) -> None:
        self._stages, self._work, self.in_flight = stages, tuple(work), in_flight
        self._most = [stages] * len(work)  # stages to come of a job planned for the rung
        if in_flight:
            for rung in range(1, len(work)):
                jumped = [self._most[own] * work[rung] / work[own] for own in range(rung)]
                longest = max(work[rung] * stages, *jumped)
                self._most[rung] = max(between_neighbours(longest))

    def admitted(self, rung: int) -> Chances:
        """Stages of a job that starts at a rung."""
        return between_neighbours(self._work[rung] * self._stages)

    def count(self, rung: int) -> int:
        """How many kinds there are at a rung. Those from `planned(rung)` on are planned lower."""
        lower = self._most[rung + 1] if self.in_flight and rung + 1 < len(self._work) else 0
        return self._most[rung] + lower

    def planned(self, rung: int) -> int:
        """Kinds of jobs that are planned for this very rung."""
        return self._most[rung]

    def left(self, rung: int, kind: int) -> int:
        """Stages to come."""
        return kind + 1 if kind < self._most[rung] else kind + 1 - self._most[rung]

    def started(self, rung: int) -> Chances:
        """Kinds of a job that starts at a rung."""
        return {stages - 1: chance for stages, chance in self.admitted(rung).items()}

    def turned(self, rung: int, new: int, kind: int) -> Chances:
        """Kinds of a running job after the rung has fallen from `rung` to `new`, or come back."""
        if not self.in_flight or new == rung:
            return {kind: 1.0}
        left = self.left(rung, kind)
        if new < rung:
            return {self._most[new] + left - 1: 1.0}
        own = rung if kind < self._most[rung] else rung + 1
        scaled = between_neighbours(left * self._work[new] / self._work[own])
        return {stages - 1: chance for stages, chance in scaled.items()}


class Crowds:
    """The crowds of 0 to `places` jobs at each rung, numbered, and what happens to them.

    With `followed` the first job is told apart: `finish` is that of the others then, and `ending` that
    of the followed one. Sizes n count the others only.
    """

    def __init__(self, kinds: Kinds, *, followed: bool) -> None:
        self._kinds, self._followed = kinds, followed
        self.numbers = cache(self._numbers)
        self.advance, self.finish = cache(self._advance), cache(self._finish)
        self.start, self.turn = cache(self._start), cache(self._turn)
        self.ending = cache(self._ending)

    def _numbers(self, rung: int, n: int) -> Mapping[Crowd, int]:
        """The crowds of n others."""
        kinds = range(self._kinds.count(rung))
        others = combinations_with_replacement(kinds, n)
        if not self._followed:
            return {crowd: number for number, crowd in enumerate(others)}
        rest = list(others)
        return {
            (own, *crowd): own * len(rest) + number
            for own in kinds
            for number, crowd in enumerate(rest)
        }

    def _advance(self, rung: int, n: int) -> Matrix:
        """Ends of stages that end no job, each at rate 1 a job; without a diagonal."""

        def law(crowd: Crowd) -> Iterator[tuple[Crowd, float]]:
            for place, kind in enumerate(crowd):
                if self._kinds.left(rung, kind) > 1:
                    yield (*crowd[:place], kind - 1, *crowd[place + 1 :]), 1.0

        return self._matrix((rung, n), (rung, n), law)

    def _finish(self, rung: int, n: int) -> Matrix:
        """Ends of others' last stages, each at rate 1."""

        def law(crowd: Crowd) -> Iterator[tuple[Crowd, float]]:
            for place in range(int(self._followed), len(crowd)):
                if self._kinds.left(rung, crowd[place]) == 1:
                    yield (*crowd[:place], *crowd[place + 1 :]), 1.0

        return self._matrix((rung, n), (rung, n - 1), law)

    def _ending(self, rung: int, n: int) -> Array:
        """1 where the followed job is in its last stage, else 0."""
        return np.array(
            [float(self._kinds.left(rung, crowd[0]) == 1) for crowd in self.numbers(rung, n)]
        )

    def _start(self, rung: int, n: int) -> Matrix:
        """Probabilities of the crowd once one more job has started among n others."""

        def law(crowd: Crowd) -> Iterator[tuple[Crowd, float]]:
            for kind, chance in self._kinds.started(rung).items():
                yield (*crowd, kind), chance

        return self._matrix((rung, n), (rung, n + 1), law)

    def _turn(self, rung: int, new: int, n: int) -> Matrix:
        """Probabilities of the crowd once the rung has changed."""

        def law(crowd: Crowd) -> Iterator[tuple[Crowd, float]]:
            crowds: dict[Crowd, float] = {(): 1.0}
            for kind in crowd:
                turned = self._kinds.turned(rung, new, kind)
                crowds = {
                    (*begun, after): chance * then
                    for begun, chance in crowds.items()
                    for after, then in turned.items()
                }
            yield from crowds.items()

        return self._matrix((rung, n), (new, n), law)

    def _matrix(
        self,
        origin: tuple[int, int],
        target: tuple[int, int],
        law: Callable[[Crowd], Iterator[tuple[Crowd, float]]],
    ) -> Matrix:
        here, there = self.numbers(*origin), self.numbers(*target)
        rows, columns, values = [], [], []
        own = int(self._followed)
        for crowd, number in here.items():
            for after, value in law(crowd):
                rows.append(number)
                columns.append(there[(*after[:own], *sorted(after[own:]))])
                values.append(value)
        return sparse.csr_array((values, (rows, columns)), shape=(len(here), len(there)))

    def following(self, rung: int, n: int, alone: Crowds) -> Matrix:
        """Probabilities of a followed job's crowd when it starts among the n jobs of `alone`."""
        rows, columns, values = [], [], []
        for crowd, number in alone.numbers(rung, n).items():
            for kind, chance in self._kinds.started(rung).items():
                rows.append(number)
                columns.append(self.numbers(rung, n)[(kind, *crowd)])
                values.append(chance)
        shape = (len(alone.numbers(rung, n)), len(self.numbers(rung, n)))
        return sparse.csr_array((values, (rows, columns)), shape=shape)
