"""The service in virtual time: the live policies, and engines that follow a table of costs.

`policies.Dispatcher` is driven by events in virtual time, exactly as the live driver does by the
wall clock. An engine does at each step boundary what the live one does: drop what was cancelled,
take in what was granted (encode), apply the announced rung to what runs (re-plan, finish now, hand
over), run one batched step per variant with running jobs, decode what is due, report. Nothing here
is random: arrivals are data, and a cost table that draws its costs at random is the caller's.

All times are seconds of virtual time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from policies.costs import Costs
from analysis.engine_model import EngineModel, Grant, Run
from analysis.records import Record, Result, Status, TimePoint
from policies import (
    AnnounceRung,
    Controller,
    Dispatcher,
    EngineUp,
    Event,
    ExitRules,
    ExpireJob,
    Job,
    JobArrived,
    JobCancelled,
    JobFinished,
    Ladder,
    RejectJob,
    StartJob,
    Ticked,
    service_for,
)

TICK_MIN_S = 0.1
"""The live driver asks the controller again after its hold, or after this if that is longer."""


@dataclass(frozen=True, slots=True)
class Template:
    """What the jobs of a load have in common. See `policies.Job` for the fields it shares with it.

    deadline_after_s counts from the arrival at the gateway, hang_up_after_s from the scheduled
    time. `encodes` False: the text stands in the engine's cache and costs nothing.
    """

    floor: int
    variant: str | None = None
    steps: int | None = None
    fixed: bool = False
    deadline_after_s: float | None = None
    hang_up_after_s: float | None = None
    encodes: bool = True


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request for one picture, sent at scheduled_s."""

    scheduled_s: float
    template: Template


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One engine; `variants` None means all of the ladder."""

    engine_id: str
    max_batch: int
    variants: frozenset[str] | None = None

    def hosted(self, ladder: Ladder) -> frozenset[str]:
        """The variants that it runs."""
        return self.variants or frozenset(ladder.variants)


@dataclass(frozen=True, slots=True)
class Overheads:
    """Time that passes outside the engines.

    network_s: from the client to the dispatcher. grant_s: from a decision of the dispatcher (a
    grant, a rung) to the engine, which is also the gap between a finish and the next start there.
    response_s: from the end of decoding (or a refusal) to the client.
    """

    network_s: float = 0.0
    grant_s: float = 0.0
    response_s: float = 0.0

    def __post_init__(self) -> None:
        if min(self.network_s, self.grant_s, self.response_s) < 0:
            raise ValueError(f"overheads must not be negative, got {self}")


@dataclass(frozen=True, slots=True)
class Server:
    """Everything about the server that the simulation needs.

    `rules` say what a lower rung does to running jobs; an engine hands over to its own variants.
    hold_s is the controller's min_hold_s: while quality is lowered and nothing happens for that
    long, the dispatcher is ticked, as the live driver does.
    """

    ladder: Ladder
    controller: Controller
    costs: Costs
    engines: tuple[EngineSpec, ...]
    max_waiting: int = 1_000_000
    rules: ExitRules = field(default_factory=ExitRules)
    overheads: Overheads = Overheads()
    hold_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.engines:
            raise ValueError("a server needs at least one engine")
        if len({engine.engine_id for engine in self.engines}) < len(self.engines):
            raise ValueError("two engines have the same engine_id; give each its own")


def simulate(arrivals: Sequence[Arrival], server: Server) -> Result:
    """Serve these arrivals (in order of time) until every one is answered.

    ValueError if their times fall, or if jobs stay in line for a variant that no engine hosts.
    """
    return _Simulation(arrivals, server).run()


@dataclass(frozen=True, slots=True)
class _Boundary:
    """A boundary of this engine is over, or an idle engine wakes."""

    engine_id: str


@dataclass(frozen=True, slots=True)
class _Delivery:
    """Decisions of the dispatcher on their way to the engines."""

    grants: tuple[StartJob, ...]
    rungs: tuple[AnnounceRung, ...]
    cancelled: tuple[str, str] | None = None  # engine, job


_Happening = Event | _Boundary | _Delivery


class _Simulation:
    """One run. Happenings are kept in a heap by (time, order of entry)."""

    def __init__(self, arrivals: Sequence[Arrival], server: Server) -> None:
        self._arrivals = arrivals
        self._server = server
        ladder, rules = server.ladder, server.rules
        self._dispatcher = Dispatcher(
            ladder, server.controller, server.max_waiting, rules.on_lower != "keep"
        )
        self._engines = {
            spec.engine_id: EngineModel(
                ladder, server.costs, spec.max_batch, rules.within(spec.hosted(ladder))
            )
            for spec in server.engines
        }
        self._busy: set[str] = set()
        self._happenings: list[tuple[float, int, _Happening]] = []
        self._order = count()
        self._jobs: dict[str, tuple[int, Job]] = {}
        self._records: list[Record | None] = [None] * len(arrivals)
        self._timeline: list[TimePoint] = []
        self._timer_s: dict[str, float] = {}  # when the deadline and the hold timer are due

    def run(self) -> Result:
        for spec in self._server.engines:
            variants = spec.hosted(self._server.ladder)
            self._tell(0.0, EngineUp(0.0, spec.engine_id, spec.max_batch, variants))
        self._schedule_next_arrival(0)
        while self._happenings:
            now_s, _, happening = heappop(self._happenings)
            match happening:
                case _Boundary(engine_id=engine_id):
                    self._end_of_boundary(now_s, engine_id)
                case _Delivery():
                    self._deliver(now_s, happening)
                case JobArrived(job=job):
                    self._schedule_next_arrival(self._jobs[job.job_id][0] + 1)
                    self._tell(now_s, happening)
                case JobCancelled(job_id=job_id):
                    self._hang_up(now_s, job_id)
                case Ticked():
                    self._tick(now_s)
                case _:
                    self._tell(now_s, happening)
        return self._result()

    # -- arrivals and the dispatcher ------------------------------------------------------------

    def _schedule_next_arrival(self, index: int) -> None:
        if index >= len(self._arrivals):
            return
        arrival = self._arrivals[index]
        if index > 0 and arrival.scheduled_s < self._arrivals[index - 1].scheduled_s:
            raise ValueError(f"arrival {index} comes before arrival {index - 1}; sort them by time")
        template, name = arrival.template, f"{index:07d}"
        at_s = arrival.scheduled_s + self._server.overheads.network_s
        after_s = template.deadline_after_s
        job = Job(
            name,
            at_s,
            template.floor,
            template.variant,
            template.steps,
            template.fixed,
            None if after_s is None else at_s + after_s,
        )
        self._jobs[name] = (index, job)
        self._push(at_s, JobArrived(at_s, job))
        if template.hang_up_after_s is not None:
            leaves_s = arrival.scheduled_s + template.hang_up_after_s
            self._push(max(at_s, leaves_s), JobCancelled(leaves_s, name))

    def _tell(self, now_s: float, event: Event) -> None:
        grants: list[StartJob] = []
        rungs: list[AnnounceRung] = []
        for command in self._dispatcher.handle(event):
            match command:
                case StartJob():
                    grants.append(command)
                case AnnounceRung():
                    rungs.append(command)
                case RejectJob(job_id=job_id):
                    self._refused(now_s, job_id, "rejected")
                case ExpireJob(job_id=job_id):
                    self._refused(now_s, job_id, "expired")
        if grants or rungs:
            self._send(now_s, _Delivery(tuple(grants), tuple(rungs)))
        self._note(now_s)
        self._arm_timers(now_s)

    def _hang_up(self, now_s: float, job_id: str) -> None:
        index, _ = self._jobs[job_id]
        if self._records[index] is not None:
            return
        grant = self._dispatcher.grant_of(job_id)
        self._refused(now_s, job_id, "cancelled")
        if grant is not None:
            # Sent first: the place is given away at once, and the newcomer must find it free.
            self._send(now_s, _Delivery((), (), (grant.engine_id, job_id)))
        self._tell(now_s, JobCancelled(now_s, job_id))

    def _send(self, now_s: float, delivery: _Delivery) -> None:
        if self._server.overheads.grant_s == 0.0:
            self._deliver(now_s, delivery)
        else:
            self._push(now_s + self._server.overheads.grant_s, delivery)

    # -- timers, as the live driver keeps them --------------------------------------------------

    def _arm_timers(self, now_s: float) -> None:
        deadline_s = self._dispatcher.next_deadline_s()
        self._arm("deadline", None if deadline_s is None else max(now_s, deadline_s))
        hold_s = max(self._server.hold_s, TICK_MIN_S)
        self._arm("hold", now_s + hold_s if self._dispatcher.rung > 0 else None)

    def _arm(self, timer: str, due_s: float | None) -> None:
        if due_s is None:
            self._timer_s.pop(timer, None)
        elif self._timer_s.get(timer) != due_s:
            self._timer_s[timer] = due_s
            self._push(due_s, Ticked(due_s))

    def _tick(self, now_s: float) -> None:
        """A timer that was armed anew since then finds nothing due here."""
        due = [timer for timer, due_s in self._timer_s.items() if due_s <= now_s]
        if not due:
            return
        before = self._dispatcher.rung
        self._tell(now_s, Ticked(now_s))
        if "hold" in due and self._dispatcher.rung == before:
            # Quality may not rise at this depth, and only another event can change that.
            self._timer_s.pop("hold", None)

    # -- engines --------------------------------------------------------------------------------

    def _deliver(self, now_s: float, delivery: _Delivery) -> None:
        for announcement in delivery.rungs:
            self._engines[announcement.engine_id].announced = announcement.rung
        if delivery.cancelled is not None:
            engine_id, job_id = delivery.cancelled
            self._engines[engine_id].cancel(job_id)
        for start in delivery.grants:
            index, job = self._jobs[start.job_id]
            if self._records[index] is None:  # else its client hung up while the grant was sent
                encodes = self._arrivals[index].template.encodes
                self._engines[start.engine_id].submit(Grant(job, start.service, encodes))
        for engine_id in dict.fromkeys(start.engine_id for start in delivery.grants):
            if engine_id not in self._busy:
                # Whatever else is granted at this very moment shall join the same boundary.
                self._busy.add(engine_id)
                self._push(now_s, _Boundary(engine_id))

    def _end_of_boundary(self, now_s: float, engine_id: str) -> None:
        """Report what is finished and go on stepping until there is something to report again."""
        engine = self._engines[engine_id]
        finished, engine.finished = engine.finished, []
        # Whoever is granted a place at this very moment joins the boundary that begins now.
        for run in finished:
            self._answered(run)
            self._tell(now_s, JobFinished(now_s, run.job.job_id))
        at_s = now_s
        while engine.has_work():
            at_s = engine.step(at_s)
            if engine.finished or (self._happenings and self._happenings[0][0] <= at_s):
                self._push(at_s, _Boundary(engine_id))
                return
            # Nothing happens before this boundary is over, so the next can be run right away.
        self._busy.discard(engine_id)

    # -- what comes out -------------------------------------------------------------------------

    def _answered(self, run: Run) -> None:
        index, job = self._jobs[run.job.job_id]
        if self._records[index] is not None:
            return  # its client hung up during the last step
        scheduled_s = self._arrivals[index].scheduled_s
        answered_s = run.reported_s + self._server.overheads.response_s
        unpressed = service_for(job, self._server.ladder, 0).rung
        self._records[index] = Record(
            index=index,
            status="ok",
            scheduled_s=scheduled_s,
            started_s=run.started_s,
            finished_s=run.finished_s,
            answered_s=answered_s,
            latency_s=answered_s - scheduled_s,
            variant=run.service.variant,
            steps_planned=run.first_planned,
            steps_run=run.done,
            rung_admitted=run.rung_admitted,
            rung_delivered=run.service.rung,
            cut_steps=run.cut_steps,
            early_exit=run.early_exit,
            degraded=run.service.rung > unpressed,
        )

    def _refused(self, now_s: float, job_id: str, status: Status) -> None:
        index, _ = self._jobs[job_id]
        scheduled_s = self._arrivals[index].scheduled_s
        answered_s = now_s
        if status != "cancelled":
            answered_s += self._server.overheads.response_s
        self._records[index] = Record(
            index, status, scheduled_s, None, None, answered_s, answered_s - scheduled_s
        )

    def _note(self, now_s: float) -> None:
        counts = self._dispatcher.counts()
        point = TimePoint(now_s, counts.waiting, counts.running, self._dispatcher.rung)
        if self._timeline and self._timeline[-1][1:] == point[1:]:
            return
        self._timeline.append(point)

    def _push(self, at_s: float, happening: _Happening) -> None:
        heappush(self._happenings, (at_s, next(self._order), happening))

    def _result(self) -> Result:
        records = tuple(record for record in self._records if record is not None)
        if len(records) < len(self._records):
            raise ValueError(
                f"{len(self._records) - len(records)} jobs wait for a variant that no engine hosts;"
                " give the engines every variant of the ladder"
            )
        busy_s = {name: engine.busy_s for name, engine in self._engines.items()}
        return Result(records, tuple(self._timeline), self._dispatcher.counts(), busy_s)
