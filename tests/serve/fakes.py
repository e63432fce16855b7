"""A service behind the gateway that lives in memory and does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from pipelines.jobs import PictureFacts
from policies.nouns import Job, Service
from serve.backend import DispatcherLost, EngineLost
from serve.messages import (
    Accepted,
    Done,
    EngineWord,
    Facts,
    Grant,
    LostGrant,
    Order,
    Partial,
    Refusal,
)

PICTURE = PictureFacts(
    variant="full",
    sampler="ddim",
    guidance_scale=7.5,
    guidance_rescale=0.0,
    seed=3,
    steps_planned=25,
    steps_run=18,
    guided_steps=12,
    early_exit="replan",
    rung_admitted=0,
    rung_delivered=1,
    started_s=10.0,
    ended_s=12.5,
)
FACTS = Facts(PICTURE, quality_admitted="high", quality_delivered="medium", queued_s=0.25)
DONE = Done(b"picture", FACTS)

Word = EngineWord | Exception


class FakeBackend:
    """Answers each lease and each `generate` from a list, the last entry for ever.

    A lease's entry is an answer or several: "grant" (or "alone"), a refusal's reason, "wait" or an
    exception. After them it says nothing until it is closed.
    """

    def __init__(
        self,
        answers: Sequence[str | Exception | Sequence[str | Exception]] = ("grant",),
        runs: Sequence[Sequence[Word]] = ((Accepted(4), DONE),),
    ) -> None:
        self.answers = [[one] if isinstance(one, str | Exception) else one for one in answers]
        self.runs = [list(words) for words in runs]
        self.asked: list[tuple[str, bool, str | None]] = []
        self.jobs: list[Job] = []
        self.orders: list[Order] = []
        self.grants: list[Grant] = []
        self.open_leases = 0
        self.closed: list[str] = []
        self.variants = ["full", "small", "turbo"]
        self.lost = False
        self.stuck = asyncio.Event()
        self.moved = asyncio.Event()

    async def lease(
        self, job: Job, *, again: bool, lost: LostGrant | None
    ) -> AsyncGenerator[Grant | Refusal]:
        self.asked.append((job.job_id, again, None if lost is None else lost.grant_id))
        self.jobs.append(job)
        self.open_leases += 1
        try:
            for answer in self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]:
                if isinstance(answer, Exception):
                    raise answer
                if answer == "wait":
                    self.stuck.set()
                    await self.moved.wait()
                elif answer in ("grant", "alone"):
                    name = f"e{len(self.grants) + 1}"
                    service, alone = Service("full", 25, 0), answer == "alone"
                    grant = Grant(job.job_id, f"{job.job_id}#{name}", "main", name, service, alone)
                    self.grants.append(grant)
                    yield grant
                else:
                    yield Refusal(job.job_id, answer, 2.0)
            await asyncio.Event().wait()
        finally:
            self.open_leases -= 1
            self.closed.append("lease")

    async def generate(self, grant: Grant, order: Order) -> AsyncGenerator[EngineWord]:
        self.orders.append(order)
        try:
            for word in self.runs.pop(0) if len(self.runs) > 1 else self.runs[0]:
                if isinstance(word, EngineLost) and word.args == ("stuck",):
                    self.stuck.set()
                    self.moved.set()
                    await asyncio.Event().wait()
                if isinstance(word, Exception):
                    raise word
                yield word
        finally:
            self.closed.append("run")

    async def ask(self, what: str) -> Any:
        if self.lost:
            raise DispatcherLost("gone")
        return {
            "status": {"waiting": 0},
            "costs": {"e1": {"pool": "main", "sums": {"step": []}}},
            "metrics": "sluice_jobs_waiting 0\n",
            "hosted": self.variants,
        }[what]


STUCK = EngineLost("stuck")
"""In a list of words: from here on the engine says nothing more."""

PARTIALS = tuple(Partial(index, b"partly") for index in range(3))
