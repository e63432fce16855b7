"""A batching engine in SimPy, stage by stage, written from the words of `analysis.models.stages`.

It shares no line with the models. Unlike the chain it keeps each job's own rung.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import simpy

from analysis.models.stages import StageServer

FIGURES = (
    "mean_wait_s",
    "mean_response_s",
    "p50_s",
    "p95_s",
    "p99_s",
    "utilisation",
    "degraded_share",
)


@dataclass(eq=False)
class Job:
    """Times in seconds; `left` are stages to come, `rung` the one it is planned for."""

    arrived: float
    started: float = 0.0
    left: int = 0
    rung: int = 0
    degraded: bool = False


class Engine:
    """`share(values)` draws; `run` returns the figures in the order of FIGURES."""

    def __init__(self, rate_per_s: float, server: StageServer, seed: int) -> None:
        self._rate_per_s, self._server = rate_per_s, server
        self._draws = random.Random(seed)
        self._env = simpy.Environment()
        self._changed = self._env.event()
        self._line: list[Job] = []
        self._running: list[Job] = []
        self._done: list[tuple[Job, float]] = []
        self._rung, self._busy_s = 0, 0.0

    def run(self, jobs: int, warm_up: int) -> list[float]:
        """Of `jobs` after the first `warm_up`."""
        enough = self._env.event()
        self._env.process(self._arrive())
        self._env.process(self._serve(jobs + warm_up, enough))
        self._env.run(enough)
        counted = self._done[warm_up:]
        responses = sorted(ended - job.arrived for job, ended in counted)
        waits = [job.started - job.arrived for job, _ in counted]
        return [
            sum(waits) / jobs,
            sum(responses) / jobs,
            *(responses[int(share * jobs)] for share in (0.5, 0.95, 0.99)),
            self._busy_s / self._env.now,
            sum(job.degraded for job, _ in counted) / jobs,
        ]

    def _arrive(self) -> Any:
        while True:
            yield self._env.timeout(self._draws.expovariate(self._rate_per_s))
            self._line.append(Job(self._env.now))
            self._control()
            self._changed.succeed()
            self._changed = self._env.event()

    def _serve(self, jobs: int, enough: simpy.Event) -> Any:
        while len(self._done) < jobs:
            if not self._running:
                yield self._changed
                continue
            per_s = self._server.rates_per_s[len(self._running) - 1] * self._server.stages
            begun = self._env.now
            stage = self._env.timeout(self._draws.expovariate(per_s))
            yield stage | self._changed
            self._busy_s += self._env.now - begun
            if not stage.processed:
                continue  # a stage has no memory, so it may be drawn anew
            job = self._draws.choice(self._running)
            job.left -= 1
            if job.left == 0:
                self._running.remove(job)
                self._done.append((job, self._env.now))
                self._control()
        enough.succeed()

    def _control(self) -> None:
        """The rung is decided on the depth after the starts, then they start at it."""
        server = self._server
        starts = min(len(self._line), len(server.rates_per_s) - len(self._running))
        waiting, old = len(self._line) - starts, self._rung
        while self._rung < len(server.enter) and waiting >= server.enter[self._rung]:
            self._rung += 1
        if self._rung == old and old and waiting <= server.leave[old - 1]:
            self._rung -= 1
        for job in self._running:
            if server.in_flight and job.rung < self._rung:
                share = server.work[self._rung] / server.work[job.rung]
                job.left, job.rung, job.degraded = self._whole(job.left * share), self._rung, True
        for _ in range(starts):
            job = self._line.pop(0)
            job.started, job.rung, job.degraded = self._env.now, self._rung, self._rung > 0
            job.left = self._whole(server.work[self._rung] * server.stages)
            self._running.append(job)

    def _whole(self, stages: float) -> int:
        low = math.floor(stages + 1e-9)
        return max(1, low + (self._draws.random() < stages - low))
