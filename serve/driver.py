"""Drives `policies.Dispatcher` by an asyncio clock: leases and heartbeats in, grants and controls out.

Plain asyncio, without Ray: the deployment in `serve.dispatcher` wraps it, and a test can run it on
a virtual clock. Nothing here waits for an engine or a gateway. A gateway holds a job by a *lease*, a
stream that stays open until the job is over: closed, the job is given up. About an engine only its
own heartbeats, its silence and its closing message decide; one that was given up is never taken back.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

from policies.commands import (
    AdmitJob,
    AnnounceRung,
    Command,
    DropJob,
    LowerJob,
    RedoJob,
    RejectJob,
    StartJob,
)
from policies.controllers import Cascade
from policies.dispatcher import Dispatcher
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
    Progress,
    Ticked,
)
from policies.nouns import Job
from serve.messages import (
    OUTCOME_FAILED,
    OUTCOME_FINISHED,
    Acknowledged,
    Closing,
    Control,
    Ended,
    Grant,
    Heartbeat,
    LostGrant,
    Refusal,
    grant_id_of,
    job_id_of,
)

logger = logging.getLogger(__name__)

LOOK_S = 0.2
"""Pause between two looks at who has been silent. Silence is counted in looks, so that a dispatcher
that was itself stopped does not take everybody else for dead."""

SUSPECT_LOOKS = 4
"""An engine that was silent for so many looks is suspected and gets no new grants."""

SILENT_LOOKS = 25
"""An engine that was silent for so many looks is closed and ended."""

CLOSED_KEPT = 1000
"""So many engines that were given up are remembered; an older one has long ended."""

HOLD_TICK_MIN_S = 0.1
"""The shortest pause before the controller is asked again whether quality may rise."""

HOLD_MARGIN_S = 0.001
"""A tick comes so long after the hold: were it a rounding of a clock too early, the controller would
refuse, and nothing would ask it again."""


@dataclass(slots=True)
class _Engine:
    """What the driver keeps of one engine beside the policy's own view."""

    beat: Heartbeat
    looks: int = 0  # since its last heartbeat
    suspected: bool = False
    leaving: bool = False
    lowered: dict[str, int] = field(default_factory=dict)  # rungs by grant, of those that run
    changed: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Lease:
    """A gateway's hold on a job. `lost` is the grant that it has seen fail."""

    job: Job
    lost: str | None
    granted_s: float = 0.0
    answers: asyncio.Queue[Grant | Refusal | None] = field(default_factory=asyncio.Queue)


