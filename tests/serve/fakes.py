"""A service behind the gateway that lives in memory and does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from policies.nouns import Job, Service
from serve.backend import DispatcherLost, EngineLost
from serve.messages import (
    Accepted,
    Done,
    EngineWord,
    Facts,
    Grant,
    Order,
    Partial,
    Refusal,
)

FACTS = Facts(
    variant="full",
    sampler="ddim",
    guidance_scale=7.5,
    guidance_rescale=0.0,
    seed=3,
    steps_planned=25,
    steps_run=18,
    guided_steps=12,
    early_exit="replan",
    quality_admitted="high",
    quality_delivered="medium",
    rung_delivered=1,
    started_unix_s=10.0,
    ended_unix_s=12.5,
)
DONE = Done(b"picture", FACTS)

Answer = Grant | Refusal | Exception
Word = EngineWord | Exception


class FakeBackend:
    """Answers each `acquire` and each `generate` from a list, the last entry for ever."""

    def __init__(
        self,
        answers: Sequence[str | Exception] = ("grant",),
        runs: Sequence[Sequence[Word]] = ((Accepted(4), DONE),),
    ) -> None:
        self.answers = list(answers)
        self.runs = [list(words) for words in runs]
        self.asked: list[tuple[str, bool, str | None]] = []
        self.orders: list[Order] = []
        self.released: list[str] = []
        self.variants = ["full", "small", "turbo"]
        self.lost = False
        self.stuck = asyncio.Event()

    async def acquire(self, job: Job, *, again: bool, lost_engine: str | None) -> Grant | Refusal:
        self.asked.append((job.job_id, again, lost_engine))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if answer == "wait":
            self.stuck.set()
            await asyncio.Event().wait()
        if answer != "grant":
            return Refusal(job.job_id, answer, 2.0)
        return Grant(job.job_id, "main", f"e{len(self.asked)}", Service("full", 25, 0), 9.0)

    def release(self, job_id: str) -> None:
        self.released.append(job_id)

    async def generate(self, grant: Grant, order: Order) -> AsyncGenerator[EngineWord]:
        self.orders.append(order)
        for word in self.runs.pop(0) if len(self.runs) > 1 else self.runs[0]:
            if isinstance(word, EngineLost) and word.args == ("stuck",):
                self.stuck.set()
                await asyncio.Event().wait()
            if isinstance(word, Exception):
                raise word
            yield word

    async def status(self) -> dict[str, Any]:
        self._check()
        return {"waiting": 0}

    async def costs(self) -> dict[str, Any]:
        self._check()
        return {"e1": {"pool": "main", "sums": {"step": []}}}

    async def metrics(self) -> str:
        self._check()
        return "sluice_jobs_waiting 0\n"

    async def hosted(self) -> list[str]:
        self._check()
        return self.variants

    def _check(self) -> None:
        if self.lost:
            raise DispatcherLost("gone")


STUCK = EngineLost("stuck")
"""In a list of words: from here on the engine says nothing more."""

PARTIALS = tuple(Partial(index, b"partly") for index in range(3))
