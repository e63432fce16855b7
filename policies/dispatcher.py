"""The one queue as a state machine: events in, commands out.

Admission, order, routing and the controller meet here and nowhere else. Waiting jobs wait in this
object only, so its count of them is exact: an engine is granted no more than it has places for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, assert_never

from policies.commands import AnnounceRung, Command, ExpireJob, RejectJob, StartJob
from policies.controllers import Controller
from policies.events import (
    EngineDown,
    EngineUp,
    Event,
    JobArrived,
    JobCancelled,
    JobFailed,
    JobFinished,
    Ticked,
)
from policies.line import WaitingLine
from policies.load import Load
from policies.nouns import Job, Ladder, Service
from policies.rate import RateMeter
from policies.service import service_for

RATE_WINDOW_S = 10.0
RETRY_AFTER_MIN_S = 1.0
RETRY_AFTER_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Jobs so far. admitted == finished + cancelled + failed + expired + waiting + running.

    `rejected` jobs were never admitted; `requeued` counts returns to the line after a loss.
    """

    admitted: int = 0
    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    expired: int = 0
    rejected: int = 0
    requeued: int = 0
    waiting: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class EngineView:
    """One engine as the dispatcher sees it; `running` holds job ids in order of their start."""

    engine_id: str
    places: int
    variants: frozenset[str]
    running: tuple[str, ...]
    announced_rung: int


@dataclass(slots=True)
class _Engine:
    places: int
    variants: frozenset[str]
    running: dict[str, None] = field(default_factory=dict)  # an ordered set
    announced_rung: int = 0

    @property
    def free(self) -> int:
        return max(0, self.places - len(self.running))


@dataclass(slots=True)
class _Running:
    job: Job | None  # None: an engine reported it before any gateway asked for it again
    seq: int
    engine_id: str
    service: Service | None


class _Grant(NamedTuple):
    job: Job
    seq: int
    engine_id: str
    service: Service


