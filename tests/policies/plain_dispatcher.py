"""The dispatcher's rules once more, as plainly as they can be said: lists that are searched and
sorted anew for every question. `test_dispatcher_oracle.py` holds the real one against it."""

from __future__ import annotations

from collections.abc import Mapping

from policies import (
    AdmitJob,
    AnnounceRung,
    Cascade,
    Command,
    DeadlineAware,
    DropJob,
    EngineDown,
    EngineProgressed,
    EngineSuspected,
    EngineUp,
    Event,
    Job,
    JobArrived,
    JobCancelled,
    JobFailed,
    JobFinished,
    LowerJob,
    RedoJob,
    RejectJob,
    Service,
    Split,
    StartJob,
    WithinBudget,
    changed,
)
from policies.commands import RejectReason
from policies.exits import Change
from policies.groups import Running
from tests.policies.plain_fleet import PlainEngine
from tests.policies.plain_rules import PlainRules, PlainWaiting


class PlainDispatcher(PlainRules):
    """`handle` does what the real one's does; which engines were drawn at random it is told."""

    def handle(self, event: Event, drawn: Mapping[str, str]) -> list[Command]:
        """What is to be done; `drawn` are the engines on which the real one has started jobs."""
        self.now_s = max(self.now_s, event.now_s)
        if isinstance(event, EngineProgressed) and not isinstance(self.controller, DeadlineAware):
            return self.apply(event)
        commands = self.drop_due()
        commands += self.apply(event)
        commands += self.drop_due()
        commands += self.control()
        started = self.start_all(drawn)
        commands += started
        touched = [command.engine_id for command in started]
        if isinstance(event, EngineProgressed):
            touched.insert(0, event.engine_id)
        if isinstance(self.controller, DeadlineAware) and self.policy.announces:
            for engine_id in dict.fromkeys(touched):
                engine = self.fleet.engine(engine_id)
                commands += [] if engine is None else self.lowerings(engine, self.controller)
        return commands

    def apply(self, event: Event) -> list[Command]:
        match event:
            case JobArrived():
                return self.arrived(event)
            case JobFinished():
                return self.finished(event)
            case JobFailed() | JobCancelled():
                self.forget(event.job_id)
            case EngineUp():
                self.engine_up(event)
            case EngineDown():
                self.engine_down(event.engine_id)
            case EngineSuspected():
                engine = self.fleet.engine(event.engine_id)
                if engine is not None:
                    self.fleet.suspect(engine, event.suspected)
            case EngineProgressed():
                self.progressed(event)
        return []

    def drop_due(self) -> list[Command]:
        due = [w for w in self.line if self.leaves_s(w) <= self.now_s]
        due.sort(key=lambda w: (self.leaves_s(w), w.seq))
        self.line = [w for w in self.line if w not in due]
        refuses = self.policy.admission.refuse_hopeless
        return [
            DropJob(
                w.job.job_id,
                "hopeless" if refuses and self.quickest_s(w) is not None else "expired",
            )
            for w in due
        ]

    def control(self) -> list[Command]:
        before = self.state.rung
        waiting = len(self.line) - self.placeable()
        self.state = self.controller.decide(self.load(waiting), self.state)
        if self.state.rung == before or not self.policy.announces:
            return []
        return [AnnounceRung(self.state.rung)]

    def start_all(self, drawn: Mapping[str, str]) -> list[StartJob]:
        started: list[StartJob] = []
        while (entry := next(filter(self.can_start, self.in_order()), None)) is not None:
            chosen = self.chosen(entry, drawn)
            assert chosen is not None
            started.append(self.start(entry, *chosen))
        return started

    def start(self, entry: PlainWaiting, engine: PlainEngine, service: Service) -> StartJob:
        job = entry.job
        self.level = max(self.level, self.given[job.tenant])
        self.given[job.tenant] += service.steps
        self.line.remove(entry)
        steps, rung = service.steps, entry.start_rung
        running = Running(
            job.job_id,
            job,
            entry.seq,
            service,
            steps,
            self.now_s,
            start_rung=rung,
            charged=steps,
        )
        self.fleet.place(engine, running)
        return StartJob(job.job_id, engine.engine_id, service)

    # -- jobs -----------------------------------------------------------------------------------

    def arrived(self, event: JobArrived) -> list[Command]:
        job = event.job
        running = self.fleet.find(job.job_id)
        if running is not None:
            if self.can_be_served(PlainWaiting(job, running.seq, None, 0.0)):
                running.job = running.job or job
            engine = self.fleet.engine_with(job.job_id)
            if engine is not None and event.lost_engine == engine.engine_id:
                self.requeue(job.job_id)
            return []
        if self.waiting(job.job_id) is not None:
            return []
        self.arrivals.append(self.now_s)
        start_rung = None
        if isinstance(self.controller, Split):
            start_rung = self.controller.draw(self.draws.random(), self.load(len(self.line)))
        entry = PlainWaiting(job, next(self.seq), start_rung, 0.0)
        reason = self.refusal(entry, event.again)
        if reason is None:
            self.stand(entry)
            return [AdmitJob(job.job_id)]
        retry_s = self.retry_after_s() if reason in ("queue_full", "tenant_full") else None
        return [RejectJob(job.job_id, reason, retry_s)]

    def refusal(self, entry: PlainWaiting, again: bool) -> RejectReason | None:
        admission, job = self.policy.admission, entry.job
        if not self.can_be_served(entry):
            return "no_rung"
        if again:
            return None
        routing = self.routing_of(job)
        prices = [
            self.fleet.price(engine, service)
            for service in self.services(entry, 0)
            for engine in self.fleet.engines
            if service.variant in engine.key.variants
        ]
        if isinstance(routing, WithinBudget) and prices and min(prices) > routing.price_max:
            return "no_rung"
        if len(self.line) >= admission.max_waiting:
            return "queue_full"
        jobs = [w.job for w in self.line]
        jobs += [r.job for e in self.fleet.engines for r in e.running if r.job is not None]
        held = sum(other.tenant == job.tenant for other in jobs)
        if admission.tenant_max is not None and held >= admission.tenant_max:
            return "tenant_full"
        if admission.refuse_hopeless and self.is_hopeless(entry):
            return "hopeless"
        return None

    def stand(self, entry: PlainWaiting) -> None:
        tenant = entry.job.tenant
        if all(w.job.tenant != tenant for w in self.line):
            self.given[tenant] = max(self.given.get(tenant, 0.0), self.level)
        entry.rank = self.policy.order.rank(entry.job, self.services(entry, 0)[0].steps)
        self.line.append(entry)

    def finished(self, event: JobFinished) -> list[Command]:
        running = self.fleet.find(event.job_id)
        if not self.forget(event.job_id):
            return []
        if running is None:
            self.deliver(event.rung)
            return []
        if running.job is not None and event.steps_run is not None:
            self.refund(running.job.tenant, running.charged - event.steps_run)
        if self.is_redone(event, running):
            return [RedoJob(event.job_id)]
        known = None if running.service is None else running.service.rung
        self.deliver(known if event.rung is None else event.rung)
        return []

    def deliver(self, rung: int | None) -> None:
        self.finishes.append(self.now_s)
        if rung is not None:
            self.scores.append(self.policy.ladder.scores()[rung])

    def is_redone(self, event: JobFinished, running: Running) -> bool:
        """Once, unless the client named the variant or the steps, or the time is up."""
        job, service = running.job, running.service
        if not isinstance(self.controller, Cascade) or job is None or service is None:
            return False
        if job.fixed or job.variant is not None or running.start_rung is not None:
            return False
        if not self.controller.redoes(service.rung, event.confidence, self.load(len(self.line))):
            return False
        entry = PlainWaiting(job, running.seq, self.controller.second, 0.0)
        if self.leaves_s(entry) <= self.now_s:
            return False
        self.stand(entry)
        return True

    def forget(self, job_id: str) -> bool:
        waiting = self.waiting(job_id)
        if waiting is not None:
            self.line.remove(waiting)
        elif self.fleet.find(job_id) is not None:
            self.fleet.take_out(job_id)
        else:
            return False
        return True

    def requeue(self, job_id: str) -> None:
        running = self.fleet.take_out(job_id)
        if running.job is not None:
            self.refund(running.job.tenant, running.charged)
            self.stand(PlainWaiting(running.job, running.seq, running.start_rung, 0.0))

    def refund(self, tenant: str, steps: int) -> None:
        if tenant in self.given:
            self.given[tenant] -= steps

    # -- engines --------------------------------------------------------------------------------

    def engine_up(self, event: EngineUp) -> None:
        known = self.fleet.engine(event.engine_id)
        kept: dict[str, Running] = {}
        if known is not None:
            for running in list(known.running):
                if running.job_id in event.running:
                    kept[running.job_id] = self.fleet.take_out(running.job_id)
                else:
                    self.requeue(running.job_id)
            self.fleet.engines.remove(known)
        engine = self.fleet.up(event)
        for job_id in event.running:
            if self.fleet.find(job_id) is None:
                running = kept.get(job_id) or self.reported(job_id)
                self.fleet.place(engine, running)

    def reported(self, job_id: str) -> Running:
        entry = self.waiting(job_id)
        if entry is None:
            return Running(job_id, None, next(self.seq), None, 0, self.now_s)
        self.line.remove(entry)
        rung = entry.start_rung
        return Running(job_id, entry.job, entry.seq, None, 0, self.now_s, start_rung=rung)

    def engine_down(self, engine_id: str) -> None:
        engine = self.fleet.engine(engine_id)
        if engine is not None:
            for running in list(engine.running):
                self.requeue(running.job_id)
            self.fleet.engines.remove(engine)

    def progressed(self, event: EngineProgressed) -> None:
        engine = self.fleet.engine(event.engine_id)
        for running in [] if engine is None else engine.running:
            for progress in event.progress:
                if progress.job_id == running.job_id:
                    running.done, running.planned = progress.done, progress.planned
                    running.told_s = self.now_s

    # -- running jobs that would be late --------------------------------------------------------

    def lowerings(self, engine: PlainEngine, controller: DeadlineAware) -> list[Command]:
        commands: list[Command] = []
        for running in engine.running:
            job, service = running.job, running.service
            if job is None or service is None or job.fixed:
                continue
            due_s = controller.due_s(job, self.now_s, waiting=0)
            if self.fleet.runs_end_s(engine, self.now_s)[running.job_id] <= due_s:
                continue
            done = self.fleet.done(engine, running, self.now_s)
            exits = self.exits(engine, running, job, service, done)
            rung = controller.lowered(due_s, [(rung, end_s) for rung, end_s, _ in exits])
            if rung is not None:
                change = next(change for index, _, change in exits if index == rung)
                running.done, running.told_s = done, self.now_s
                running.service, running.planned = change.service, change.steps_planned
                running.lowered = rung
                commands.append(LowerJob(running.job_id, engine.engine_id, rung))
        return commands

    def exits(
        self, engine: PlainEngine, running: Running, job: Job, service: Service, done: int
    ) -> list[tuple[int, float, Change]]:
        found: list[tuple[int, float, Change]] = []
        first = max(service.rung, running.lowered) + 1
        for rung in range(first, min(job.floor, self.controller.deepest) + 1):
            change = changed(
                service,
                running.planned,
                done,
                floor=job.floor,
                announced=rung,
                ladder=self.policy.ladder,
                rules=self.policy.exits.within(engine.key.variants),
                fixed=job.fixed,
                pinned=job.variant is not None,
            )
            if change is not None and all(change != other for _, _, other in found):
                left = change.steps_planned - done
                end_s = self.fleet.changed_end_s(
                    engine, running.job_id, change.service, left, self.now_s
                )
                found.append((rung, end_s, change))
        return found
