"""Servers of the textbook in SimPy, written from the words of the models; no line is shared.

One event loop serves them all: jobs in the system carry work, each server's speed may change when a
job comes or goes, and a rule may fix the speed of a job when it starts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import simpy

from analysis.records import Interval, confidence_interval

Draw: TypeAlias = Callable[[random.Random], float]
Speed: TypeAlias = Callable[[int, float], float]
"""Jobs in the system and the speed so far -> the speed of each server from now on."""
Arrive: TypeAlias = Callable[[simpy.Environment, random.Random, Callable[[], None]], Any]


@dataclass(eq=False)
class Job:
    """`work` is what is left of it, at speed 1."""

    arrived: float
    work: float
    started: float = -1.0
    fast: bool = False
    ended: float = -1.0


@dataclass
class Line:
    """`servers` behind one line. speed: see Speed. fixed: jobs left waiting -> a job's own speed.
    patience: how long a waiting job stays."""

    work: Draw
    servers: int = 1
    speed: Speed = lambda inside, before: 1.0
    fixed: Callable[[int], float] | None = None
    patience: Draw | None = None
    after: Line | None = None
    done: list[Job] = field(default_factory=list)
    lost: list[Job] = field(default_factory=list)

    def open(self, env: simpy.Environment, draws: random.Random) -> None:
        """Begin empty."""
        self.env, self.draws = env, draws
        self.waiting: list[Job] = []
        self.running: dict[Job, float] = {}  # own speeds
        self.pace, self.since, self.busy = self.speed(0, 1.0), 0.0, 0.0
        self.changed = env.event()
        self.done, self.lost = [], []
        env.process(self._serve())
        if self.after is not None:
            self.after.open(env, draws)

    def arrive(self) -> None:
        """A job comes."""
        self._work_off()
        job = Job(self.env.now, self.work(self.draws))
        self.waiting.append(job)
        if self.patience is not None:
            self.env.process(self._lose(job, self.patience(self.draws)))
        self._settle()

    def _work_off(self) -> None:
        passed, self.since = self.env.now - self.since, self.env.now
        self.busy += passed * len(self.running)
        for job, own in self.running.items():
            job.work -= passed * self.pace * own

    def _settle(self) -> None:
        while self.waiting and len(self.running) < self.servers:
            job = self.waiting.pop(0)
            job.started = self.env.now
            own = 1.0 if self.fixed is None else self.fixed(len(self.waiting))
            job.fast = own != 1.0
            self.running[job] = own
        self.pace = self.speed(len(self.running) + len(self.waiting), self.pace)
        self.changed.succeed()
        self.changed = self.env.event()

    def _lose(self, job: Job, patience: float) -> Any:
        yield self.env.timeout(patience)
        if job in self.waiting:
            self._work_off()
            self.waiting.remove(job)
            job.ended = self.env.now
            self.lost.append(job)
            self._settle()

    def _serve(self) -> Any:
        while True:
            if not self.running:
                yield self.changed
                continue
            next_job = min(self.running, key=lambda job: job.work / self.running[job])
            left = max(0.0, next_job.work) / (self.pace * self.running[next_job])
            end = self.env.timeout(left)
            yield end | self.changed
            if not end.processed:
                continue
            self._work_off()
            del self.running[next_job]
            next_job.ended = self.env.now
            next_job.fast = next_job.fast or self.pace != 1.0
            self.done.append(next_job)
            if self.after is not None:
                self.after.arrive()
            self._settle()


@dataclass
class Batches:
    """One server that takes all who wait, up to `most`, for setup + each * their number."""

    setup: float
    each: float
    most: int
    servers: int = 1
    after: None = None

    def open(self, env: simpy.Environment, draws: random.Random) -> None:
        """Begin empty."""
        self.env, self.busy = env, 0.0
        self.waiting: list[Job] = []
        self.changed = env.event()
        self.done: list[Job] = []
        self.lost: list[Job] = []
        env.process(self._serve())

    def arrive(self) -> None:
        """A job comes."""
        self.waiting.append(Job(self.env.now, 0.0))
        self.changed.succeed()
        self.changed = self.env.event()

    def _serve(self) -> Any:
        while True:
            if not self.waiting:
                yield self.changed
                continue
            batch = self.waiting[: self.most]
            del self.waiting[: self.most]
            started, takes = self.env.now, self.setup + self.each * len(batch)
            yield self.env.timeout(takes)
            self.busy += takes
            for job in batch:
                job.started, job.ended = started, self.env.now
            self.done += batch


def poisson(rate: float) -> Arrive:
    """Arrivals of a Poisson stream."""
    return bursts((rate,), (0.0,))


def bursts(rates: Sequence[float], leave: Sequence[float]) -> Arrive:
    """Arrivals of an MMPP."""

    def arrive(env: simpy.Environment, draws: random.Random, job: Callable[[], None]) -> Any:
        phase = 0
        while True:
            both = rates[phase] + leave[phase]
            yield env.timeout(draws.expovariate(both))
            if draws.random() * both < rates[phase]:
                job()
            else:
                phase = (phase + 1) % len(rates)

    return arrive


def simulated(
    arrivals: Arrive, line: Line | Batches, jobs: int, runs: int = 8
) -> dict[str, Interval]:
    """Intervals over the runs, each of about `jobs` served after a tenth as many to warm up."""
    figures = [_run(arrivals, line, jobs, seed) for seed in range(runs)]
    return {
        name: confidence_interval([one[name] for one in figures], 0.9998) for name in figures[0]
    }


def _run(arrivals: Arrive, line: Line | Batches, jobs: int, seed: int) -> dict[str, float]:
    env, draws = simpy.Environment(), random.Random(seed)
    line.open(env, draws)
    env.process(arrivals(env, draws, line.arrive))
    first, last = line, line if line.after is None else line.after
    while len(last.done) < jobs + jobs // 10:
        env.step()
    served = last.done[jobs // 10 :]
    arrived = [job.arrived for job in first.done][jobs // 10 : jobs // 10 + len(served)]
    responses = sorted(job.ended - start for job, start in zip(served, arrived, strict=True))
    waits = [job.started - job.arrived for job in served]
    gone = [job.ended - job.arrived for job in first.lost]
    return {
        "mean_wait_s": (sum(waits) + sum(gone)) / (len(waits) + len(gone)),
        "mean_response_s": sum(responses) / len(responses),
        "p50_s": responses[len(responses) // 2],
        "p95_s": responses[int(0.95 * len(responses))],
        "p99_s": responses[int(0.99 * len(responses))],
        "utilisation": first.busy / env.now / first.servers,
        "degraded_share": sum(job.fast for job in served) / len(served),
        "throughput_per_s": len(last.done) / env.now,
    }
