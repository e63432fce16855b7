"""A driver with a ladder of three rungs, and the gateways and engines that tests play to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from policies.admission import Admission
from policies.controllers import Controller, Hysteresis
from policies.dispatcher import Dispatcher
from policies.exits import ExitRules
from policies.ledger import Counts
from policies.nouns import Job, Ladder, Rung
from policies.policy import Policy
from serve.driver import (
    LOOK_S,
    SILENT_LOOKS,
    SUSPECT_LOOKS,
    QueueDriver,
)
from serve.messages import (
    OUTCOME_FINISHED,
    Closing,
    Ended,
    Grant,
    Heartbeat,
    Refusal,
)
from tests.serve.fakes import FACTS
from tests.serve.virtual_time import now_s, settle

LADDER = Ladder((Rung("full", 20, "high"), Rung("full", 10, "medium"), Rung("full", 5, "low")))
HYSTERESIS = Hysteresis((2, 4), (0, 1), 1.0)
SUSPECTED_S = (SUSPECT_LOOKS + 0.5) * LOOK_S
CLOSED_S = (SILENT_LOOKS + 0.5) * LOOK_S


def driver(
    max_waiting: int = 10,
    controller: Controller = HYSTERESIS,
    exits: ExitRules | None = None,
    **options: Any,
) -> QueueDriver:
    policy = Policy(LADDER, controller, exits or ExitRules(), admission=Admission(max_waiting))
    return QueueDriver(Dispatcher(policy), **({"clock": now_s, "hold_s": 1.0} | options))


def job(job_id: str, **changes: Any) -> Job:
    """A job that has just arrived; its times are seconds from now."""
    return Job(**({"job_id": job_id, "arrival_s": 0.0, "floor": LADDER.last} | changes))


def beat(
    running: tuple[str, ...] = (),
    ended: tuple[Ended, ...] = (),
    engine_id: str = "e",
    places: int = 1,
    closing: Closing | None = None,
) -> Heartbeat:
    return Heartbeat(
        engine_id, "main", 1, places, ("full",), "cpu", running, ended, closing=closing
    )


class Holder:
    """A gateway's hold on one job."""

    def __init__(self, queue: QueueDriver, wanted: Job, **options: Any) -> None:
        self.answers: list[Grant | Refusal] = []
        self._stream = queue.lease(wanted, **options)
        self._task = asyncio.create_task(self._listen(self._stream))

    async def _listen(self, stream: AsyncGenerator[Grant | Refusal]) -> None:
        async for answer in stream:
            self.answers.append(answer)

    @property
    def grant(self) -> Grant:
        assert isinstance(self.answers[-1], Grant)
        return self.answers[-1]

    @property
    def ended(self) -> bool:
        return self._task.done()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.aclose()


async def hold(queue: QueueDriver, *names: str, **changes: Any) -> list[Holder]:
    """One after the other; what can be granted is."""
    holders = []
    for name in names:
        holders.append(Holder(queue, job(name, **changes)))
        await settle()
    return holders


async def close(*holders: Holder) -> None:
    for holder in holders:
        await holder.close()
    await settle()


def finished(grant: Grant) -> Ended:
    return Ended(grant.grant_id, OUTCOME_FINISHED, FACTS)


def conserved(queue: QueueDriver) -> Counts:
    c = queue.dispatcher.counts()
    gone = c.finished + c.cancelled + c.failed + c.expired + c.hopeless
    assert c.admitted == gone + c.waiting + c.running
    return c
