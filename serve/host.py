"""Runs a `StepEngine` beside an event loop: orders in, words about them and reports out."""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pipelines.convergence import Audit
from pipelines.desk import Part
from pipelines.engine import StepEngine
from pipelines.images import encode_image
from pipelines.jobs import (
    PartialPicture,
    Picture,
    PictureDone,
    PictureFacts,
    PictureFailed,
    PictureRequest,
    StepDone,
)
from pipelines.loading import Variant
from policies.events import Progress
from policies.nouns import Ladder, Service
from serve.messages import (
    OUTCOME_CANCELLED,
    OUTCOME_FAILED,
    OUTCOME_FINISHED,
    Accepted,
    Done,
    Ended,
    EngineWord,
    Facts,
    Failed,
    NotHere,
    Order,
    Partial,
)
from serve.pumping import Pump, ThreadPump, Told

MARK_TOKENS = 2  # the start and end marks around every prompt
LOWERED_AHEAD_MAX = 256
"""So many lowerings of jobs that are not here are kept, the newest: most are on their way."""


class PromptMeter:
    """Counts a prompt's tokens on the event loop.

    It has tokenizers of its own, because those of the variant belong to the engine's threads.
    """

    def __init__(self, variant: Variant) -> None:
        pipeline = variant.pipeline
        second = getattr(pipeline, "tokenizer_2", None)
        self._tokenizers = [copy.deepcopy(t) for t in (pipeline.tokenizer, second) if t is not None]
        self._tokens_max = variant.encoder.tokens_max - MARK_TOKENS

    def tokens(self, text: str) -> int:
        """Tokens of the text itself, without its marks."""
        return (
            max(
                len(tokenizer(text, truncation=False, padding=False, verbose=False).input_ids)
                for tokenizer in self._tokenizers
            )
            - MARK_TOKENS
        )

    def fault(self, order: Order) -> Failed | None:
        """Which of the order's texts the model could not read to its end, if any."""
        for param, text in (("prompt", order.prompt), ("negative_prompt", order.negative_prompt)):
            tokens = self.tokens(text)
            if tokens > self._tokens_max:
                message = (
                    f"The {param} has {tokens} tokens and the model reads {self._tokens_max};"
                    " shorten it."
                )
                return Failed(message, param)
        return None


@dataclass(slots=True)
class _Hosted:
    """A job in the engine, and the events about it that are not yet told."""

    order: Order
    service: Service
    events: asyncio.Queue[PartialPicture | PictureDone | PictureFailed | None] = field(
        default_factory=asyncio.Queue
    )


@dataclass(frozen=True, slots=True)
class Report:
    """Jobs that have left the engine. `progress` says how far the others are, if it was a step
    boundary that ended these, and is None for jobs that were cancelled or never began."""

    ended: tuple[Ended, ...]
    progress: tuple[Progress, ...] | None = None


