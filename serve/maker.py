"""Sees one accepted picture through: holds it at the dispatcher, runs it where that grants it, again
after a loss."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from typing import Any

from policies.nouns import Job
from serve.backend import Backend, DispatcherLost, EngineLost
from serve.errors import TYPE_SERVER, ApiError, failed, refused, unavailable
from serve.messages import Accepted, Done, Failed, Grant, LostGrant, Partial, Refusal
from serve.orders import Commission
from serve.schemas import ServingFacts

logger = logging.getLogger(__name__)

RUNS_MAX = 5
"""After so many runs that came to no end, the job itself is the likely cause."""

DISPATCHER_AWAY_MAX_S = 60.0
DISPATCHER_PAUSE_S = 0.2


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
        clock: Callable[[], float] = time.monotonic,
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

        Cancelling it frees the job's slot. ApiError if it was refused, expired or failed.
        """
        told = 0

        def tell(partial: Partial) -> None:
            nonlocal told
            if partial.index >= told:
                told = partial.index + 1
                on_partial(partial)

        tasks: list[asyncio.Task[Any]] = []  # in the order in which they are to be given up
        try:
            return await self._make(commission, tell, tasks)
        finally:
            for task in tasks:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _make(
        self,
        commission: Commission,
        tell: Callable[[Partial], None],
        tasks: list[asyncio.Task[Any]],
    ) -> Made:
        job = commission.job
        answers = self._backend.lease(self._from_now(job), again=False, lost=None)
        answer, lost = await _next(answers), None
        runs = 0
        while runs < RUNS_MAX:
            away_since_s = self._clock()
            while answer is None:
                # It was accepted before, so it must not be refused for a full queue now.
                answers = self._backend.lease(self._from_now(job), again=True, lost=lost)
                answer = await _next(answers)
                if answer is None:
                    if self._clock() - away_since_s > DISPATCHER_AWAY_MAX_S:
                        raise unavailable("The dispatcher does not answer; try again shortly.")
                    await asyncio.sleep(DISPATCHER_PAUSE_S)
            if isinstance(answer, Refusal):
                raise refused(answer, job, self._max_waiting, self._tenant_max)
            moved = asyncio.create_task(_next(answers))
            run = asyncio.create_task(self._run(commission, answer, tell))
            tasks.insert(0, moved)  # if the client leaves, the dispatcher hears of it first
            tasks.append(run)
            runs += 1
            await asyncio.wait((moved, run), return_when=asyncio.FIRST_COMPLETED)
            if moved.done() and moved.result() is None:
                await asyncio.wait((run,))  # the dispatcher is away; the engine need not be
            try:
                if run.done():
                    return run.result()
            except EngineLost as loss:
                logger.warning("job %s: engine %s was lost", job.job_id, answer.engine_id)
                lost = LostGrant(answer.grant_id, loss.gone)
                runs -= loss.gone  # it never came to an engine that is being replaced
            run.cancel()
            answer = moved.result() if moved.done() else None
        raise ApiError(
            500,
            f"{RUNS_MAX} engines were lost while they made this picture.",
            code="engine_lost",
            type_=TYPE_SERVER,
            may_retry=False,
        )

    def _from_now(self, job: Job) -> Job:
        """The job with its times in seconds from now: clocks of two processes do not compare."""
        now_s = self._clock()
        deadline_s = None if job.deadline_s is None else job.deadline_s - now_s
        return replace(job, arrival_s=job.arrival_s - now_s, deadline_s=deadline_s)

    async def _run(
        self, commission: Commission, grant: Grant, tell: Callable[[Partial], None]
    ) -> Made:
        text_tokens, sent_s = 0, self._clock()
        async with aclosing(self._backend.generate(grant, commission.order)) as words:
            async for word in words:
                match word:
                    case Accepted():
                        text_tokens = word.text_tokens
                    case Partial():
                        tell(word)
                    case Done():
                        facts = self._facts(commission.job, word, sent_s)
                        return Made(word.data, text_tokens, facts)
                    case Failed():
                        raise failed(word)
        raise EngineLost(grant.engine_id)  # it stopped in mid-sentence

    def _facts(self, job: Job, done: Done, sent_s: float) -> ServingFacts:
        facts = done.facts
        return ServingFacts(
            job_id=job.job_id,
            tier=job.tier,
            **asdict(facts.picture),
            quality_admitted=facts.quality_admitted,
            quality_delivered=facts.quality_delivered,
            queue_ms=_ms(sent_s - job.arrival_s + facts.queued_s),
            service_ms=_ms(facts.service_s),
            total_ms=_ms(self._clock() - job.arrival_s),
        )


async def _next(answers: AsyncGenerator[Grant | Refusal]) -> Grant | Refusal | None:
    """The next answer of a lease; None if the dispatcher is lost."""
    try:
        return await anext(answers, None)
    except DispatcherLost:
        return None


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
