"""A batching engine as a chain of (jobs waiting, stages to come of those that run, rung), solved.

See `stages` for the model and its assumptions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy import sparse

from analysis.models.crowd import Crowds, Kinds, Matrix
from analysis.models.levels import stationary
from analysis.service_times import Array

LEFT_OUT = 1e-9
"""Share of the jobs whose number ahead or behind is cut off, and their law with it."""


@dataclass(frozen=True)
class Engine:
    """The chain's parameters; `rates_per_s`, `enter` and `leave` as in `stages.StageServer`."""

    rate_per_s: float
    rates_per_s: tuple[float, ...]
    stages: int
    kinds: Kinds
    enter: tuple[int, ...]
    leave: tuple[int, ...]

    @property
    def places(self) -> int:
        """How many run at once."""
        return len(self.rates_per_s)

    def stage_per_s(self, running: int) -> float:
        """At which each of so many jobs ends stages."""
        return self.stages * self.rates_per_s[running - 1] / running

    @property
    def fewest_stages(self) -> int:
        """That a job can start with."""
        return min(
            stages for rung in range(len(self.enter) + 1) for stages in self.kinds.admitted(rung)
        )

    def rung_after(self, rung: int, waiting: int) -> int:
        """As `policies.controllers.Hysteresis` decides, which is asked at arrivals and ends."""
        new = rung
        while new < len(self.enter) and waiting >= self.enter[new]:
            new += 1
        if new == rung > 0 and waiting <= self.leave[rung - 1]:
            return rung - 1
        return new

    @cached_property
    def deep(self) -> int:
        """From so many waiting on the last rung holds; 0 without rungs."""
        return self.enter[-1] if self.enter else 0

    @cache  # noqa: B019  (an engine lives as long as one prediction)
    def rungs(self, inside: int) -> tuple[int, ...]:
        """That can hold with so many jobs in the system, waiting or running."""
        return self._reached[min(inside, self.places + self.deep)]

    @cached_property
    def _reached(self) -> list[tuple[int, ...]]:
        top = self.places + self.deep + 1
        reached: list[set[int]] = [set() for _ in range(top + 1)]
        todo = [(0, 0)]
        while todo:
            inside, rung = todo.pop()
            if rung in reached[inside]:
                continue
            reached[inside].add(rung)
            for after in (inside - 1, inside + 1):
                if 0 <= after <= top:
                    todo.append((after, self.rung_after(rung, max(after - self.places, 0))))
        return [tuple(sorted(rungs)) for rungs in reached]


class Steps:
    """What arrivals and ends make of the rung and of a crowd, beside which `followed` jobs run."""

    def __init__(self, engine: Engine, crowds: Crowds, followed: int = 0) -> None:
        self._engine, self._crowds, self._followed = engine, crowds, followed
        self._after_end = cache(self._end_matrix)
        self._after_arrival = cache(self._arrival_matrix)

    def arrival(self, rung: int, running: int, waiting: int) -> tuple[int, Matrix]:
        """New rung, and probabilities of the crowd, where `running` others run."""
        starts = running + self._followed < self._engine.places
        new = self._engine.rung_after(rung, 0 if starts else waiting + 1)
        return new, self._after_arrival(rung, new, running, starts)

    def end(self, rung: int, running: int, waiting: int) -> tuple[int, Matrix]:
        """New rung, and rates per stage to the crowd, once one of the others has ended and the
        next in line has started."""
        new = self._engine.rung_after(rung, max(waiting - 1, 0))
        return new, self._after_end(rung, new, running, waiting > 0)

    def _arrival_matrix(self, rung: int, new: int, running: int, starts: bool) -> Matrix:
        turn = self._crowds.turn(rung, new, running)
        return sparse.csr_array(turn @ self._crowds.start(new, running) if starts else turn)

    def _end_matrix(self, rung: int, new: int, running: int, starts: bool) -> Matrix:
        finish = self._crowds.finish(rung, running)
        end = finish @ self._crowds.turn(rung, new, running - 1)
        return sparse.csr_array(end @ self._crowds.start(new, running - 1) if starts else end)


class LongRun:
    """Long-run shares of time."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.crowds = engine, Crowds(engine.kinds, followed=False)
        self.steps = Steps(engine, self.crowds)
        last = engine.places + engine.deep + 1
        self.levels = stationary(cache(self._rates), last)
        self.share = np.array([level.sum() for level in self.levels])

    def blocks(self, inside: int) -> dict[int, slice]:
        """Where the crowds of each rung stand in a level."""
        running, first, blocks = min(inside, self._engine.places), 0, {}
        for rung in self._engine.rungs(inside):
            size = len(self.crowds.numbers(rung, running))
            blocks[rung] = slice(first, first + size)
            first += size
        return blocks

    def _rates(self, inside: int) -> tuple[Array, Array, Array]:
        engine, crowds = self._engine, self.crowds
        here, above = self.blocks(inside), self.blocks(inside + 1)
        below = self.blocks(inside - 1) if inside else {}
        size = _end(here)
        up, within = np.zeros((size, _end(above))), np.zeros((size, size))
        down = np.zeros((size, _end(below)))
        running, waiting = min(inside, engine.places), max(inside - engine.places, 0)
        for rung, block in here.items():
            new, arrival = self.steps.arrival(rung, running, waiting)
            up[block, above[new]] += engine.rate_per_s * arrival.toarray()
            if inside:
                per_s = engine.stage_per_s(running)
                within[block, block] += per_s * crowds.advance(rung, running).toarray()
                new, end = self.steps.end(rung, running, waiting)
                down[block, below[new]] += per_s * end.toarray()
        return up, within, down

    def degraded_share(self) -> float:
        """Share of jobs that start lower than at full work or, in flight, are lowered in their run."""
        engine = self._engine
        lowered = 0.0
        for inside, level in enumerate(self.levels):
            running, waiting = min(inside, engine.places), max(inside - engine.places, 0)
            for rung, block in self.blocks(inside).items():
                share, new = (
                    level[block],
                    engine.rung_after(rung, max(inside + 1 - engine.places, 0)),
                )
                starts = engine.rate_per_s if running < engine.places else 0.0
                lowered += starts * float(share.sum()) * (new > 0)
                lowered += engine.rate_per_s * float(self._falls(rung, new, running) @ share)
                if inside == 0:
                    continue
                new = engine.rung_after(rung, max(waiting - 1, 0))
                ends = engine.stage_per_s(running) * self.crowds.finish(rung, running)
                left_behind = share @ ends
                lowered += float(left_behind.sum()) * (waiting > 0 and new > 0)
                lowered += float(self._falls(rung, new, running - 1) @ left_behind)
        return lowered / engine.rate_per_s

    def _falls(self, rung: int, new: int, running: int) -> Array:
        """[crowd]: how many of its jobs, at full work so far, a fall from rung 0 lowers."""
        numbers = self.crowds.numbers(rung, running)
        kinds = self._engine.kinds
        if not kinds.in_flight or rung > 0 or new == 0:
            return np.zeros(len(numbers))
        full = kinds.planned(0)
        return np.array([float(sum(kind < full for kind in crowd)) for crowd in numbers])


def _end(blocks: dict[int, slice]) -> int:
    return max((block.stop for block in blocks.values()), default=0)
