"""Drives `policies.Dispatcher` by an asyncio clock: calls in, futures out.

Plain asyncio, without Ray: the deployment in `serve.dispatcher` wraps it, and a test can run it on
a virtual clock. Nothing here polls; every timer belongs to one deadline, hold, claim or engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

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
    EngineUp,
    Event,
    JobArrived,
    JobCancelled,
    JobFailed,
    JobFinished,
    Ticked,
)
from policies.nouns import Job
from serve.messages import (
    OUTCOME_FAILED,
    OUTCOME_FINISHED,
    Directions,
    Ended,
    EngineNote,
    Grant,
    Lowering,
    Refusal,
)

ENGINE_SILENCE_MAX_S = 10.0
"""An idle engine that has not spoken for this long is taken for dead.

A busy one is not: its gateways notice its death at once, and a machine under load may be slow."""

HOLD_TICK_MIN_S = 0.1
"""The shortest pause before the controller is asked again whether quality may rise."""

HOLD_MARGIN_S = 0.001
"""A tick comes so long after the hold: were it a rounding of a clock too early, the controller would
refuse, and nothing would ask it again."""


@dataclass(slots=True)
class _Engine:
    """What the driver keeps of one engine beside the policy's own view."""

    note: EngineNote
    numbered: int
    lowered: list[Lowering] = field(default_factory=list)  # not yet heard of by the engine
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    silence: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Claim:
    """A grant whose job has not yet been seen in its engine."""

    grant: Grant
    timer: asyncio.TimerHandle


@dataclass(frozen=True, slots=True)
class Timings:
    """What became of one job, for telemetry. Times are seconds on the driver's clock."""

    job: Job
    granted_s: float
    ended: Ended


