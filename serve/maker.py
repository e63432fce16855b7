"""Sees one accepted picture through: asks for a place, runs it there, asks again after a loss."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from policies.nouns import Job
from serve.backend import Backend, DispatcherLost, EngineLost
from serve.errors import (
    TYPE_SERVER,
    ApiError,
    bad_request,
    deadline_hopeless,
    deadline_passed,
    picture_failed,
    queue_full,
    tenant_full,
    unavailable,
)
from serve.messages import Accepted, Done, Failed, Grant, Partial, Refusal
from serve.orders import Commission
from serve.schemas import ServingFacts

logger = logging.getLogger(__name__)

ENGINES_LOST_MAX = 5
"""After so many engines died under one job, the job itself is the likely cause."""

DISPATCHER_TRIES_MAX = 20
DISPATCHER_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Made:
    """A finished picture with its facts."""

    data: bytes
    text_tokens: int
    facts: ServingFacts


class Maker:
    """Makes pictures through a backend. `max_waiting` and `tenant_max`, the most jobs that may wait
    in all and that one user may have in hand, are told to clients that are refused."""

    def __init__(
        self,
        backend: Backend,
        max_waiting: int,
        tenant_max: int | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._max_waiting = max_waiting
        self._tenant_max = tenant_max
        self._clock = clock

    def start(
        self, commission: Commission, on_partial: Callable[[Partial], None]
    ) -> asyncio.Task[Made]:
        """`make` as a task in a fresh context, as `RayBackend` needs it."""
        return asyncio.create_task(self.make(commission, on_partial), context=contextvars.Context())

    async def make(self, commission: Commission, on_partial: Callable[[Partial], None]) -> Made:
        """One picture. Partial pictures are told once each, also when the job runs again.

        Cancelling it frees the job's place. ApiError if it was refused, expired or failed.
        """
        lost_engine: str | None = None
        partials_told = 0

        def tell(partial: Partial) -> None:
            nonlocal partials_told
            if partial.index >= partials_told:
                partials_told = partial.index + 1
                on_partial(partial)

        for attempt in range(ENGINES_LOST_MAX):
            grant = await self._place(commission, again=attempt > 0, lost_engine=lost_engine)
            try:
                return await self._run(commission, grant, tell)
            except EngineLost:
                lost_engine = grant.engine_id
                logger.warning("engine %s was lost; its job runs again", lost_engine)
        self._backend.release(commission.job.job_id)
        raise ApiError(
            500,
            f"{ENGINES_LOST_MAX} engines were lost while they made this picture.",
            code="engine_lost",
            type_=TYPE_SERVER,
            may_retry=False,
        )

    async def _place(
        self, commission: Commission, *, again: bool, lost_engine: str | None
    ) -> Grant:
        job = commission.job
        for _ in range(DISPATCHER_TRIES_MAX):
            try:
                answer = await self._backend.acquire(job, again=again, lost_engine=lost_engine)
            except DispatcherLost:
                # It may have been accepted there, so it must not be refused for a full queue now.
                again = True
                await asyncio.sleep(DISPATCHER_PAUSE_S)
                continue
            except asyncio.CancelledError:
                # The grant may be on its way already, where cancelling the call comes too late.
                self._backend.release(job.job_id)
                raise
            if isinstance(answer, Grant):
                return answer
            raise self._refused(commission, answer)
        raise unavailable("The dispatcher does not answer; try again shortly.")

    def _refused(self, commission: Commission, refusal: Refusal) -> ApiError:
        job = commission.job
        match refusal.reason:
            case "queue_full":
                return queue_full(refusal.retry_after_s, self._max_waiting)
            case "tenant_full" if self._tenant_max is not None:
                return tenant_full(refusal.retry_after_s, self._tenant_max)
            case "hopeless" if job.deadline_s is not None:
                return deadline_hopeless(job.deadline_s - job.arrival_s)
            case "expired" if job.deadline_s is not None:
                return deadline_passed(job.deadline_s - job.arrival_s)
            case "no_rung":
                return bad_request(
                    "No rung of the ladder can serve this request; ask for another model or quality."
                )
        raise RuntimeError(f"job {job.job_id} was refused as {refusal.reason!r}: no such reason")

    async def _run(
        self, commission: Commission, grant: Grant, tell: Callable[[Partial], None]
    ) -> Made:
        job = commission.job
        text_tokens = 0
        settled = False
        try:
            async with aclosing(self._backend.generate(grant, commission.order)) as words:
                async for word in words:
                    match word:
                        case Accepted():
                            text_tokens = word.text_tokens
                        case Partial():
                            tell(word)
                        case Done():
                            settled = True
                            facts = self._facts(job, word)
                            return Made(word.data, text_tokens, facts)
                        case Failed(message=message, param=param):
                            settled = True
                            if param is not None:
                                raise bad_request(message, param=param, code="invalid_value")
                            raise picture_failed(message)
            raise EngineLost(grant.engine_id)  # it stopped in mid-sentence
        except EngineLost:
            settled = True  # the next acquire settles it
            raise
        finally:
            if not settled:
                self._backend.release(job.job_id)

    def _facts(self, job: Job, done: Done) -> ServingFacts:
        facts = done.facts
        return ServingFacts(
            job_id=job.job_id,
            tier=job.tier,
            variant=facts.variant,
            sampler=facts.sampler,
            guidance_scale=facts.guidance_scale,
            guidance_rescale=facts.guidance_rescale,
            seed=facts.seed,
            steps_planned=facts.steps_planned,
            steps_run=facts.steps_run,
            guided_steps=facts.guided_steps,
            early_exit=facts.early_exit,
            quality_admitted=facts.quality_admitted,
            quality_delivered=facts.quality_delivered,
            queue_ms=_ms(facts.started_unix_s - job.arrival_s),
            service_ms=_ms(facts.ended_unix_s - facts.started_unix_s),
            total_ms=_ms(self._clock() - job.arrival_s),
        )


async def all_of(tasks: Sequence[asyncio.Task[Made]]) -> list[Made]:
    """The pictures of one request; if one fails or the client leaves, the others are given up."""
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 3)