class EngineHost:
    """Takes orders on the event loop and has a pump run them: threads, unless a test gives another.

    `on_report` is called on the loop when jobs leave the engine, before their pictures are encoded,
    so that their places are free as early as can be. The engine's clock must give unix seconds.
    """

    def __init__(
        self,
        engine: StepEngine,
        ladder: Ladder,
        on_report: Callable[[Report], None],
        pump: Pump | None = None,
    ) -> None:
        self._engine = engine
        self._ladder = ladder
        self._on_report = on_report
        self._pump = ThreadPump() if pump is None else pump
        self._meters = {name: PromptMeter(v) for name, v in engine.variants.items()}
        self._jobs: dict[str, _Hosted] = {}
        self._keys = itertools.count()
        self._lowered_ahead: dict[str, int] = {}
        self._encoders = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._fault: Exception | None = None
        self._latest_audit: Audit | None = None
        self._stepped: tuple[StepDone, ...] = ()
        self.steps_total = 0
        self.pictures_total = 0
        self.convergence = None if engine.tuner is None else engine.tuner.report()

    def start(self) -> None:
        """Start stepping; called on the event loop that the host will serve."""
        self._pump.start(self)

    def stop(self) -> None:
        """End the work after what is being worked at."""
        self._pump.stop()
        self._encoders.shutdown()

    def check(self) -> None:
        """RuntimeError if the engine's work has failed."""
        if self._fault is not None:
            raise RuntimeError("the step loop failed") from self._fault

    @property
    def batch_limit(self) -> int:
        """The most jobs that the engine runs in one call."""
        return self._engine.batch_limit

    def costs(self) -> dict[str, Any]:
        """The sums of what the engine's work has taken, as JSON values."""
        return self._engine.costs.snapshot().to_plain()

    def announce(self, rung: int) -> None:
        """Make `rung` the current one from the next step boundary on."""
        self._engine.announce(rung)

    def lower(self, job_id: str, rung: int) -> None:
        """Let one job exit early at the next step boundary as if `rung` were announced for it.

        What the dispatcher says may overtake the job itself, which comes through its gateway.
        """
        keys = [key for key, hosted in self._jobs.items() if hosted.order.job_id == job_id]
        for key in keys:
            self._engine.lower(key, rung)
        if not keys:
            self._lowered_ahead[job_id] = max(rung, self._lowered_ahead.pop(job_id, 0))
            if len(self._lowered_ahead) > LOWERED_AHEAD_MAX:
                del self._lowered_ahead[next(iter(self._lowered_ahead))]

    def running(self) -> tuple[str, ...]:
        """The ids of the jobs in the engine."""
        return tuple(hosted.order.job_id for hosted in self._jobs.values())

    async def run(
        self, order: Order, service: Service, engine_id: str
    ) -> AsyncGenerator[EngineWord]:
        """Run one job and say what happens to it. Closing the iterator cancels the job."""
        if self._fault is not None:
            yield NotHere(engine_id)
            return
        # The same job may come twice if its gateway lost sight of the first run.
        key = f"{order.job_id}#{next(self._keys)}"
        hosted = _Hosted(order, service)
        self._jobs[key] = hosted
        try:
            fault = self._submit(key, hosted)
            if fault is not None:
                self._leave(key, Ended(order.job_id, OUTCOME_FAILED))
                yield fault
                return
            yield Accepted(self._meters[service.variant].tokens(order.prompt))
            while True:
                event = await hosted.events.get()
                if event is None:
                    yield NotHere(engine_id)
                    return
                yield await self._word(hosted, event)
                if not isinstance(event, PartialPicture):
                    return
        finally:
            if key in self._jobs:
                self._engine.cancel(key)
                self._leave(key, Ended(order.job_id, OUTCOME_CANCELLED))

    def _submit(self, key: str, hosted: _Hosted) -> Failed | None:
        order = hosted.order
        fault = self._meters[hosted.service.variant].fault(order)
        if fault is not None:
            return fault
        request = PictureRequest(
            job_id=key,
            prompt=order.prompt,
            service=hosted.service,
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
        )
        try:
            self._engine.submit(request)
        except ValueError as error:
            return Failed(str(error), "steps")
        rung = self._lowered_ahead.pop(order.job_id, None)
        if rung is not None:
            self._engine.lower(key, rung)
        return None

    def _leave(self, key: str, ended: Ended) -> None:
        del self._jobs[key]
        self._on_report(Report((ended,)))

    # -- where the pump works -------------------------------------------------------------------

    def wait_for_work(self, part: Part) -> bool:
        """See `serve.pumping.Worked`."""
        return self._engine.wait_for_work(part=part)

    def wake(self) -> None:
        """See `serve.pumping.Worked`."""
        self._engine.wake()

    def work(self, part: Part) -> Told | None:
        """See `serve.pumping.Worked`; one thread may do all, or one "denoise" and one "beside"."""
        match part:
            case "all":
                events = self._engine.step()
            case "denoise":
                events = self._engine.denoise()
            case "beside":
                events = [*self._engine.prepare(), *self._engine.finish()]
        if part != "beside":
            self.steps_total += 1
            self._look_at_audits()
            self._stepped = tuple(event for event in events if isinstance(event, StepDone))
        told = [event for event in events if not isinstance(event, StepDone)]
        return Told(told, self._stepped) if told else None

    def _look_at_audits(self) -> None:
        """Take the tuner's report after every audit, here because its audits come in here."""
        tuner = self._engine.tuner
        if tuner is None:
            return
        latest = tuner.audits[-1] if tuner.audits else None
        if latest is not self._latest_audit:
            self._latest_audit = latest
            self.convergence = tuner.report()

    # -- back on the event loop -----------------------------------------------------------------

    def deliver(self, told: Told) -> None:
        """See `serve.pumping.Worked`."""
        ended: list[Ended] = []
        for event in told.events:
            hosted = self._jobs.get(event.job_id)
            if hosted is None:
                continue  # cancelled while the step ran
            if isinstance(event, PictureDone):
                self.pictures_total += 1
                facts = self._facts(hosted.service, event.facts)
                ended.append(Ended(hosted.order.job_id, OUTCOME_FINISHED, facts))
            elif isinstance(event, PictureFailed):
                ended.append(Ended(hosted.order.job_id, OUTCOME_FAILED))
            if not isinstance(event, PartialPicture):
                del self._jobs[event.job_id]
            hosted.events.put_nowait(event)
        if ended:
            self._on_report(Report(tuple(ended), self._progress(told.stepped)))

    def _progress(self, stepped: Sequence[StepDone]) -> tuple[Progress, ...]:
        return tuple(
            Progress(self._jobs[step.job_id].order.job_id, step.steps_run, step.steps_planned)
            for step in stepped
            if step.job_id in self._jobs
        )

    def give_up(self, error: Exception) -> None:
        """See `serve.pumping.Worked`."""
        self._fault = error
        for hosted in self._jobs.values():
            hosted.events.put_nowait(None)

    async def _word(
        self, hosted: _Hosted, event: PartialPicture | PictureDone | PictureFailed
    ) -> EngineWord:
        if isinstance(event, PictureFailed):
            return Failed(event.message)
        data = await self._encoded(event.image, hosted.order)
        if isinstance(event, PartialPicture):
            return Partial(event.index, data)
        return Done(data, self._facts(hosted.service, event.facts))

    async def _encoded(self, image: Picture, order: Order) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._encoders, encode_image, image, order.output_format, order.output_compression
        )

    def _facts(self, service: Service, facts: PictureFacts) -> Facts:
        delivered = service
        if facts.rung_delivered != facts.rung_admitted:
            rung = self._ladder[facts.rung_delivered]
            delivered = Service(rung.variant, rung.steps, facts.rung_delivered, rung.guidance_share)
        return Facts(
            variant=facts.variant,
            sampler=facts.sampler,
            guidance_scale=facts.guidance_scale,
            guidance_rescale=facts.guidance_rescale,
            seed=facts.seed,
            steps_planned=facts.steps_planned,
            steps_run=facts.steps_run,
            guided_steps=facts.guided_steps,
            early_exit=facts.early_exit,
            quality_admitted=self._ladder.quality_of(service),
            quality_delivered=self._ladder.quality_of(delivered),
            rung_delivered=facts.rung_delivered,
            started_unix_s=facts.started_s,
            ended_unix_s=facts.ended_s,
        )
