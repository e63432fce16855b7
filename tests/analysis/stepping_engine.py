"""The engine's reference: the same boundaries as `analysis.engine_model`, run one by one.

Every running job is looked at at every boundary, as the live engine does; nothing is calculated
ahead.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from analysis.engine_model import Grant
from policies.costs import Costs
from policies.exits import ExitRules, changed, guided_steps
from policies.nouns import Job, Ladder, Service


@dataclass(eq=False)
class SteppedRun:
    job: Job
    service: Service
    encodes: bool
    planned: int
    first_planned: int
    started_s: float
    lowered: int = 0
    done: int = 0
    cut_steps: int = 0
    early_exit: str = "none"
    finished_s: float = 0.0
    reported_s: float = 0.0
    engine_s: float = 0.0


class SteppingEngine:
    def __init__(self, ladder: Ladder, costs: Costs, max_batch: int, rules: ExitRules) -> None:
        self.announced = 0
        self.busy_s = 0.0
        self._ladder = ladder
        self._costs = costs
        self._max_batch = max_batch
        self._rules = rules
        self._applied = 0
        self._inbox: deque[Grant] = deque()
        self._running: dict[str, list[SteppedRun]] = {}
        self._cancelled: set[str] = set()
        self._lowered: dict[str, int] = {}

    def submit(self, grant: Grant) -> None:
        self._inbox.append(grant)

    def cancel(self, job_id: str) -> None:
        waiting = [grant for grant in self._inbox if grant.job.job_id == job_id]
        for grant in waiting:
            self._inbox.remove(grant)
        if any(run.job.job_id == job_id for run in self._all()):
            self._cancelled.add(job_id)

    def lower(self, job_id: str, rung: int) -> None:
        for run in self._all():
            if run.job.job_id == job_id:
                run.lowered = max(rung, run.lowered)
        if not any(run.job.job_id == job_id for run in self._all()):
            self._lowered[job_id] = max(rung, self._lowered.get(job_id, 0))

    def has_work(self) -> bool:
        return bool(self._inbox or self._running)

    def step(self, now_s: float) -> tuple[float, list[SteppedRun]]:
        """One boundary that begins at now_s: when it ends, and the runs that end in it."""
        self._drop_cancelled()
        at_s = self._take_in(now_s)
        due: list[SteppedRun] = []
        at_s = self._exit_early(at_s, due)
        inside = [*self._all(), *due]
        for variant in tuple(self._running):
            at_s = self._step_group(at_s, variant, due)
        for variant in dict.fromkeys(run.service.variant for run in due):
            runs = [run for run in due if run.service.variant == variant]
            at_s += self._costs.decode_s(variant, len(runs))
            for run in runs:
                run.finished_s = at_s
        self.busy_s += at_s - now_s
        for run in inside:
            run.engine_s += (at_s - now_s) / len(inside)
        for run in due:
            run.reported_s = at_s
        return at_s, due

    def _all(self) -> list[SteppedRun]:
        return [run for runs in self._running.values() for run in runs]

    def _take_in(self, at_s: float) -> float:
        places = self._max_batch - len(self._all())
        grants = [self._inbox.popleft() for _ in range(min(places, len(self._inbox)))]
        for variant in dict.fromkeys(grant.service.variant for grant in grants):
            started_s = at_s
            for grant in grants:
                job, service = grant.job, grant.service
                if service.variant != variant:
                    continue
                if grant.encodes:
                    at_s += self._costs.encode_s(variant)
                lowered = self._lowered.pop(job.job_id, 0)
                run = SteppedRun(
                    job, service, grant.encodes, service.steps, service.steps, started_s, lowered
                )
                self._running.setdefault(variant, []).append(run)
        return at_s

    def _drop_cancelled(self) -> None:
        dropped, self._cancelled = self._cancelled, set()
        for variant, runs in tuple(self._running.items()):
            self._keep(variant, [run for run in runs if run.job.job_id not in dropped])

    def _exit_early(self, at_s: float, due: list[SteppedRun]) -> float:
        everybody = self.announced != self._applied or self._rules.on_lower == "finish"
        self._applied = self.announced
        for run in self._all():
            if not (everybody or run.lowered or run.done == 0):
                continue
            announced, run.lowered = max(self.announced, run.lowered), 0
            change = changed(
                run.service,
                run.planned,
                run.done,
                floor=run.job.floor,
                announced=announced,
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
                if run.encodes:
                    at_s += self._costs.encode_s(after)
        return at_s

    def _step_group(self, now_s: float, variant: str, due: list[SteppedRun]) -> float:
        runs = self._running[variant]
        cut = [run for run in runs if self._is_cut(run)]
        for run in cut:
            run.cut_steps += 1
        for run in runs:
            run.done += 1
        due += [run for run in runs if run.done == run.planned]
        self._keep(variant, [run for run in runs if run.done < run.planned])
        guided = len(runs) - len(cut) if cut else None
        return now_s + self._costs.step_s(variant, len(runs), guided)

    @staticmethod
    def _is_cut(run: SteppedRun) -> bool:
        share = run.service.guidance_share
        return share < 1 and run.done >= guided_steps(run.planned, share)

    def _keep(self, variant: str, runs: list[SteppedRun]) -> None:
        if runs:
            self._running[variant] = runs
        else:
            del self._running[variant]
