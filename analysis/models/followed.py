"""The response time of a job that is followed through the chain of `stage_chains`.

While it waits a state is (jobs ahead, jobs behind, rung, crowd that runs); while it runs (jobs that
run or wait, rung, its own stages and the others' crowd). Who is behind matters because the depth of
the line sets the rung, and because the speed depends on how many run. Beyond a number that hardly
ever runs out before the followed job ends they are not counted, and of a job that has many ahead of
it that number is taken to be reached at once.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from analysis.models.absorption import AbsorptionLaw, Moves
from analysis.models.crowd import Crowds, Matrix
from analysis.models.stage_chains import LEFT_OUT, Engine, LongRun, Steps
from analysis.service_times import Array

STATES_MAX = 1_500_000


def response_law(engine: Engine, long_run: LongRun) -> AbsorptionLaw:
    """Law of the response time. ValueError if the line is too long to follow a job through it."""
    return _Followed(engine, long_run).law()


class _Followed:
    def __init__(self, engine: Engine, long_run: LongRun) -> None:
        self._engine, self._long_run = engine, long_run
        self._alone, self._crowds = long_run.crowds, Crowds(engine.kinds, followed=True)
        share = long_run.share
        found = int(np.searchsorted(np.cumsum(share), share.sum() - LEFT_OUT)) + 1
        self._line = max(0, min(found, share.size) - engine.places)
        self._behind = engine.deep + _soon_forgotten(engine)
        self._far = _far(engine, self._behind)
        self._begun: dict[tuple[int, int], Matrix] = {}
        self._size = 0
        self._running = self._number_running()
        self._waiting = self._number_waiting()
        self._moves = Moves(self._size)
        self._steps = Steps(engine, self._crowds, followed=1)
        self._blocks: dict[tuple[int, float], tuple[Matrix, list[int], list[int]]] = {}

    # -- numbers of the states --------------------------------------------------------------------

    def _take(self, size: int) -> int:
        first = self._size
        self._size += size
        if self._size > STATES_MAX:
            raise ValueError(
                f"more than {STATES_MAX} states are needed to follow a job; take fewer stages, or"
                " lower the arrival rate"
            )
        return first

    def _number_running(self) -> dict[tuple[int, int], int]:
        """(jobs in the system, rung): the first state."""
        places = self._engine.places
        return {
            (inside, rung): self._take(len(self._crowds.numbers(rung, min(inside, places) - 1)))
            for inside in range(1, places + self._behind + 1)
            for rung in self._engine.rungs(inside)
        }

    def _number_waiting(self) -> dict[tuple[int, int, int], int]:
        """(ahead, behind, rung): the first state."""
        places = self._engine.places
        return {
            (ahead, behind, rung): self._take(len(self._alone.numbers(rung, places)))
            for ahead in range(self._line)
            for behind in self._behinds(ahead)
            for rung in self._engine.rungs(places + ahead + 1 + behind)
        }

    def _behinds(self, ahead: int) -> range:
        return range(0 if ahead < self._far else self._behind, self._behind + 1)

    def _waits(self, ahead: int, behind: int, rung: int) -> int:
        behind = self._behind if ahead >= self._far else min(behind, self._behind)
        return self._waiting[ahead, behind, rung]

    def _runs(self, inside: int, rung: int) -> int:
        return self._running[min(inside, self._engine.places + self._behind), rung]

    # -- moves ------------------------------------------------------------------------------------

    def law(self) -> AbsorptionLaw:
        for (inside, rung), first in self._running.items():
            self._add_running(inside, rung, first)
        for (ahead, behind, rung), first in self._waiting.items():
            self._add_waiting(ahead, behind, rung, first)
        for (_, per_s), (matrix, origins, targets) in self._blocks.items():
            entries = matrix.tocoo()
            rows, columns = (index.astype(np.int64) for index in entries.coords)
            self._moves.add(
                np.add.outer(np.array(origins), rows).ravel(),
                np.add.outer(np.array(targets), columns).ravel(),
                np.tile(entries.data * per_s, len(origins)),
            )
        return self._moves.law(self._start())

    def _add(self, origin: int, target: int, matrix: Matrix, per_s: float) -> None:
        """Moves from the crowds at one state to those at another. The same matrix comes often."""
        key = (id(matrix), per_s)
        _, origins, targets = self._blocks.setdefault(key, (matrix, [], []))
        origins.append(origin)
        targets.append(target)

    def _add_running(self, inside: int, rung: int, first: int) -> None:
        engine, steps = self._engine, self._steps
        total, waiting = min(inside, engine.places), max(inside - engine.places, 0)
        others, per_s = total - 1, engine.stage_per_s(total)
        new, arrival = steps.arrival(rung, others, waiting)
        self._add(first, self._runs(inside + 1, new), arrival, engine.rate_per_s)
        self._add(first, first, self._crowds.advance(rung, others), per_s)
        ending = self._crowds.ending(rung, others)
        self._moves.end(first + np.arange(ending.size), per_s * ending)
        if others:
            new, end = steps.end(rung, others, waiting)
            self._add(first, self._runs(inside - 1, new), end, per_s)

    def _add_waiting(self, ahead: int, behind: int, rung: int, first: int) -> None:
        engine, steps = self._engine, self._long_run.steps
        places, depth = engine.places, ahead + 1 + behind
        per_s = engine.stage_per_s(places)
        new, arrival = steps.arrival(rung, places, depth)
        self._add(first, self._waits(ahead, behind + 1, new), arrival, engine.rate_per_s)
        self._add(first, first, self._alone.advance(rung, places), per_s)
        if ahead:
            new, end = steps.end(rung, places, depth)
            self._add(first, self._waits(ahead - 1, behind, new), end, per_s)
        else:
            new, begun = self._begins(rung, behind)
            self._add(first, self._runs(places + behind, new), begun, per_s)

    def _begins(self, rung: int, behind: int) -> tuple[int, Matrix]:
        """As `Steps.end`, where the followed job is the next in line."""
        new, others = self._engine.rung_after(rung, behind), self._engine.places - 1
        if (rung, new) not in self._begun:
            finish = self._alone.finish(rung, others + 1) @ self._alone.turn(rung, new, others)
            self._begun[rung, new] = finish @ self._crowds.following(new, others, self._alone)
        return new, self._begun[rung, new]

    def _start(self) -> Array:
        """Who arrives finds the long run."""
        engine, start = self._engine, np.zeros(self._size)
        for inside, level in enumerate(self._long_run.levels[: engine.places + self._line]):
            running, waiting = min(inside, engine.places), max(inside - engine.places, 0)
            for rung, block in self._long_run.blocks(inside).items():
                if running < engine.places:
                    new = engine.rung_after(rung, 0)
                    turned = level[block] @ self._alone.turn(rung, new, running)
                    chances = turned @ self._crowds.following(new, running, self._alone)
                    first = self._runs(inside + 1, new)
                else:
                    new, arrival = self._long_run.steps.arrival(rung, running, waiting)
                    chances, first = level[block] @ arrival, self._waits(waiting, 0, new)
                start[first : first + chances.size] += chances
        return start


def _soon_forgotten(engine: Engine) -> int:
    """So many behind a job that runs that the others hardly drain them before it ends.

    Others end stages at (places - 1) times its own rate, and arrivals bring at least `fewest` each.
    By the exponential martingale of what they are ahead, times a power of its own stages done, the
    chance that this ever exceeds y is at most exp(-tilt y) / kept^(stages - 1).
    """
    others = engine.places - 1
    if others == 0:
        return 0
    fewest = engine.fewest_stages
    arrivals = engine.rate_per_s / engine.stage_per_s(engine.places)
    tilt = np.linspace(1e-3, math.log1p((1 + arrivals) / others), 2000)
    kept = 1 - others * np.expm1(tilt) - arrivals * np.expm1(-tilt * fewest)
    tilt, kept = tilt[kept > 1e-12], np.minimum(kept[kept > 1e-12], 1.0)
    ahead = (math.log(1 / LEFT_OUT) - (engine.stages - 1) * np.log(kept)) / tilt
    # Others that run already have part of their stages done.
    return math.ceil(float(ahead.min()) / fewest) + others * (fewest > 1)


def _far(engine: Engine, behind: int) -> int:
    """So many ahead that hardly ever fewer than `behind` arrive before they have started."""
    fewest = engine.fewest_stages
    per_s = engine.stage_per_s(engine.places) * engine.places / fewest
    far = max(engine.deep, 1)
    share = per_s / (per_s + engine.rate_per_s)
    while behind and special.nbdtr(behind - 1, far, share) > LEFT_OUT:
        far += 1 + far // 4
    return far
