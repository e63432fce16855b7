"""One engine in virtual time: what the live step loop does at a boundary, with costs for work.

Boundaries in which nothing changes cost the same, so they are not run one by one. A *span* is the
boundaries from one that begins with something new (a job, a rung) to the next that matters: a job's
last step, the step at which its guidance is cut, the one from which it may be finished at once. A
span takes one calculation, however many steps it has; whatever comes from outside meanwhile cuts it
off at the end of the boundary in which it came.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.records import EarlyExit
from policies.costs import Costs
from policies.events import Progress
from policies.exits import ROUNDING, ExitRules, changed, guided_steps
from policies.nouns import Job, Ladder, Service

NEVER = 1 << 62
"""The number of a boundary that does not come."""


@dataclass(slots=True, eq=False)
class Grant:
    """A job on its way into the engine; `encodes` False if its text stands in the cache."""

    job: Job
    service: Service
    encodes: bool


@dataclass(slots=True, eq=False)
class Run:
    """A job in the engine. planned is the present plan; done is set when the run has ended.

    cut_steps counts those that ran without guidance because its share was used up. finished_s is
    the end of its decoding, reported_s the end of the boundary in which that was. engine_s is its
    share of the engine's time: of every second, one part for each job that ran.

    joined, ends_at, cut_at and check_at count the engine's boundaries: how many it had run when the
    job came, after which the plan is done, from which on guidance is cut, and before which the exit
    rules must be asked again. lowered is the rung that was asked for this job alone.
    """

    job: Job
    service: Service
    encodes: bool
    planned: int
    first_planned: int
    rung_admitted: int
    started_s: float
    joined: int
    ends_at: int
    cut_at: int
    engine_from_s: float
    check_at: int = 0
    lowered: int = 0
    done: int = 0
    cut_steps: int = 0
    early_exit: EarlyExit = "none"
    finished_s: float = 0.0
    reported_s: float = 0.0
    engine_s: float = 0.0


class EngineModel:
    """Runs spans one after the other; the simulation says when.

    The simulation calls `begin`, and `end` at the time that `begin` gave. What it delivers in
    between (`submit`, `cancel`, `lower`, a new rung in `announced`) holds from the next boundary
    on; `interrupt` says when that is. busy_s is the time spent in boundaries. Texts and pictures
    are charged to the boundary, as in an engine that has one thread. `every_boundary` makes every
    span one boundary long, for cost tables that draw each cost anew.
    """

    def __init__(
        self,
        ladder: Ladder,
        costs: Costs,
        max_batch: int,
        rules: ExitRules,
        *,
        every_boundary: bool = False,
    ) -> None:
        self.announced = 0
        self.busy_s = 0.0
        self._ladder = ladder
        self._costs = costs
        self._max_batch = max_batch
        self._rules = rules
        self._exits = rules.on_lower != "keep"
        self._every_boundary = every_boundary
        self._applied = 0
        self._inbox: deque[Grant] = deque()
        self._running: dict[str, list[Run]] = {}  # by variant, in order of first appearance
        self._cancelled: set[str] = set()
        self._lowered: dict[str, int] = {}  # jobs that have not joined
        self._jobs = 0  # in the batch
        self._boundaries = 0  # run so far
        self._next_check = NEVER
        self._job_share_s = 0.0  # engine time of a job that would have run all along
        # The span: when it began, when its first step does, a step's length, how many, who ends.
        self._began_s = 0.0
        self._steps_from_s = 0.0
        self._step_s = 0.0
        self._count = 0
        self._jobs_inside = 0
        self._due: list[Run] = []

    # -- from outside ---------------------------------------------------------------------------

    def submit(self, grant: Grant) -> None:
        """The job joins at the first boundary with a free place."""
        self._inbox.append(grant)

    def cancel(self, job_id: str) -> None:
        """The job is dropped at the next boundary; one that is not here is ignored."""
        for grant in self._inbox:
            if grant.job.job_id == job_id:
                self._inbox.remove(grant)
                return
        if self._run_of(job_id) is not None:
            self._cancelled.add(job_id)

    def lower(self, job_id: str, rung: int) -> None:
        """At its next boundary, its first if it is still on its way, the job is treated as if this
        rung were announced, should it be worse than the one that is."""
        run = self._run_of(job_id)
        if run is not None:
            run.lowered = max(rung, run.lowered)
            run.check_at = self._next_check = 0
        else:
            self._lowered[job_id] = max(rung, self._lowered.get(job_id, 0))

    def interrupt(self, now_s: float) -> float | None:
        """Cut the span off at the first end of a boundary that is not before now_s.

        Returns that time; None if the span ends no later than that anyway.
        """
        if self._count <= 1 or self._step_s <= 0.0:
            return None
        count = max(1, math.ceil((now_s - self._steps_from_s) / self._step_s))
        end_s = self._steps_from_s + count * self._step_s
        if end_s < now_s:  # by rounding
            count += 1
            end_s += self._step_s
        if count >= self._count:
            return None
        self._count = count
        self._due = []
        return end_s

    # -- one span -------------------------------------------------------------------------------

    def begin(self, now_s: float) -> float | None:
        """Take in what came and plan the span that begins now; when it ends, None if idle."""
        if self._cancelled:
            self._drop_cancelled()
        at_s = self._take_in(now_s) if self._inbox else now_s
        due: list[Run] = []
        if self._exits and (
            self.announced != self._applied or self._next_check <= self._boundaries
        ):
            at_s = self._exit_early(at_s, due)
        if not self._running and not due:
            self._count = 0
            return None
        until, step_s = self._next_that_matters(bool(due))
        count = until - self._boundaries
        self._began_s, self._steps_from_s, self._step_s = now_s, at_s, step_s
        self._count = count
        self._jobs_inside = len(due) + self._jobs
        for runs in self._running.values():
            due += [run for run in runs if run.ends_at == until]
        self._due = due
        end_s = at_s + count * step_s
        return self._decode(end_s) if due else end_s

    def end(self, now_s: float) -> list[Run]:
        """The span is over; the runs that ended in it, in the order in which the engine tells."""
        self._boundaries += self._count
        self._count = 0
        spent_s = now_s - self._began_s
        self.busy_s += spent_s
        self._job_share_s += spent_s / self._jobs_inside
        ended, self._due = self._due, []
        if not ended:
            return ended
        now = self._boundaries
        for variant, runs in tuple(self._running.items()):
            self._keep(variant, runs, [run for run in runs if run.ends_at > now])
        for run in ended:
            run.done = run.planned
            if run.cut_at < NEVER:
                run.cut_steps = max(0, run.done - (run.cut_at - run.joined))
            run.reported_s = now_s
            run.engine_s = self._job_share_s - run.engine_from_s
        return self._wanted(ended)

    def progress(self) -> tuple[Progress, ...]:
        """How far the running jobs are; to be asked between two spans."""
        now = self._boundaries
        return tuple(
            [
                Progress(run.job.job_id, now - run.joined, run.planned)
                for runs in self._running.values()
                for run in self._wanted(runs)
            ]
        )

    def break_down(self, now_s: float) -> None:
        """The engine is gone, and what ran in it; only what it has worked counts on."""
        if self._count:
            self.busy_s += now_s - self._began_s

    # -- parts of a boundary --------------------------------------------------------------------

    def _take_in(self, now_s: float) -> float:
        """Newcomers are taken in variant by variant; the texts of one variant share one call."""
        grants = self._inbox
        if len(grants) > 1:
            places = self._max_batch - self._jobs
            chosen = [grants.popleft() for _ in range(min(places, len(grants)))]
            variants = dict.fromkeys([grant.service.variant for grant in chosen])
            for variant in variants:
                of_variant = [grant for grant in chosen if grant.service.variant == variant]
                now_s = self._take_in_group(now_s, variant, of_variant)
        elif self._jobs < self._max_batch:
            grant = grants.popleft()
            now_s = self._take_in_group(now_s, grant.service.variant, (grant,))
        return now_s

    def _take_in_group(self, now_s: float, variant: str, grants: Sequence[Grant]) -> float:
        at_s = now_s
        group = self._running.setdefault(variant, [])
        for grant in grants:
            if grant.encodes:
                at_s += self._costs.encode_s(variant)
            group.append(self._joining(grant, now_s))
        self._jobs += len(grants)
        self._next_check = 0
        return at_s

    def _wanted(self, runs: list[Run]) -> list[Run]:
        """Those that nobody has cancelled meanwhile."""
        if not self._cancelled:
            return runs
        return [run for run in runs if run.job.job_id not in self._cancelled]

    def _joining(self, grant: Grant, started_s: float) -> Run:
        job, service, now = grant.job, grant.service, self._boundaries
        steps, share = service.steps, service.guidance_share
        return Run(
            job,
            service,
            grant.encodes,
            steps,
            steps,
            service.rung,
            started_s,
            now,
            now + steps,
            now + guided_steps(steps, share) if share < 1 else NEVER,
            self._job_share_s,
            lowered=self._lowered.pop(job.job_id, 0) if self._lowered else 0,
        )

    def _drop_cancelled(self) -> None:
        dropped, self._cancelled = self._cancelled, set()
        for variant, runs in tuple(self._running.items()):
            self._keep(variant, runs, [run for run in runs if run.job.job_id not in dropped])

    def _exit_early(self, now_s: float, due: list[Run]) -> float:
        """Apply the announced rung to whoever it can concern; what is to finish now is due."""
        everybody = self.announced != self._applied
        self._applied = self.announced
        now, at_s = self._boundaries, now_s
        for variant in tuple(self._running):
            for run in tuple(self._running[variant]):
                if everybody or run.check_at <= now:
                    at_s = self._exit_of(at_s, run, due)
        return at_s

    def _exit_of(self, now_s: float, run: Run, due: list[Run]) -> float:
        """Ask the rules about one run and put it where it belongs then."""
        before = run.service.variant
        if not self._changes(run):
            return now_s
        after = run.service.variant
        if run.early_exit == "finish":
            self._leave(before, run)
            due.append(run)
        elif after != before:
            self._leave(before, run)
            self._running.setdefault(after, []).append(run)
            self._jobs += 1
            if run.encodes:  # the text stands in the cache of the former variant only
                return now_s + self._costs.encode_s(after)
        return now_s

    def _changes(self, run: Run) -> bool:
        """Ask the exit rules about one run, apply their answer, and note when to ask again.

        A re-plan or hand-over that a rung does not cause now it will not cause later either; how
        far a job is decides only about finishing.
        """
        announced, now = max(self.announced, run.lowered), self._boundaries
        run.lowered, run.check_at = 0, NEVER
        if announced == 0:
            return False
        done = now - run.joined
        change = changed(
            run.service,
            run.planned,
            done,
            floor=run.job.floor,
            announced=announced,
            ladder=self._ladder,
            rules=self._rules,
            fixed=run.job.fixed,
            pinned=run.job.variant is not None,
        )
        if self._rules.on_lower == "finish" and self.announced > 0:
            run.check_at = now + 1 if change is not None else self._may_finish_at(run, done)
        if change is None:
            return False
        run.service, run.planned, run.early_exit = change.service, change.steps_planned, change.exit
        run.ends_at = run.joined + run.planned
        share = run.service.guidance_share
        if share < 1 and run.cut_at > now:
            run.cut_at = max(now, run.joined + guided_steps(run.planned, share))
        return True

    def _may_finish_at(self, run: Run, done: int) -> int:
        far_enough = math.ceil(max(1.0, self._rules.finish_from * run.planned - ROUNDING))
        return run.joined + far_enough if done < far_enough else NEVER

    def _next_that_matters(self, at_once: bool) -> tuple[int, float]:
        """After which boundary something changes, and how long each step until then takes."""
        now = self._boundaries
        until = now + 1 if at_once or self._every_boundary else NEVER
        next_check, step_s = NEVER, 0.0
        for variant, runs in self._running.items():
            cut = 0
            for run in runs:
                if run.ends_at < until:
                    until = run.ends_at
                if run.cut_at <= now:
                    cut += 1
                elif run.cut_at < until:
                    until = run.cut_at
                if run.check_at < next_check:
                    next_check = run.check_at
            jobs = len(runs)
            step_s += self._costs.step_s(variant, jobs, jobs - cut if cut else None)
        self._next_check = next_check
        if self._exits and next_check < until:
            until = next_check
        return until, step_s

    def _decode(self, now_s: float) -> float:
        """Decode what is due, the pictures of one variant in one call; when all are."""
        if len(self._due) == 1:
            run = self._due[0]
            run.finished_s = now_s + self._costs.decode_s(run.service.variant, 1)
            return run.finished_s
        groups: dict[str, list[Run]] = {}
        for run in self._due:
            groups.setdefault(run.service.variant, []).append(run)
        at_s = now_s
        for variant, runs in groups.items():
            at_s += self._costs.decode_s(variant, len(runs))
            for run in runs:
                run.finished_s = at_s
        self._due = [run for runs in groups.values() for run in runs]
        return at_s

    def _run_of(self, job_id: str) -> Run | None:
        for runs in self._running.values():
            for run in runs:
                if run.job.job_id == job_id:
                    return run
        return None

    def _leave(self, variant: str, run: Run) -> None:
        runs = self._running[variant]
        self._keep(variant, runs, [other for other in runs if other is not run])

    def _keep(self, variant: str, runs: list[Run], kept: list[Run]) -> None:
        self._jobs -= len(runs) - len(kept)
        if kept:
            self._running[variant] = kept
        else:
            del self._running[variant]
