"""The requests of a simulation: those that are not answered yet, and the records of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analysis.engine_model import Run
from analysis.records import Record, Status
from analysis.simulation_inputs import Arrival, EngineSpec, Overheads
from policies.commands import StartJob
from policies.nouns import Job, Ladder
from policies.service import service_for

TOLD_EVERY = 1000
"""So many answers lie between two calls of `on_answered`."""


class Live:
    """A request that is not answered yet, and the grant that it stands on, if any."""

    __slots__ = ("arrival", "engine_s", "grant", "index", "job", "lost", "price", "redone")

    def __init__(self, index: int, arrival: Arrival, job: Job) -> None:
        self.index = index
        self.arrival = arrival
        self.job = job
        self.grant: StartJob | None = None
        self.redone = self.lost = 0
        self.engine_s = self.price = 0.0


class Ledger:
    """Takes requests in and writes a record when one is answered.

    `on_answered` is told now and then how many are. running counts the grants that stand.
    """

    def __init__(
        self,
        arrivals: Sequence[Arrival],
        ladder: Ladder,
        overheads: Overheads,
        on_answered: Callable[[int], None],
    ) -> None:
        self.live: dict[str, Live] = {}
        self.running = 0
        self._arrivals = arrivals
        self._ladder = ladder
        self._response_s = overheads.response_s
        self._on_answered = on_answered
        self._records: list[Record | None] = [None] * len(arrivals)
        self._answered = 0
        self._unpressed: dict[tuple[int, str | None, int | None, bool], int] = {}

    def take_in(self, index: int, now_s: float) -> Live:
        """The request with this index has come to the dispatcher."""
        arrival, name = self._arrivals[index], f"{index:07d}"
        template = arrival.template
        after_s = template.deadline_after_s
        job = Job(
            name,
            now_s,
            template.floor,
            template.variant,
            template.steps,
            template.fixed,
            None if after_s is None else now_s + after_s,
            template.tenant,
            template.tier,
            template.objective,
        )
        live = self.live[name] = Live(index, arrival, job)
        return live

    def granted(self, grant: StartJob) -> None:
        """The request has a place now."""
        self.live[grant.job_id].grant = grant
        self.running += 1

    def place_left(self, live: Live) -> None:
        """The grant no longer stands."""
        live.grant = None
        self.running -= 1

    def granted_on(self, engine_id: str) -> list[Live]:
        """Requests that are granted to this engine, in order of arrival."""
        return [
            live
            for live in self.live.values()
            if live.grant is not None and live.grant.engine_id == engine_id
        ]

    def ran(self, live: Live, spec: EngineSpec, run: Run) -> None:
        """Its run is over: the place is free, and the engine's time is charged."""
        self.place_left(live)
        live.engine_s += run.engine_s
        live.price += run.engine_s * spec.price_per_s

    def serve(self, live: Live, spec: EngineSpec, run: Run) -> None:
        """Its picture is sent."""
        job, scheduled_s, service = live.job, live.arrival.scheduled_s, run.service
        answered_s = run.reported_s + self._response_s
        record = Record(
            live.index,
            "ok",
            scheduled_s,
            run.started_s,
            run.finished_s,
            answered_s,
            answered_s - scheduled_s,
            service.variant,
            run.first_planned,
            run.done,
            run.rung_admitted,
            service.rung,
            run.cut_steps,
            run.early_exit,
            service.rung > self._rung_without_pressure(job),
            spec.engine_id,
            spec.pool,
            job.tenant,
            job.tier,
            job.deadline_s,
            "",
            live.redone,
            live.lost,
            live.engine_s,
            live.price,
        )
        self._answer(live, record)

    def refuse(self, now_s: float, job_id: str, status: Status, reason: str = "") -> None:
        """It is answered without a picture, or nobody waits for it any more."""
        live = self.live[job_id]
        job, scheduled_s = live.job, live.arrival.scheduled_s
        answered_s = now_s if status == "cancelled" else now_s + self._response_s
        record = Record(
            live.index,
            status,
            scheduled_s,
            None,
            None,
            answered_s,
            answered_s - scheduled_s,
            tenant=job.tenant,
            tier=job.tier,
            deadline_s=job.deadline_s,
            reason=reason,
            redone=live.redone,
            lost=live.lost,
            engine_s=live.engine_s,
            price=live.price,
        )
        self._answer(live, record)

    def records(self) -> tuple[Record, ...]:
        """One of each request; ValueError if some are not answered."""
        found = tuple([record for record in self._records if record is not None])
        if len(found) < len(self._records):
            raise ValueError(
                f"{len(self._records) - len(found)} jobs can never start: no engine that is up takes"
                " what they wait for; give the engines every variant of the ladder, and let one"
                " that fails come back"
            )
        self._on_answered(self._answered)
        return found

    def _answer(self, live: Live, record: Record) -> None:
        self._records[live.index] = record
        del self.live[live.job.job_id]
        self._answered += 1
        if self._answered % TOLD_EVERY == 0:
            self._on_answered(self._answered)

    def _rung_without_pressure(self, job: Job) -> int:
        key = job.floor, job.variant, job.steps, job.fixed
        rung = self._unpressed.get(key)
        if rung is None:
            rung = self._unpressed[key] = service_for(job, self._ladder, 0).rung
        return rung
