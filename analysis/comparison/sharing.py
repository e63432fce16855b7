"""A textbook's batching engine, event by event: the jobs inside share a rate that depends on their number.

It is the server that `analysis.models.stages` solves as a chain, simulated, so that what the textbook
idealises can be put right one by one: the law of a picture's work, when newcomers and rungs are
taken in, how long a rung takes to be known and has to stand, the way of a grant, the engines' speed.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from analysis.comparison.replays import Pace
from analysis.models.stages import StageServer
from policies.controllers import Hysteresis
from policies.load import Load

TINY = 1e-9
"""Work that is less is rounding."""
TICK_MARGIN_S = 0.001
STEADY = Pace()


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the engine works.

    steps: of each rung. even: every picture's work is the same; else it is Erlang distributed with
    the stages of `server`. bounded: newcomers and rungs wait for the end of the running step, whose
    length the engine's rate gives. hold_s: a lowered rung stands so long at least. rung_s, grant_s:
    the ways of an announced rung, and of a grant.
    """

    server: StageServer
    steps: tuple[int, ...]
    even: bool = False
    bounded: bool = False
    hold_s: float = 0.0
    rung_s: float = 0.0
    grant_s: float = 0.0
    pace: Pace = STEADY


@dataclass(slots=True, eq=False)
class Shared:
    """A job: work counts full services, of which `residual` is left of the present stage and
    `stages` more are to come. `rung` is the lowest that it got, `steps` what it comes to so far."""

    came_s: float
    rung: int = 0
    residual: float = 0.0
    stages: int = 0
    steps: float = 0.0
    started_s: float = math.inf
    ended_s: float = math.inf


@dataclass(frozen=True, slots=True)
class SharedRun:
    """All jobs in the order of their arrival, and the time with somebody inside."""

    jobs: tuple[Shared, ...]
    busy_s: float


def simulate_sharing(came_s: Sequence[float], sharing: Sharing, seed: int) -> SharedRun:
    """Serve all who come (sorted times, seconds) until the last has left."""
    return _Run(came_s, sharing, np.random.default_rng(seed)).run()


_ARRIVES, _STARTS, _TURNS, _TICKS = range(4)


class _Run:
    def __init__(self, came_s: Sequence[float], sharing: Sharing, rng: np.random.Generator) -> None:
        server = sharing.server
        self.sharing, self.rng = sharing, rng
        self.controller = Hysteresis(server.enter, server.leave, sharing.hold_s)
        self.state = self.controller.initial()
        self.jobs = [Shared(at_s) for at_s in came_s]
        self.waiting: deque[Shared] = deque()
        self.inside: list[Shared] = []
        self.agenda: list[tuple[float, int, int, object]] = []
        self.numbers = count()
        self.on_the_way = 0
        self.announced = 0
        self.now_s = self.busy_s = 0.0
        for job in self.jobs:
            self._plan(job.came_s, _ARRIVES, job)

    def run(self) -> SharedRun:
        while self.agenda or self.inside:
            speed = self._speed()
            least = min((job.residual for job in self.inside), default=math.inf)
            ends_s = self.now_s + least / speed if self.inside else math.inf
            next_s = self.agenda[0][0] if self.agenda else math.inf
            self._pass(min(ends_s, next_s), speed)
            if ends_s <= next_s:
                self._stages_end()
            else:
                _, _, kind, what = heapq.heappop(self.agenda)
                self._happens(kind, what)
        return SharedRun(tuple(self.jobs), self.busy_s)

    def _plan(self, at_s: float, kind: int, what: object) -> None:
        heapq.heappush(self.agenda, (at_s, next(self.numbers), kind, what))

    def _speed(self) -> float:
        """Full services a second of each job inside."""
        running = len(self.inside)
        if not running:
            return 0.0
        rates = self.sharing.server.rates_per_s
        return rates[running - 1] / running / self.sharing.pace.at(self.now_s)

    def _pass(self, until_s: float, speed: float) -> None:
        passed_s = until_s - self.now_s
        if self.inside:
            self.busy_s += passed_s
            done = speed * passed_s
            for job in self.inside:
                job.residual -= done
        self.now_s = until_s

    def _happens(self, kind: int, what: object) -> None:
        if kind == _ARRIVES:
            assert isinstance(what, Shared)
            self.waiting.append(what)
            self._decide()
        elif kind == _STARTS:
            assert isinstance(what, Shared)
            self._start(what)
        elif kind == _TURNS:
            assert isinstance(what, int)
            self.announced = what
            for job in self.inside:
                self._turn(job)
        else:
            self._decide()

    def _stages_end(self) -> None:
        left: list[Shared] = []
        for job in self.inside:
            if job.residual > TINY:
                continue
            if job.stages:
                job.stages -= 1
                job.residual = self._stage()
            else:
                job.ended_s = self.now_s
                left.append(job)
        for job in left:
            self.inside.remove(job)
            self._decide()

    def _decide(self) -> None:
        """As the dispatcher does: first the rung, by who will go on waiting, then the starts."""
        free = len(self.sharing.server.rates_per_s) - len(self.inside) - self.on_the_way
        stays = max(0, len(self.waiting) - free)
        before = self.state.rung
        self.state = self.controller.decide(
            Load(self.now_s, stays, len(self.inside), 1, free), self.state
        )
        rung = self.state.rung
        if rung != before:
            if self.sharing.hold_s:
                self._plan(self.now_s + self.sharing.hold_s + TICK_MARGIN_S, _TICKS, None)
            if self.sharing.server.in_flight:
                self._plan(self.now_s + self.sharing.rung_s + self._rest_of_step(), _TURNS, rung)
        for _ in range(min(free, len(self.waiting))):
            job = self.waiting.popleft()
            job.rung = rung
            self.on_the_way += 1
            self._plan(self.now_s + self.sharing.grant_s + self._rest_of_step(), _STARTS, job)

    def _rest_of_step(self) -> float:
        """Seconds to the end of the running step, at a random time in it."""
        if not (self.sharing.bounded and self.inside):
            return 0.0
        return float(self.rng.random()) / (self.sharing.steps[0] * self._speed())

    def _start(self, job: Shared) -> None:
        sharing = self.sharing
        self.on_the_way -= 1
        job.started_s, job.steps = self.now_s, float(sharing.steps[job.rung])
        work = sharing.server.work[job.rung]
        if sharing.even:
            job.residual = work
        else:
            job.stages = self._whole(work * sharing.server.stages) - 1
            job.residual = self._stage()
        self.inside.append(job)
        if sharing.server.in_flight:
            self._turn(job)

    def _turn(self, job: Shared) -> None:
        """A fall of the rung shortens what is left of a job; a rise leaves it as it is."""
        if self.announced <= job.rung:
            return
        sharing, work = self.sharing, self.sharing.server.work
        ratio = work[self.announced] / work[job.rung]
        stages = sharing.server.stages
        if sharing.even:
            left = job.residual / work[job.rung]
            job.residual *= ratio
        else:
            left = min(1.0, (job.stages + 1) / (stages * work[job.rung]))
            job.stages = self._whole((job.stages + 1) * ratio) - 1
        job.steps += left * (sharing.steps[self.announced] - sharing.steps[job.rung])
        job.rung = self.announced

    def _stage(self) -> float:
        return float(self.rng.exponential(1 / self.sharing.server.stages))

    def _whole(self, stages: float) -> int:
        """One of the two whole numbers around, with that mean; at least one."""
        low = math.floor(stages)
        return max(1, low + int(self.rng.random() < stages - low))