class QueueDriver:
    """The dispatcher's live half. All methods run on one event loop.

    `clock` gives unix seconds. `hold_s` is the controller's shortest time on a rung: while quality
    is lowered and nothing else happens, the policy is ticked once per hold, so that an idle server
    returns to full service. `claim_s` bounds how long a granted place may stay unused (its gateway
    died). `on_ended` is called once for every job that left an engine and was known here.
    `replicas_wanted` gives the number of engines that a pool should have, if it has a view.
    `refused` counts refusals by reason. ValueError for a cascade: nobody here judges pictures.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        clock: Callable[[], float] = time.time,
        hold_s: float = 0.0,
        claim_s: float = 30.0,
        on_ended: Callable[[Timings], None] = lambda timings: None,
        replicas_wanted: Callable[[str], int | None] = lambda pool: None,
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
        self._claim_s = claim_s
        self._on_ended = on_ended
        self._replicas_wanted = replicas_wanted
        self._jobs: dict[str, Job] = {}
        self._waiters: dict[str, asyncio.Future[Grant | Refusal]] = {}
        self._granted_s: dict[str, float] = {}
        self._claims: dict[str, _Claim] = {}
        self._engines: dict[str, _Engine] = {}
        self._last_seq: dict[str, int] = {}
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._hold_timer: asyncio.TimerHandle | None = None

    # -- gateways -------------------------------------------------------------------------------

    async def acquire(
        self, job: Job, *, again: bool = False, lost_engine: str | None = None
    ) -> Grant | Refusal:
        """Wait for a place. Cancelling the call gives the job up, waiting or just granted.

        `again` repeats a job that was accepted before; `lost_engine` names the engine that it was
        granted and that did not answer.
        """
        if lost_engine is not None:
            self._engine_gone(lost_engine)
        future: asyncio.Future[Grant | Refusal] = asyncio.get_running_loop().create_future()
        replaced = self._waiters.get(job.job_id)
        self._waiters[job.job_id] = future
        if replaced is not None and not replaced.done():
            # The same gateway asks anew, so nobody listens to the former call any more.
            replaced.set_result(Refusal(job.job_id, "superseded"))
        self._jobs[job.job_id] = job
        self._handle(JobArrived(self._clock(), job, again=again, lost_engine=lost_engine))
        self._answer_standing_grant(job.job_id, future)
        try:
            return await future
        except asyncio.CancelledError:
            if self._waiters.get(job.job_id) is future:
                self.release(job.job_id)
            raise
        finally:
            if self._waiters.get(job.job_id) is future:
                del self._waiters[job.job_id]

    def release(self, job_id: str) -> None:
        """The gateway no longer wants the job; nothing happens if it has ended already."""
        if self.dispatcher.knows(job_id):  # any event lets the controller decide once more
            self._handle(JobCancelled(self._clock(), job_id))
        self._forget(job_id)

    def engine_notes(self) -> tuple[EngineNote, ...]:
        """The last report of every engine that is up."""
        return tuple(engine.note for engine in self._engines.values())

    def _answer_standing_grant(self, job_id: str, future: asyncio.Future[Grant | Refusal]) -> None:
        """A job lost with its engine may hold a new grant before its gateway asks for one."""
        standing = self.dispatcher.grant_of(job_id)
        if not future.done() and standing is not None:
            self._start(standing)

    # -- engines --------------------------------------------------------------------------------

    def note(self, note: EngineNote) -> bool:
        """Take an engine's report; False if it must send a fresh one, being overtaken by a later.

        The first note of an engine (or of this driver's life) registers it with what it runs.
        """
        stale = note.seq <= self._last_seq.get(note.engine_id, 0)
        self._last_seq[note.engine_id] = max(note.seq, self._last_seq.get(note.engine_id, 0))
        known = self._engines.get(note.engine_id)
        if known is None and stale:
            return False
        if known is None:
            self._register(note)
        elif not stale:
            known.note = note
            known.lowered = [one for one in known.lowered if one.number > note.heard]
        now_s = self._clock()
        for job_id in note.running:
            if job_id in self._claims and self._runs_on(job_id, note.engine_id):
                self._claimed(job_id)
        if note.progress is not None and not stale:
            self._handle(EngineProgressed(now_s, note.engine_id, note.progress))
        for ended in note.ended:
            if self._runs_on(ended.job_id, note.engine_id):
                self._job_ended(ended, now_s)
        self._arm_silence(note.engine_id)
        return True

    def _register(self, note: EngineNote) -> None:
        self._engines[note.engine_id] = _Engine(note, numbered=note.heard)
        # A job that a gateway is asking for anew is lost to it: what still runs is worth nothing.
        running = tuple(job_id for job_id in note.running if job_id not in self._waiters)
        self._handle(
            EngineUp(
                self._clock(),
                note.engine_id,
                note.places,
                frozenset(note.variants),
                running,
                note.pool,
                note.price_per_s,
            )
        )

    def _runs_on(self, job_id: str, engine_id: str) -> bool:
        return self.dispatcher.engine_of(job_id) == engine_id

    @property
    def announced(self) -> int:
        """The rung that running jobs are held to: 0 if the policy lets them finish as they began."""
        return self.dispatcher.rung if self.dispatcher.policy.announces else 0

    async def listen(self, note: EngineNote, rung: int, patience_s: float) -> Directions | None:
        """Take a report and answer as soon as the announced rung differs from `rung` or jobs are to
        be lowered.

        Answers after `patience_s` in any case, so that the engine's next call shows it alive.
        None asks for a fresh report at once.
        """
        if not self.note(note):
            return None
        engine = self._engines.get(note.engine_id)
        if engine is None:
            return None
        engine.changed.clear()
        if self.announced == rung and not engine.lowered:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await engine.changed.wait()
        wanted = self._replicas_wanted(note.pool)
        return Directions(self.announced, tuple(engine.lowered), wanted)

    def _engine_gone(self, engine_id: str) -> None:
        engine = self._engines.pop(engine_id, None)
        if engine is None:
            return
        if engine.silence is not None:
            engine.silence.cancel()
        engine.changed.set()
        self._handle(EngineDown(self._clock(), engine_id))

    def _arm_silence(self, engine_id: str) -> None:
        engine = self._engines[engine_id]
        if engine.silence is not None:
            engine.silence.cancel()
        loop = asyncio.get_running_loop()
        engine.silence = loop.call_later(ENGINE_SILENCE_MAX_S, self._engine_silent, engine_id)

    def _engine_silent(self, engine_id: str) -> None:
        if self.dispatcher.is_busy(engine_id):
            self._arm_silence(engine_id)
        else:
            self._engine_gone(engine_id)

    def _job_ended(self, ended: Ended, now_s: float) -> None:
        job, granted_s = self._jobs.get(ended.job_id), self._granted_s.get(ended.job_id)
        event: Event
        if ended.outcome == OUTCOME_FINISHED:
            event = JobFinished(now_s, ended.job_id)
            if ended.facts is not None:
                facts = ended.facts
                event = JobFinished(now_s, ended.job_id, facts.rung_delivered, facts.steps_run)
        elif ended.outcome == OUTCOME_FAILED:
            event = JobFailed(now_s, ended.job_id)
        else:
            event = JobCancelled(now_s, ended.job_id)
        self._handle(event)
        self._forget(ended.job_id)
        if job is not None and granted_s is not None:
            self._on_ended(Timings(job, granted_s, ended))

    # -- commands -------------------------------------------------------------------------------

    def _handle(self, event: Event) -> None:
        for command in self.dispatcher.handle(event):
            self._carry_out(command)
        self._arm_timers()

    def _carry_out(self, command: Command) -> None:
        match command:
            case AdmitJob():
                pass  # its gateway waits for the grant
            case StartJob():
                self._start(command)
            case RejectJob(job_id=job_id, reason=reason, retry_after_s=retry_after_s):
                self._refuse(Refusal(job_id, reason, retry_after_s))
            case DropJob(job_id=job_id, reason=reason):
                self._refuse(Refusal(job_id, reason))
            case AnnounceRung():
                for engine in self._engines.values():
                    engine.changed.set()
            case LowerJob():
                self._lower(command)
            case RedoJob(job_id=job_id):
                raise RuntimeError(f"job {job_id} is to be made again, and no cascade is served")

    def _lower(self, command: LowerJob) -> None:
        engine = self._engines[command.engine_id]
        engine.numbered += 1
        engine.lowered.append(Lowering(engine.numbered, command.job_id, command.rung))
        engine.changed.set()

    def _refuse(self, refusal: Refusal) -> None:
        self.refused[refusal.reason] += 1
        self._answer(refusal.job_id, refusal)
        self._forget(refusal.job_id)

    def _start(self, command: StartJob) -> None:
        now_s = self._clock()
        engine = self._engines[command.engine_id]
        grant = Grant(command.job_id, engine.note.pool, command.engine_id, command.service, now_s)
        self._granted_s[command.job_id] = now_s
        self._claimed(command.job_id)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._claim_s, self._unclaimed, command.job_id)
        self._claims[command.job_id] = _Claim(grant, timer)
        self._answer(command.job_id, grant)

    def _answer(self, job_id: str, answer: Grant | Refusal) -> None:
        waiter = self._waiters.get(job_id)
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)

    def _claimed(self, job_id: str) -> None:
        claim = self._claims.pop(job_id, None)
        if claim is not None:
            claim.timer.cancel()

    def _unclaimed(self, job_id: str) -> None:
        """Nobody brought the job to its engine: its gateway is gone, so give the place away."""
        self._claims.pop(job_id, None)
        self.release(job_id)

    def _forget(self, job_id: str) -> None:
        self._claimed(job_id)
        self._jobs.pop(job_id, None)
        self._granted_s.pop(job_id, None)

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
