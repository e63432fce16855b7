"""One engine in virtual time: what the live step loop does at a boundary, with costs for work."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from analysis.costs import Costs
from policies import Job, Ladder, Service, replanned


@dataclass(frozen=True, slots=True)
class Grant:
    """A job on its way into the engine; `encodes` False if its text stands in the cache."""

    job: Job
    service: Service
    encodes: bool


@dataclass(slots=True)
class Run:
    """A job in the engine. planned is the present plan, done the steps visited so far.

    finished_s is the end of its decoding, reported_s the end of the boundary in which that was.
    """

    job: Job
    service: Service
    planned: int
    first_planned: int
    rung_admitted: int
    started_s: float
    done: int = 0
    finished_s: float = 0.0
    reported_s: float = 0.0


class EngineModel:
    """Runs boundaries one after the other; the simulation says when.

    `finished` collects the runs that ended since it was last emptied; busy_s is the time spent in
    boundaries. A newly announced rung is set in `announced` and holds from the next boundary on.
    """

    def __init__(self, ladder: Ladder, costs: Costs, max_batch: int, in_flight: bool) -> None:
        self.announced = 0
        self.finished: list[Run] = []
        self.busy_s = 0.0
        self._ladder = ladder
        self._costs = costs
        self._max_batch = max_batch
        self._in_flight = in_flight
        self._applied = 0
        self._inbox: deque[Grant] = deque()
        self._running: dict[str, list[Run]] = {}  # by variant, in order of first appearance
        self._cancelled: set[str] = set()

    def submit(self, grant: Grant) -> None:
        """The job joins at the first boundary with a free place."""
        self._inbox.append(grant)

    def cancel(self, job_id: str) -> None:
        """The job is dropped at the next boundary; one that is not here is ignored."""
        here = {grant.job.job_id for grant in self._inbox}
        here.update(run.job.job_id for runs in self._running.values() for run in runs)
        if job_id in here:
            self._cancelled.add(job_id)

    def has_work(self) -> bool:
        """Whether a boundary would do anything."""
        return bool(self._inbox or self._running)

    def step(self, now_s: float) -> float:
        """One boundary that begins at now_s; returns when it ends."""
        if self._cancelled:
            self._drop_cancelled()
        at_s = now_s
        newcomers: list[Run] = []
        if self._inbox:
            newcomers, at_s = self._take_in(now_s)
        if self._in_flight:
            # A plan that a rung left alone is left alone by it later too, so only what is new
            # (a rung, a job) can change anything.
            if self.announced != self._applied:
                self._applied = self.announced
                self._replan([run for runs in self._running.values() for run in runs])
            elif newcomers:
                self._replan(newcomers)
        ended = len(self.finished)
        for variant in tuple(self._running):
            at_s = self._step_group(at_s, variant)
        for run in self.finished[ended:]:
            run.reported_s = at_s
        self.busy_s += at_s - now_s
        return at_s

    def _drop_cancelled(self) -> None:
        dropped, self._cancelled = self._cancelled, set()
        self._inbox = deque(g for g in self._inbox if g.job.job_id not in dropped)
        for variant, runs in tuple(self._running.items()):
            self._keep(variant, [run for run in runs if run.job.job_id not in dropped])

    def _take_in(self, now_s: float) -> tuple[list[Run], float]:
        """Newcomers are taken in variant by variant; the texts of one variant share one call."""
        places = self._max_batch - sum(len(runs) for runs in self._running.values())
        grants = [self._inbox.popleft() for _ in range(min(places, len(self._inbox)))]
        newcomers: list[Run] = []
        at_s = now_s
        for variant in dict.fromkeys(grant.service.variant for grant in grants):
            started_s = at_s
            for grant in grants:
                service = grant.service
                if service.variant != variant:
                    continue
                if grant.encodes:
                    at_s += self._costs.encode_s(variant)
                steps = service.steps
                run = Run(grant.job, service, steps, steps, service.rung, started_s)
                self._running.setdefault(variant, []).append(run)
                newcomers.append(run)
        return newcomers, at_s

    def _replan(self, runs: list[Run]) -> None:
        for run in runs:
            change = replanned(
                run.service,
                run.planned,
                run.done,
                floor=run.job.floor,
                announced=self.announced,
                ladder=self._ladder,
                fixed=run.job.fixed,
            )
            if change is not None:
                run.service, run.planned = change

    def _step_group(self, now_s: float, variant: str) -> float:
        runs = self._running[variant]
        at_s = now_s + self._costs.step_s(variant, len(runs))
        ended = 0
        for run in runs:
            run.done += 1
            ended += run.done == run.planned
        if ended:
            at_s += self._costs.decode_s(variant, ended)
            for run in runs:
                if run.done == run.planned:
                    run.finished_s = at_s
                    self.finished.append(run)
            self._keep(variant, [run for run in runs if run.done < run.planned])
        return at_s

    def _keep(self, variant: str, runs: list[Run]) -> None:
        if runs:
            self._running[variant] = runs
        else:
            del self._running[variant]
