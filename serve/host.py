"""Runs a `StepEngine` beside an event loop: granted jobs in, words about them out.

A job's own fault fails that job. When the engine's work fails or hangs, the host closes, once and for
good: it takes nothing more, and says which jobs were in the call that broke it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from pipelines.convergence import Audit
from pipelines.desk import Part
from pipelines.engine import StepEngine
from pipelines.faults import EngineBroken, failure_of, told
from pipelines.images import encode_image
from pipelines.jobs import (
    InvalidRequest,
    PartialPicture,
    Picture,
    PictureDone,
    PictureFacts,
    PictureFailed,
    PictureRequest,
    StepDone,
)
from policies.events import Progress
from policies.nouns import Ladder, Service
from serve.messages import (
    OUTCOME_CANCELLED,
    OUTCOME_FAILED,
    OUTCOME_FINISHED,
    Accepted,
    Closing,
    Control,
    Done,
    Ended,
    EngineWord,
    Facts,
    Failed,
    Grant,
    NotHere,
    Order,
    Partial,
)
from serve.prompts import PromptMeter
from serve.pumping import Pump, Told

logger = logging.getLogger(__name__)

LOOK_S = 0.2
"""Pause between two looks at the call under way. Its time is counted in looks, so that a machine that
slept does not count as a call that hangs."""

PictureEvent = PartialPicture | PictureDone | PictureFailed


@dataclass(slots=True)
class _Hosted:
    """A job in the engine, and the events about it that are not yet told (None: the engine closed)."""

    order: Order
    service: Service
    submitted_s: float
    events: asyncio.Queue[PictureEvent | None] = field(default_factory=asyncio.Queue)


class EngineHost:
    """Takes granted jobs on the event loop and has `pump` run them in the engine.

    `news` is set when jobs have left the engine, before their pictures are encoded, so that their
    slots are free as early as can be; `ended` holds them until a reporter takes them. `clock` is the
    engine's. A call of the engine that takes longer than `call_max_s` closes it, but for the first of
    its shape. `on_closing` is called once, on the loop; whoever hears it calls `end_all`.
    """

    def __init__(
        self,
        engine: StepEngine,
        ladder: Ladder,
        on_closing: Callable[[Closing], None],
        pump: Pump,
        *,
        clock: Callable[[], float] = time.monotonic,
        call_max_s: float = math.inf,
    ) -> None:
        self.engine = engine
        self._ladder = ladder
        self._on_closing = on_closing
        self._pump = pump
        self._clock = clock
        self._call_max_s = call_max_s
        self._meters = {name: PromptMeter(v) for name, v in engine.variants.items()}
        self._jobs: dict[str, _Hosted] = {}  # by grant
        self._control = Control()
        # zlib works without the interpreter's lock; half of the cores belong to everything else.
        workers = max(1, min(4, (os.cpu_count() or 1) // 2))
        self._encoders = ThreadPoolExecutor(workers, thread_name_prefix="encode")
        self._watch: asyncio.Task[None] | None = None
        self._closing: Closing | None = None
        self._latest_audit: Audit | None = None
        self._stepped: tuple[StepDone, ...] = ()
        self._progress: tuple[Progress, ...] | None = None
        self.ended: list[Ended] = []
        self.news = asyncio.Event()
        self.steps_total = 0
        self.pictures_total = 0
        self.convergence = None if engine.tuner is None else engine.tuner.report()

    def start(self) -> None:
        """Start stepping; called on the event loop that the host will serve."""
        self._pump.start(self)
        if self._call_max_s < math.inf:
            self._watch = asyncio.create_task(self._watch_calls())

    def stop(self) -> None:
        """End the work after what is being worked at."""
        if self._watch is not None:
            self._watch.cancel()
        self._pump.stop()
        self._encoders.shutdown()

    def check(self) -> None:
        """RuntimeError if the engine is closed."""
        if self._closing is not None:
            raise RuntimeError(f"the engine is closed: {self._closing.cause}")

    def close(self, cause: str, suspects: Iterable[str] = ()) -> None:
        """Take nothing more: the engine can no longer compute. Only the first call counts."""
        if self._closing is None:
            self._closing = Closing(cause, frozenset(suspects))
            self._on_closing(self._closing)

    def end_all(self) -> None:
        """Tell all who wait for a picture that it will not be made here."""
        for hosted in self._jobs.values():
            hosted.events.put_nowait(None)

    def running(self) -> tuple[str, ...]:
        """The grants in the engine."""
        return tuple(self._jobs)

    def take_progress(self) -> tuple[Progress, ...] | None:
        """How far the others were, by grant, when jobs last left at a step boundary; told once."""
        progress, self._progress = self._progress, None
        return progress

    def follow(self, control: Control) -> None:
        """Do from the next step boundary on as the dispatcher wants."""
        if control.rung != self._control.rung:
            self.engine.announce(control.rung)
        self._control = control
        for grant_id in control.lowered.keys() & self._jobs.keys():
            self.engine.lower(grant_id, control.lowered[grant_id])

    async def run(self, order: Order, grant: Grant) -> AsyncGenerator[EngineWord]:
        """Run one job and say what happens to it. Closing the iterator cancels the job."""
        if self._closing is not None:
            yield NotHere(grant.engine_id)
            return
        grant_id = grant.grant_id
        hosted = self._jobs[grant_id] = _Hosted(order, grant.service, self._clock())
        try:
            word = self._submit(grant, order)
            if isinstance(word, Failed):
                self._leave(grant_id, OUTCOME_FAILED)
                yield word
                return
            yield word
            while (event := await hosted.events.get()) is not None:
                yield await self._word(hosted, event)
                if not isinstance(event, PartialPicture):
                    return
            yield NotHere(grant.engine_id)
        finally:
            if grant_id in self._jobs:
                self.engine.cancel(grant_id)
                self._leave(grant_id, OUTCOME_CANCELLED)

    def _submit(self, grant: Grant, order: Order) -> Accepted | Failed:
        meter = self._meters[grant.service.variant]
        try:
            fault = meter.fault(order)
            if fault is not None:
                return fault
            self.engine.submit(
                PictureRequest(
                    job_id=grant.grant_id,
                    prompt=order.prompt,
                    service=grant.service,
                    seed=order.seed,
                    width=order.width,
                    height=order.height,
                    negative_prompt=order.negative_prompt,
                    guidance_scale=order.guidance_scale,
                    guidance_rescale=order.guidance_rescale,
                    floor=order.floor,
                    fixed=order.fixed,
                    pinned=order.pinned,
                    converge=order.converge,
                    partials=order.partials,
                    alone=grant.alone,
                )
            )
        except InvalidRequest as error:
            return Failed(str(error), "error", error.param)
        except Exception as error:
            return _failed(grant.grant_id, error)
        if grant.grant_id in self._control.lowered:
            self.engine.lower(grant.grant_id, self._control.lowered[grant.grant_id])
        return Accepted(meter.tokens(order.prompt))

    def _leave(self, grant_id: str, outcome: str) -> None:
        del self._jobs[grant_id]
        self.ended.append(Ended(grant_id, outcome))
        self.news.set()

    async def _watch_calls(self) -> None:
        watched, looks = None, 0
        while self._closing is None:
            await asyncio.sleep(LOOK_S)
            call = self.engine.call
            looks = looks + 1 if call is watched else 0
            watched = call
            if call is not None and not call.first and looks * LOOK_S > self._call_max_s:
                cause = f"a call to {call.stage} took more than {self._call_max_s:g} s"
                logger.error("%s; it had the jobs %s", cause, ", ".join(call.job_ids))
                self.close(cause, call.job_ids)

    # -- where the pump works -------------------------------------------------------------------

    def work(self, part: Part) -> Told | None:
        """See `serve.pumping.Worked`; one thread may do all, or one "denoise" and one "beside"."""
        match part:
            case "all":
                events = self.engine.step()
            case "denoise":
                events = self.engine.denoise()
            case "beside":
                events = [*self.engine.prepare(), *self.engine.finish()]
        if part != "beside":
            self.steps_total += 1
            self._look_at_audits()
            self._stepped = tuple(event for event in events if isinstance(event, StepDone))
        others = [event for event in events if not isinstance(event, StepDone)]
        return Told(others, self._stepped) if others else None

    def _look_at_audits(self) -> None:
        """Take the tuner's report after every audit, here because its audits come in here."""
        tuner = self.engine.tuner
        if tuner is None:
            return
        latest = tuner.audits[-1] if tuner.audits else None
        if latest is not self._latest_audit:
            self._latest_audit = latest
            self.convergence = tuner.report()

    # -- back on the event loop -----------------------------------------------------------------

    def deliver(self, work: Told) -> None:
        """See `serve.pumping.Worked`."""
        before = len(self.ended)
        for event in work.events:
            hosted = self._jobs.get(event.job_id)
            if hosted is None:
                continue  # cancelled while the step ran
            if isinstance(event, PictureDone):
                self.pictures_total += 1
                facts = self._facts(hosted, event.facts)
                self.ended.append(Ended(event.job_id, OUTCOME_FINISHED, facts))
            elif isinstance(event, PictureFailed):
                self.ended.append(Ended(event.job_id, OUTCOME_FAILED))
            if not isinstance(event, PartialPicture):
                del self._jobs[event.job_id]
            hosted.events.put_nowait(event)
        if len(self.ended) > before:
            self._progress = tuple(
                Progress(step.job_id, step.steps_run, step.steps_planned)
                for step in work.stepped
                if step.job_id in self._jobs
            )
            self.news.set()

    def give_up(self, error: Exception) -> None:
        """See `serve.pumping.Worked`."""
        if isinstance(error, EngineBroken):  # the engine has logged what broke it
            self.close(error.cause, error.suspects)
        else:
            logger.error("the step loop failed", exc_info=error)
            self.close(told(error), self.running())

    async def _word(self, hosted: _Hosted, event: PictureEvent) -> EngineWord:
        if isinstance(event, PictureFailed):
            return Failed(event.message, event.kind)
        try:
            data = await self._encoded(event.image, hosted.order)
        except Exception as error:
            return _failed(event.job_id, error)
        if isinstance(event, PartialPicture):
            return Partial(event.index, data)
        return Done(data, self._facts(hosted, event.facts))

    async def _encoded(self, image: Picture, order: Order) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._encoders, encode_image, image, order.output_format, order.output_compression
        )

    def _facts(self, hosted: _Hosted, facts: PictureFacts) -> Facts:
        service = delivered = hosted.service
        if facts.rung_delivered != facts.rung_admitted:
            rung = self._ladder[facts.rung_delivered]
            delivered = Service(rung.variant, rung.steps, facts.rung_delivered, rung.guidance_share)
        return Facts(
            facts,
            quality_admitted=self._ladder.quality_of(service),
            quality_delivered=self._ladder.quality_of(delivered),
            queued_s=facts.started_s - hosted.submitted_s,
        )


def _failed(grant_id: str, error: Exception) -> Failed:
    """The answer to a job of which one of its own stages failed; the log has the exception."""
    logger.error("grant %s failed", grant_id, exc_info=error)
    return Failed(*failure_of(error))