class Dispatcher:
    """Drives admission, order, routing and the rung. Not thread-safe; one driver owns it.

    `max_waiting` bounds the line for new jobs (jobs taken up again are exempt, and the places
    bound those). With `announces` a change of rung is announced to the engines, whose exit rules
    say what becomes of running jobs; without it the rung binds at start only.
    ValueError if the controller can choose a rung that the ladder does not have.
    """

    def __init__(
        self, ladder: Ladder, controller: Controller, max_waiting: int, announces: bool
    ) -> None:
        if max_waiting < 1:
            raise ValueError(f"max_waiting {max_waiting} must be at least 1")
        if controller.deepest > ladder.last:
            raise ValueError(
                f"the controller can choose rung {controller.deepest}, but the last rung of the"
                f" ladder is {ladder.last}; give it fewer thresholds or the ladder more rungs"
            )
        self._ladder = ladder
        self._controller = controller
        self._max_waiting = max_waiting
        self._announces = announces
        self._state = controller.initial()
        self._line = WaitingLine()
        self._running: dict[str, _Running] = {}
        self._engines: dict[str, _Engine] = {}
        self._seq = count()
        self._now_s = -math.inf
        self._arrivals = RateMeter(RATE_WINDOW_S)
        self._finishes = RateMeter(RATE_WINDOW_S)
        self._admitted = self._finished = self._cancelled = self._failed = 0
        self._expired = self._rejected = self._requeued = 0

    # -- what a driver may ask ------------------------------------------------------------------

    @property
    def rung(self) -> int:
        """The controller's current rung."""
        return self._state.rung

    @property
    def waiting(self) -> int:
        """Jobs in the line."""
        return len(self._line)

    def counts(self) -> Counts:
        """The conserved quantities."""
        return Counts(
            self._admitted,
            self._finished,
            self._cancelled,
            self._failed,
            self._expired,
            self._rejected,
            self._requeued,
            len(self._line),
            len(self._running),
        )

    def load(self) -> Load:
        """The snapshot that the controller last saw, but for what has changed since."""
        return self._load(len(self._line))

    def engines(self) -> tuple[EngineView, ...]:
        """The engines that are up."""
        return tuple(
            EngineView(name, e.places, e.variants, tuple(e.running), e.announced_rung)
            for name, e in self._engines.items()
        )

    def grant_of(self, job_id: str) -> StartJob | None:
        """The grant that a running job stands on, for a gateway that asks again."""
        entry = self._running.get(job_id)
        if entry is None or entry.service is None:
            return None
        return StartJob(job_id, entry.engine_id, entry.service)

    def knows(self, job_id: str) -> bool:
        """Whether the job waits or runs."""
        return job_id in self._line or job_id in self._running

    def waiting_jobs(self) -> Iterator[Job]:
        """The line, first come first."""
        return (job for job, _ in self._line)

    def next_deadline_s(self) -> float | None:
        """When the driver should send the next Ticked at the latest, or None."""
        return self._line.next_deadline_s()

    # -- events ---------------------------------------------------------------------------------

    def handle(self, event: Event) -> tuple[Command, ...]:
        """Take in one event; return what is to be done, in order.

        Times that fall (a wall clock set back) count as no time passing. Events about unknown
        jobs or engines change nothing: they are repetitions of something already settled.
        """
        self._now_s = max(self._now_s, event.now_s)
        commands: list[Command] = []
        self._expire(commands)
        self._apply(event, commands)
        self._expire(commands)
        grants = self._plan_grants()
        if self._control(len(self._line) - len(grants), commands):
            grants = self._plan_grants()
        self._grant(grants, commands)
        return tuple(commands)

    def _apply(self, event: Event, commands: list[Command]) -> None:
        match event:
            case JobArrived():
                self._arrived(event, commands)
            case JobFinished(job_id=job_id):
                if self._forget(job_id):
                    self._finished += 1
                    self._finishes.note(self._now_s)
            case JobFailed(job_id=job_id):
                self._failed += self._forget(job_id)
            case JobCancelled(job_id=job_id):
                self._cancelled += self._forget(job_id)
            case EngineUp():
                self._engine_up(event)
            case EngineDown(engine_id=engine_id):
                self._engine_lost(engine_id, keeping=frozenset())
            case Ticked():
                pass
            case _:
                assert_never(event)

    def _arrived(self, event: JobArrived, commands: list[Command]) -> None:
        job = event.job
        entry = self._running.get(job.job_id)
        if entry is not None:
            entry.job = job
            if event.lost_engine == entry.engine_id:
                self._requeue(job.job_id)
            return
        if job.job_id in self._line:
            return
        self._arrivals.note(self._now_s)
        try:
            service_for(job, self._ladder, self._state.rung)
        except ValueError:
            self._rejected += 1
            commands.append(RejectJob(job.job_id, "no_rung", None))
            return
        if not event.again and len(self._line) >= self._max_waiting:
            self._rejected += 1
            commands.append(RejectJob(job.job_id, "queue_full", self._retry_after_s()))
            return
        self._admitted += 1
        self._line.add(job, next(self._seq))

    def _forget(self, job_id: str) -> bool:
        """Remove a job from wherever it is; False if it is unknown."""
        entry = self._running.pop(job_id, None)
        if entry is not None:
            del self._engines[entry.engine_id].running[job_id]
            return True
        if job_id in self._line:
            self._line.remove(job_id)
            return True
        return False

    def _engine_up(self, event: EngineUp) -> None:
        if event.engine_id in self._engines:
            self._engine_lost(event.engine_id, keeping=frozenset(event.running))
        engine = _Engine(event.places, event.variants)
        self._engines[event.engine_id] = engine
        for job_id in event.running:
            entry = self._running.get(job_id)
            if entry is not None and entry.engine_id != event.engine_id:
                continue  # it was granted elsewhere meanwhile; that grant stands
            if entry is None:
                job = self._line.remove(job_id) if job_id in self._line else None
                self._admitted += job is None
                self._running[job_id] = _Running(job, next(self._seq), event.engine_id, None)
            engine.running[job_id] = None

    def _engine_lost(self, engine_id: str, keeping: frozenset[str]) -> None:
        engine = self._engines.get(engine_id)
        if engine is None:
            return
        for job_id in tuple(engine.running):
            if job_id not in keeping:
                self._requeue(job_id)
        del self._engines[engine_id]

    def _requeue(self, job_id: str) -> None:
        entry = self._running.pop(job_id)
        del self._engines[entry.engine_id].running[job_id]
        if entry.job is None:
            # Known by its id alone, so it cannot be run again from here. Its gateway still owns
            # it and will ask again, as a job admitted anew.
            self._failed += 1
            return
        self._requeued += 1
        self._line.add(entry.job, entry.seq)

    # -- decisions ------------------------------------------------------------------------------

    def _expire(self, commands: list[Command]) -> None:
        for job in self._line.take_expired(self._now_s):
            self._expired += 1
            commands.append(ExpireJob(job.job_id))

    def _load(self, waiting: int) -> Load:
        return Load(
            now_s=self._now_s,
            waiting=waiting,
            running=len(self._running),
            engines=len(self._engines),
            places=sum(engine.places for engine in self._engines.values()),
            arrival_rate_per_s=self._arrivals.per_second(self._now_s),
        )

    def _control(self, waiting: int, commands: list[Command]) -> bool:
        """Let the controller decide on this depth and announce; True if the rung changed."""
        before = self._state.rung
        self._state = self._controller.decide(self._load(waiting), self._state)
        if self._announces:
            for engine_id, engine in self._engines.items():
                if engine.announced_rung != self._state.rung:
                    engine.announced_rung = self._state.rung
                    commands.append(AnnounceRung(engine_id, self._state.rung))
        return self._state.rung != before

    def _plan_grants(self) -> list[_Grant]:
        """Who would start where at the current rung, first come first served."""
        free = {name: e.free for name, e in sorted(self._engines.items()) if e.free > 0}
        if not free or not self._line:
            return []
        hosted = frozenset().union(*(engine.variants for engine in self._engines.values()))
        grants: list[_Grant] = []
        for job, seq in self._line:
            service = service_for(job, self._ladder, self._state.rung, hosted)
            hosts = [e for e in free if service.variant in self._engines[e].variants]
            if not hosts:
                continue  # its variant's places are taken; others need not wait behind it
            engine_id = max(hosts, key=free.__getitem__)  # the first by name among equals
            grants.append(_Grant(job, seq, engine_id, service))
            free[engine_id] -= 1
            if free[engine_id] == 0:
                del free[engine_id]
            if not free:
                break
        return grants

    def _grant(self, grants: list[_Grant], commands: list[Command]) -> None:
        for job, seq, engine_id, service in grants:
            self._line.remove(job.job_id)
            self._engines[engine_id].running[job.job_id] = None
            self._running[job.job_id] = _Running(job, seq, engine_id, service)
            commands.append(StartJob(job.job_id, engine_id, service))

    def _retry_after_s(self) -> float:
        """How long the present line takes to drain at the recent pace, within bounds."""
        finish_rate_per_s = self._finishes.per_second(self._now_s)
        if finish_rate_per_s <= 0:
            return RETRY_AFTER_MIN_S
        drain_s = math.ceil(len(self._line) / finish_rate_per_s)
        return min(RETRY_AFTER_MAX_S, max(RETRY_AFTER_MIN_S, float(drain_s)))