class QueueDriver:
    """The dispatcher's live half. All methods run on one event loop.

    `clock` gives monotonic seconds. `hold_s` is the controller's shortest time on a rung: while
    quality is lowered and nothing else happens, the policy is ticked once per hold, so that an idle
    server returns to full service. `on_ended` is called with the wait for a slot, in seconds, and
    the end of every job that left an engine and was known here. `replicas_wanted` gives the number of
    engines that a pool should have, if it has a view. `end_engine` ends the process of an engine that
    has fallen silent. `refused` counts refusals by reason. ValueError for a cascade: nobody here
    judges pictures.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        clock: Callable[[], float] = time.monotonic,
        hold_s: float = 0.0,
        on_ended: Callable[[float, Ended], None] = lambda waited_s, ended: None,
        replicas_wanted: Callable[[str], int | None] = lambda pool: None,
        end_engine: Callable[[Heartbeat], None] = lambda beat: None,
    ) -> None:
        if isinstance(dispatcher.policy.controller, Cascade):
            raise ValueError(
                "a cascade needs a discriminator that judges finished pictures, and the service has"
                " none; choose another controller, or simulate it"
            )
        self.dispatcher = dispatcher
        self.refused: Counter[str] = Counter()
        self._clock = clock
        self._hold_s = max(hold_s, HOLD_TICK_MIN_S)
        self._on_ended = on_ended
        self._replicas_wanted = replicas_wanted
        self._end_engine = end_engine
        # A former dispatcher's grants may still run, so numbers do not begin where its own did.
        self._numbers = itertools.count(random.getrandbits(32))
        self._leases: dict[str, _Lease] = {}
        self._grants: dict[str, Grant] = {}  # on which jobs run, by job
        self._abandoned: dict[str, _Lease] = {}  # of jobs that run and that no gateway holds now
        self._suspects: set[str] = set()  # jobs that were in a call that broke an engine
        self._engines: dict[str, _Engine] = {}
        self._closed: dict[str, None] = {}
        self._look_timer: asyncio.TimerHandle | None = None
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._hold_timer: asyncio.TimerHandle | None = None

    # -- gateways -------------------------------------------------------------------------------

    async def lease(
        self, job: Job, *, again: bool = False, lost: LostGrant | None = None
    ) -> AsyncGenerator[Grant | Refusal]:
        """Hold a job until the caller closes this stream; a refusal is the last answer.

        The job's times are seconds from now: negative for its arrival, positive for its deadline.
        Answers with a grant, and with another one whenever the engine of the last is given up.
        `again` repeats a job that was accepted before, and takes the place of its former lease;
        `lost` names the grant that did not come to its end.
        """
        now_s = self._clock()
        deadline_s = None if job.deadline_s is None else now_s + job.deadline_s
        job = replace(job, arrival_s=now_s + job.arrival_s, deadline_s=deadline_s)
        lease = _Lease(job, None if lost is None else lost.grant_id)
        former = self._leases.get(job.job_id)
        self._leases[job.job_id] = lease
        if former is not None:
            former.answers.put_nowait(None)
        try:
            self._ask(lease, again=again, engine_gone=lost is not None and lost.engine_gone)
            while (answer := await lease.answers.get()) is not None:
                yield answer
                if isinstance(answer, Refusal):
                    return
        finally:
            if self._leases.get(job.job_id) is lease:
                del self._leases[job.job_id]
                self._abandon(lease)

    def _ask(self, lease: _Lease, *, again: bool, engine_gone: bool) -> None:
        job_id, lost_engine = lease.job.job_id, None
        engine_id = self.dispatcher.engine_of(job_id)
        if engine_id is not None and lease.lost is not None and self._stands(lease.lost, engine_id):
            # One lost call costs one job. Its engine gets no more until it is heard of again.
            lost_engine = engine_id
            engine = self._engines[engine_id]
            engine.leaving |= engine_gone
            self._set_suspected(engine, True)
            self._forget_grant(job_id)
        self._handle(JobArrived(self._clock(), lease.job, again=again, lost_engine=lost_engine))
        self._abandoned.pop(job_id, None)
        if job_id in self._grants and lease.answers.empty():
            self._answer(self._grants[job_id])

    def _abandon(self, lease: _Lease) -> None:
        """No gateway holds the job any more. What becomes of one that runs its engine tells."""
        job_id = lease.job.job_id
        if job_id in self._grants:
            self._abandoned[job_id] = lease
        elif self.dispatcher.knows(job_id):
            self._end(JobCancelled(self._clock(), job_id))

    # -- engines --------------------------------------------------------------------------------

    def heartbeat(self, beat: Heartbeat) -> Acknowledged:
        """Take an engine's report. Its first one (in this driver's life) makes it known."""
        if beat.engine_id in self._closed:
            return Acknowledged(open=False)
        engine = self._engines.get(beat.engine_id) or self._register(beat)
        engine.beat, engine.looks = beat, 0
        self._set_suspected(engine, engine.leaving or beat.closing is not None)
        if beat.progress is not None:
            progress = tuple(
                Progress(job_id_of(one.job_id), one.done, one.planned) for one in beat.progress
            )
            self._handle(EngineProgressed(self._clock(), beat.engine_id, progress))
        for ended in beat.ended:
            if self._stands(ended.grant_id, beat.engine_id):
                self._job_ended(ended)
        for job_id in tuple(self._abandoned):
            grant = self._grants[job_id]
            if grant.engine_id == beat.engine_id and grant.grant_id not in beat.running:
                self._end(JobCancelled(self._clock(), job_id))
        if beat.closing is not None:
            self._close(beat.engine_id, beat.closing)
        return Acknowledged(beat.closing is None, self._replicas_wanted(beat.pool))

    async def controls(self, engine_id: str) -> AsyncGenerator[Control]:
        """What is wanted of an engine, now and whenever that changes; ends when it is closed."""
        while (engine := self._engines.get(engine_id)) is not None:
            engine.changed.clear()
            yield Control(self.dispatcher.announced_rung, dict(engine.lowered))
            await engine.changed.wait()

    def beats(self) -> tuple[Heartbeat, ...]:
        """The last heartbeat of every engine that is up."""
        return tuple(engine.beat for engine in self._engines.values())

    def hosted(self) -> set[str]:
        """The variants for which some engine takes new jobs."""
        taking = (engine.beat for engine in self._engines.values() if not engine.suspected)
        return {variant for beat in taking for variant in beat.variants}

    def _register(self, beat: Heartbeat) -> _Engine:
        engine = self._engines[beat.engine_id] = _Engine(beat)
        lost = {lease.lost for lease in self._leases.values()}  # given up by their gateways
        up = EngineUp(
            self._clock(),
            beat.engine_id,
            beat.places,
            frozenset(beat.variants),
            tuple(job_id_of(grant_id) for grant_id in beat.running if grant_id not in lost),
            beat.pool,
            beat.price_per_s,
        )
        self._handle(up)
        if self._look_timer is None:
            self._look_timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        return engine

    def _stands(self, grant_id: str, engine_id: str) -> bool:
        """Whether this grant is the one on which its job runs there."""
        job_id = job_id_of(grant_id)
        if job_id in self._grants:
            return self._grants[job_id].grant_id == grant_id
        return self.dispatcher.engine_of(job_id) == engine_id  # a former dispatcher's grant

    def _job_ended(self, ended: Ended) -> None:
        now_s, job_id = self._clock(), job_id_of(ended.grant_id)
        held = self._leases.get(job_id)
        lease = held or self._abandoned.get(job_id)
        if ended.outcome == OUTCOME_FINISHED and ended.facts is not None:
            made = ended.facts.picture
            self._end(JobFinished(now_s, job_id, made.rung_delivered, made.steps_run))
        elif ended.outcome == OUTCOME_FAILED:
            self._end(JobFailed(now_s, job_id))
        elif held is None:
            self._end(JobCancelled(now_s, job_id))
        else:  # its gateway still wants it, so a call between the two was lost
            held.lost = ended.grant_id
            self._ask(held, again=True, engine_gone=False)
            return
        if lease is not None:
            self._on_ended(lease.granted_s - lease.job.arrival_s, ended)

    # -- who is silent, and who is gone ---------------------------------------------------------

    def _look(self) -> None:
        for engine_id, engine in tuple(self._engines.items()):
            engine.looks += 1
            if engine.looks == SUSPECT_LOOKS:
                self._set_suspected(engine, True)
            elif engine.looks >= SILENT_LOOKS:
                self._close(engine_id, Closing(f"no heartbeat for {SILENT_LOOKS * LOOK_S:g} s"))
                self._end_engine(engine.beat)
        self._look_timer = None
        if self._engines:
            self._look_timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _set_suspected(self, engine: _Engine, suspected: bool) -> None:
        if engine.suspected != suspected:
            engine.suspected = suspected
            self._handle(EngineSuspected(self._clock(), engine.beat.engine_id, suspected))

    def _close(self, engine_id: str, closing: Closing) -> None:
        """Give an engine up, for good: its jobs wait again, unless one has broken engines alone."""
        logger.warning("engine %s is closed: %s", engine_id, closing.cause)
        for job_id, grant in tuple(self._grants.items()):
            if grant.engine_id != engine_id:
                continue
            suspected = grant.grant_id in closing.suspects
            if job_id in self._abandoned:
                self._end(JobCancelled(self._clock(), job_id))
            elif suspected and grant.alone:
                self._end(JobFailed(self._clock(), job_id))
                self._refuse(Refusal(job_id, "poison", detail=closing.cause))
            else:
                self._forget_grant(job_id)
                if suspected:
                    self._suspects.add(job_id)
        self._engines.pop(engine_id).changed.set()
        self._closed[engine_id] = None
        if len(self._closed) > CLOSED_KEPT:
            del self._closed[next(iter(self._closed))]
        self._handle(EngineDown(self._clock(), engine_id))

    # -- commands -------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        for command in self.dispatcher.handle(event):
            self._carry_out(command)
        self._arm_timers()

    def _carry_out(self, command: Command) -> None:
        match command:
            case AdmitJob():
                pass  # its gateway waits for the grant
            case StartJob(job_id=job_id):
                self._grants[job_id] = self._granted(command)
                self._answer(self._grants[job_id])
            case RejectJob(job_id=job_id, reason=reason, retry_after_s=retry_after_s):
                self._refuse(Refusal(job_id, reason, retry_after_s))
            case DropJob(job_id=job_id, reason=reason):
                self._refuse(Refusal(job_id, reason))
            case AnnounceRung():
                for engine in self._engines.values():
                    engine.changed.set()
            case LowerJob(job_id=job_id, engine_id=engine_id, rung=rung):
                engine = self._engines[engine_id]
                engine.lowered[self._grants[job_id].grant_id] = rung
                engine.changed.set()
            case RedoJob(job_id=job_id):
                raise RuntimeError(f"job {job_id} is to be made again, and no cascade is served")

    def _granted(self, command: StartJob) -> Grant:
        return Grant(
            command.job_id,
            grant_id_of(command.job_id, next(self._numbers)),
            self._engines[command.engine_id].beat.pool,
            command.engine_id,
            command.service,
            alone=command.job_id in self._suspects,
        )

    def _answer(self, answer: Grant | Refusal) -> None:
        lease = self._leases.get(answer.job_id)
        if lease is not None:
            lease.granted_s = self._clock()
            lease.answers.put_nowait(answer)

    def _refuse(self, refusal: Refusal) -> None:
        self.refused[refusal.reason] += 1
        self._suspects.discard(refusal.job_id)
        self._answer(refusal)

    def _end(self, event: JobFinished | JobFailed | JobCancelled) -> None:
        self._forget_grant(event.job_id)
        self._suspects.discard(event.job_id)
        self._handle(event)

    def _forget_grant(self, job_id: str) -> None:
        self._abandoned.pop(job_id, None)
        grant = self._grants.pop(job_id, None)
        if grant is not None:
            self._engines[grant.engine_id].lowered.pop(grant.grant_id, None)

    # -- timers ---------------------------------------------------------------------------------

    def _arm_timers(self) -> None:
        for timer in (self._deadline_timer, self._hold_timer):
            if timer is not None:
                timer.cancel()
        self._deadline_timer = self._hold_timer = None
        loop = asyncio.get_running_loop()
        deadline_s = self.dispatcher.next_deadline_s()
        if deadline_s is not None:
            delay_s = max(0.0, deadline_s - self._clock())
            self._deadline_timer = loop.call_later(delay_s, self._deadline_tick)
        if self.dispatcher.rung > 0:
            delay_s = self._hold_s + HOLD_MARGIN_S
            self._hold_timer = loop.call_later(delay_s, self._hold_tick)

    def _deadline_tick(self) -> None:
        self._deadline_timer = None
        self._handle(Ticked(self._clock()))

    def _hold_tick(self) -> None:
        """Ask whether quality may rise; if not, only another event can change that."""
        self._hold_timer = None
        before = self.dispatcher.rung
        self._handle(Ticked(self._clock()))
        if self.dispatcher.rung == before and self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None
