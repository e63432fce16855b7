"""One engine in virtual time: what the live step loop does at a boundary, with costs for work."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from policies.costs import Costs
from analysis.records import EarlyExit
from policies import ExitRules, Job, Ladder, Service, changed, guided_steps


@dataclass(frozen=True, slots=True)
class Grant:
    """A job on its way into the engine; `encodes` False if its text stands in the cache."""

    job: Job
    service: Service
    encodes: bool


@dataclass(slots=True)
class Run:
    """A job in the engine. planned is the present plan, done the steps visited so far.

    cut_steps counts those that ran without guidance because its share was used up. finished_s is
    the end of its decoding, reported_s the end of the boundary in which that was.
    """

    job: Job
    service: Service
    encodes: bool
    planned: int
    first_planned: int
    rung_admitted: int
    started_s: float
    done: int = 0
    cut_steps: int = 0
    early_exit: EarlyExit = "none"
    finished_s: float = 0.0
    reported_s: float = 0.0

    @property
    def guidance_cut(self) -> bool:
        """Whether the next step is past the share of steps that are guided."""
        share = self.service.guidance_share
        return share < 1 and self.done >= guided_steps(self.planned, share)


class EngineModel:
    """Runs boundaries one after the other; the simulation says when.

    `finished` collects the runs that ended since it was last emptied; busy_s is the time spent in
    boundaries. A newly announced rung is set in `announced` and holds from the next boundary on.
    Texts and pictures are charged to the boundary, as in an engine that has one thread.
    """

    def __init__(self, ladder: Ladder, costs: Costs, max_batch: int, rules: ExitRules) -> None:
        self.announced = 0
        self.finished: list[Run] = []
        self.busy_s = 0.0
        self._ladder = ladder
        self._costs = costs
        self._max_batch = max_batch
        self._rules = rules
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
        due: list[Run] = []  # to be decoded
        if self._inbox:
            newcomers, at_s = self._take_in(now_s)
        if self._rules.on_lower != "keep":
            at_s = self._exit_early(at_s, newcomers, due)
        for variant in tuple(self._running):
            at_s = self._step_group(at_s, variant, due)
        for variant in dict.fromkeys(run.service.variant for run in due):
            at_s = self._decode(at_s, variant, due)
        for run in due:
            run.reported_s = at_s
        self.finished += due
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
                steps, rung = service.steps, service.rung
                run = Run(grant.job, service, grant.encodes, steps, steps, rung, started_s)
                self._running.setdefault(variant, []).append(run)
                newcomers.append(run)
        return newcomers, at_s

    def _exit_early(self, now_s: float, newcomers: list[Run], due: list[Run]) -> float:
        """Apply the announced rung to whoever it can concern; what is to finish now is due."""
        # A re-plan or hand-over that a rung does not cause now it will not cause later either, so
        # only what is new (a rung, a job) can change. How far a job is decides about finishing.
        if self.announced != self._applied or self._rules.on_lower == "finish":
            runs = [run for group in self._running.values() for run in group]
        else:
            runs = newcomers
        self._applied = self.announced
        at_s = now_s
        for run in runs:
            change = changed(
                run.service,
                run.planned,
                run.done,
                floor=run.job.floor,
                announced=self.announced,
                ladder=self._ladder,
                rules=self._rules,
                fixed=run.job.fixed,
                pinned=run.job.variant is not None,
            )
            if change is None:
                continue
            before, after = run.service.variant, change.service.variant
            run.service, run.planned = change.service, change.steps_planned
            run.early_exit = change.exit
            if change.exit == "finish":
                self._keep(before, [other for other in self._running[before] if other is not run])
                due.append(run)
            elif after != before:
                self._keep(before, [other for other in self._running[before] if other is not run])
                self._running.setdefault(after, []).append(run)
                if run.encodes:  # the text stands in the cache of the former variant only
                    at_s += self._costs.encode_s(after)
        return at_s

    def _step_group(self, now_s: float, variant: str, due: list[Run]) -> float:
        runs = self._running[variant]
        cut = [run for run in runs if run.guidance_cut]
        guided = len(runs) - len(cut) if cut else None
        for run in cut:
            run.cut_steps += 1
        ended = False
        for run in runs:
            run.done += 1
            ended |= run.done == run.planned
        if ended:
            due += [run for run in runs if run.done == run.planned]
            self._keep(variant, [run for run in runs if run.done < run.planned])
        return now_s + self._costs.step_s(variant, len(runs), guided)

    def _decode(self, now_s: float, variant: str, due: list[Run]) -> float:
        """Decode the due pictures of one variant in one call."""
        runs = [run for run in due if run.service.variant == variant]
        at_s = now_s + self._costs.decode_s(variant, len(runs))
        for run in runs:
            run.finished_s = at_s
        return at_s

    def _keep(self, variant: str, runs: list[Run]) -> None:
        if runs:
            self._running[variant] = runs
        else:
            del self._running[variant]
