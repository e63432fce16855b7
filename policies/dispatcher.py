"""The one queue as a state machine: events in, commands out.

Admission, order, routing and the controller meet here and nowhere else. Waiting jobs wait in this
object only, so its count of them is exact: an engine is granted no more than it has places for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import count
from random import Random
from typing import assert_never

from policies.commands import (
    AdmitJob,
    AnnounceRung,
    Command,
    DropJob,
    RedoJob,
    StartJob,
)
from policies.controllers import Cascade, DeadlineAware, Split
from policies.costs import Costs
from policies.events import (
    EngineDown,
    EngineProgressed,
    EngineSuspected,
    EngineUp,
    Event,
    JobArrived,
    JobCancelled,
    JobFailed,
    JobFinished,
    Ticked,
)
from policies.fleet import Fleet
from policies.gate import Gate
from policies.groups import Engine, EngineView, GroupKey, Running
from policies.in_flight import lowerings
from policies.ledger import Counts, Ledger
from policies.line import LaneKey, WaitingLine
from policies.load import Load
from policies.matching import Matcher, Start
from policies.nouns import Job
from policies.policy import Policy
from policies.prospects import Prospects

RATE_WINDOW_S = 10.0


class Dispatcher:
    """Drives admission, order, routing and the rung. Not thread-safe; one driver owns it.

    `costs` are by pool, for policies that estimate. `draws` is the one source of randomness, for
    policies that draw. Rates are taken over rate_window_s.
    ValueError if the policy needs costs and there are none.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        costs: Mapping[str, Costs] | None = None,
        draws: Random | None = None,
        rate_window_s: float = RATE_WINDOW_S,
    ) -> None:
        needed_by = policy.costs_needed_by()
        if needed_by is not None and not costs:
            raise ValueError(f"{needed_by} decides by a cost table; give each pool of engines one")
        self.policy = policy
        controller = policy.controller
        self._split = controller if isinstance(controller, Split) else None
        self._cascade = controller if isinstance(controller, Cascade) else None
        self._by_deadline = controller if isinstance(controller, DeadlineAware) else None
        rungs = policy.ladder.rungs
        scored = all(rung.score is not None for rung in rungs)
        self._ledger = Ledger(rate_window_s, policy.ladder.scores() if scored else None)
        self._state = controller.initial()
        self._line = WaitingLine(policy.order)
        self._fleet = Fleet(policy.ladder, costs or {})
        self._draws = draws or Random(0)
        self._matcher = Matcher(policy, self._fleet, self._line, self._draws)
        self._prospects = Prospects(policy, self._fleet, self._line, self._matcher)
        self._gate = Gate(policy, self._line, self._matcher, self._prospects, self._ledger)
        self._seq = count()
        self._now_s = -math.inf

    # -- what a driver may ask ------------------------------------------------------------------

    @property
    def rung(self) -> int:
        """The controller's current rung."""
        return self._state.rung

    @property
    def announced_rung(self) -> int:
        """What engines were last told, and what one that comes up must be told first.

        0 where a rung binds at start only; also under a cascade, whose second runs are better than
        its rung on purpose.
        """
        return self._state.rung if self.policy.announces and self._cascade is None else 0

    @property
    def waiting(self) -> int:
        """Jobs in the line."""
        return len(self._line)

    def counts(self) -> Counts:
        """The conserved quantities."""
        return self._ledger.counts(len(self._line), len(self._fleet.engine_of))

    def load(self, now_s: float = -math.inf) -> Load:
        """The load as it is at now_s, for whoever asks between events (default: at the last one).

        Rates fall while nothing happens.
        """
        return self._load(len(self._line), max(self._now_s, now_s))

    def engines(self) -> tuple[EngineView, ...]:
        """The engines that are up."""
        return self._fleet.views()

    def grant_of(self, job_id: str) -> StartJob | None:
        """The grant that a running job stands on, for a gateway that asks again."""
        engine = self._fleet.engine_of.get(job_id)
        service = None if engine is None else engine.running[job_id].service
        if engine is None or service is None:
            return None
        return StartJob(job_id, engine.engine_id, service)

    def engine_of(self, job_id: str) -> str | None:
        """Where a job runs; None if it does not."""
        engine = self._fleet.engine_of.get(job_id)
        return None if engine is None else engine.engine_id

    def knows(self, job_id: str) -> bool:
        """Whether the job waits or runs."""
        return job_id in self._line or job_id in self._fleet.engine_of

    def waiting_jobs(self) -> Iterator[Job]:
        """The line, by rank and arrival."""
        return iter(self._line)

    def next_deadline_s(self) -> float | None:
        """When the driver should send the next Ticked at the latest, or None."""
        return self._line.next_drop_s()

    # -- events ---------------------------------------------------------------------------------

    def handle(self, event: Event) -> tuple[Command, ...]:
        """Take in one event; return what is to be done, in order.

        Times that fall (a wall clock set back) count as no time passing. Events about unknown
        jobs or engines change nothing: they are repetitions of something already settled.
        """
        self._now_s = max(self._now_s, event.now_s)
        if isinstance(event, EngineProgressed) and self._by_deadline is None:
            self._progressed(event)  # serves estimates; what ended at that moment decides
            return ()
        commands: list[Command] = []
        self._drop_due(commands)
        touched = self._apply(event, commands)
        self._prospects.follow_fleet()
        self._drop_due(commands)
        self._control(commands)
        for start in self._matcher.starts(self._state.rung, self._now_s):
            commands.append(self._start(start))
            touched.setdefault(start.engine.engine_id, start.engine)
        if self._by_deadline is not None and self.policy.announces:
            for engine in touched.values():
                commands += lowerings(
                    engine, self._fleet, self.policy, self._by_deadline, self._now_s
                )
        return tuple(commands)

    def _apply(self, event: Event, commands: list[Command]) -> dict[str, Engine]:
        """Take the event in; the engines whose running jobs are to be looked at again."""
        match event:
            case JobArrived():
                self._arrived(event, commands)
            case JobFinished():
                self._job_finished(event, commands)
            case JobFailed(job_id=job_id):
                self._ledger.failed += self._forget(job_id)
            case JobCancelled(job_id=job_id):
                self._ledger.cancelled += self._forget(job_id)
            case EngineUp():
                self._engine_up(event)
            case EngineDown(engine_id=engine_id):
                self._engine_lost(engine_id)
            case EngineSuspected(engine_id=engine_id, suspected=suspected):
                if engine_id in self._fleet.engines:
                    self._fleet.suspect(self._fleet.engines[engine_id], suspected)
            case EngineProgressed():
                return self._progressed(event)
            case Ticked():
                pass
            case _:
                assert_never(event)
        return {}

    # -- arrivals -------------------------------------------------------------------------------

    def _arrived(self, event: JobArrived, commands: list[Command]) -> None:
        job = event.job
        engine = self._fleet.engine_of.get(job.job_id)
        if engine is not None:
            self._adopt(engine.running[job.job_id], job)
            if event.lost_engine == engine.engine_id:
                self._requeue(job.job_id)
            return
        if job.job_id in self._line:
            return
        self._ledger.arrived(self._now_s)
        start_rung = None
        if self._split is not None:
            start_rung = self._split.draw(self._draws.random(), self.load())
        seq = next(self._seq)
        refused = self._gate.refusal(job, seq, start_rung, self._now_s, again=event.again)
        if refused is None:
            self._ledger.admitted += 1
            self._ledger.enters(job)
            self._stand(job, seq, start_rung)
            commands.append(AdmitJob(job.job_id))
        else:
            self._ledger.rejected += 1
            commands.append(refused)

    def _stand(self, job: Job, seq: int, start_rung: int | None) -> None:
        """The job takes its place in the line."""
        key = LaneKey.of(job, start_rung)
        drop_s, reason = self._prospects.leaves(key, job)
        steps = self._matcher.steps(key, job)
        self._line.add(job, seq, steps, start_rung=start_rung, drop_s=drop_s, drop_reason=reason)

    # -- ends -----------------------------------------------------------------------------------

    def _job_finished(self, event: JobFinished, commands: list[Command]) -> None:
        engine = self._fleet.engine_of.get(event.job_id)
        running = None if engine is None else engine.running[event.job_id]
        if not self._forget(event.job_id):
            return
        self._settle(event, running)
        if running is not None and self._is_redone(event, running):
            commands.append(RedoJob(event.job_id))
            return
        rung = event.rung
        if rung is None and running is not None and running.service is not None:
            rung = running.service.rung
        self._ledger.delivered(self._now_s, rung)

    def _settle(self, event: JobFinished, running: Running | None) -> None:
        """Give the tenant back what the job was charged and did not use."""
        if running is not None and running.job is not None and event.steps_run is not None:
            self._line.refund(running.job.tenant, running.charged - event.steps_run)

    def _is_redone(self, event: JobFinished, running: Running) -> bool:
        """Whether a cascade doubts the picture; then the job waits again, at its old place."""
        cascade, job, service = self._cascade, running.job, running.service
        if cascade is None or event.confidence is None or job is None or service is None:
            return False
        if job.fixed or job.variant is not None or running.start_rung is not None:
            return False  # its client chose, or it has been done over already
        if not cascade.redoes(service.rung, event.confidence, self.load()):
            return False
        drop_s, _ = self._prospects.leaves(LaneKey.of(job, cascade.second), job)
        if drop_s is not None and drop_s <= self._now_s:
            return False  # a doubtful picture is better than none
        self._ledger.redone += 1
        self._ledger.enters(job)
        self._stand(job, running.seq, cascade.second)
        return True

    def _forget(self, job_id: str) -> bool:
        """Remove a job from wherever it is; False if it is unknown."""
        if job_id in self._fleet.engine_of:
            running = self._fleet.take_out(job_id)
            if running.job is not None:
                self._ledger.leaves(running.job)
            return True
        if job_id in self._line:
            self._ledger.leaves(self._line.remove(job_id).job)
            return True
        return False

    # -- engines --------------------------------------------------------------------------------

    def _engine_up(self, event: EngineUp) -> None:
        key = GroupKey(event.pool, event.variants, event.places, event.price_per_s)
        self._fleet.check(event.engine_id, key)
        known = self._fleet.engines.get(event.engine_id)
        kept = {} if known is None else dict(known.running)
        if known is not None:
            for job_id in kept:
                if job_id in event.running:
                    self._fleet.take_out(job_id)
                else:
                    self._requeue(job_id)
            self._fleet.down(known)
        engine = self._fleet.up(event.engine_id, key)
        for job_id in event.running:
            if job_id in self._fleet.engine_of:
                continue  # it was granted elsewhere meanwhile; that grant stands
            self._fleet.place(engine, kept.get(job_id) or self._reported(job_id))

    def _reported(self, job_id: str) -> Running:
        """A job that an engine runs and that is not known to run: it waits, or is known to nobody."""
        if job_id not in self._line:
            self._ledger.admitted += 1
            return Running(job_id, None, next(self._seq), None, 0, self._now_s)
        waiting = self._line.remove(job_id)
        rung = waiting.lane.start_rung
        return Running(job_id, waiting.job, waiting.seq, None, 0, self._now_s, start_rung=rung)

    def _adopt(self, running: Running, job: Job) -> None:
        """A gateway asks again for a job that runs.

        One that this ladder could not serve runs on under its id alone: it could not wait here.
        """
        if running.job is None and self._matcher.can_ever_start(LaneKey.of(job, None), job):
            self._ledger.enters(job)
            running.job = job

    def _engine_lost(self, engine_id: str) -> None:
        engine = self._fleet.engines.get(engine_id)
        if engine is None:
            return
        for job_id in tuple(engine.running):
            self._requeue(job_id)
        self._fleet.down(engine)

    def _requeue(self, job_id: str) -> None:
        running = self._fleet.take_out(job_id)
        if running.job is None:
            # Known by its id alone, so it cannot be run again from here. Its gateway still owns
            # it and will ask again, as a job admitted anew.
            self._ledger.failed += 1
            return
        self._ledger.requeued += 1
        self._line.refund(running.job.tenant, running.charged)  # no fault of its own
        self._stand(running.job, running.seq, running.start_rung)

    def _progressed(self, event: EngineProgressed) -> dict[str, Engine]:
        engine = self._fleet.engines.get(event.engine_id)
        if engine is None:
            return {}
        for progress in event.progress:
            running = engine.running.get(progress.job_id)
            if running is not None:
                running.done, running.planned = progress.done, progress.planned
                running.told_s = self._now_s
        return {event.engine_id: engine}

    # -- decisions ------------------------------------------------------------------------------

    def _drop_due(self, commands: list[Command]) -> None:
        for waiting in self._line.take_due(self._now_s):
            self._ledger.leaves(waiting.job)
            if waiting.drop_reason == "expired":
                self._ledger.expired += 1
            else:
                self._ledger.hopeless += 1
            commands.append(DropJob(waiting.job.job_id, waiting.drop_reason))

    def _load(self, waiting: int, now_s: float) -> Load:
        return Load(
            now_s=now_s,
            waiting=waiting,
            running=len(self._fleet.engine_of) + len(self._line) - waiting,
            engines=len(self._fleet.engines),
            places=self._fleet.places,
            arrival_rate_per_s=self._ledger.arrivals.per_second(now_s),
            recent_rate_per_s=self._ledger.recent.per_second(now_s),
            capacity_per_s=self._fleet.capacity_per_s,
            score_sum=self._ledger.score_sum,
            scored=self._ledger.scored,
        )

    def _control(self, commands: list[Command]) -> None:
        """Let the controller decide on the depth that the next starts leave behind."""
        before = self._state.rung
        waiting = len(self._line) - self._matcher.placeable(before)
        self._state = self.policy.controller.decide(self._load(waiting, self._now_s), self._state)
        if self._state.rung != before and self.policy.announces:
            commands.append(AnnounceRung(self._state.rung))

    def _start(self, start: Start) -> StartJob:
        job, engine, service = start
        waiting = self._line.serve(job, service.steps)
        running = Running(
            job.job_id,
            job,
            waiting.seq,
            service,
            service.steps,
            self._now_s,
            start_rung=waiting.lane.start_rung,
            charged=service.steps,
        )
        self._fleet.place(engine, running)
        return StartJob(job.job_id, engine.engine_id, service)
