"""The live service in virtual time: gateways, the driver, reporters, hosts and step engines.

All are the ones that serve, but for Ray between them, threads, and the networks' arithmetic. A
message takes no time, and grants of one moment arrive in the order in which they were sent; what an
engine's work takes is what its costs bill.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, cast

from analysis.simulator import Arrival, EngineSpec, Failure, Server
from pipelines.engine import StepEngine
from pipelines.faults import EngineBroken
from policies.commands import StartJob
from policies.dispatcher import Dispatcher
from policies.nouns import Job
from serve.backend import Backend, EngineLost
from serve.driver import QueueDriver
from serve.errors import ApiError
from serve.host import EngineHost
from serve.maker import Maker
from serve.messages import (
    Acknowledged,
    Closing,
    Control,
    Done,
    EngineWord,
    Grant,
    Heartbeat,
    LostGrant,
    NotHere,
    Order,
    Refusal,
)
from serve.orders import Commission
from serve.pumping import Told, Worked
from serve.reporting import EngineReporter
from tests.live_equals_virtual.virtual_pipeline import KEPT, SIDE, Bill, RowCosts, variants
from tests.serve.virtual_time import VirtualLoop

UNANSWERED_S = 300.0
"""Whoever has no answer by then will get none: traces take less than half of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request; `status` is "ok", a refusal's code or "cancelled"."""

    status: str
    answered_s: float
    engine_id: str | None = None
    variant: str | None = None
    steps_planned: int | None = None
    rung_admitted: int | None = None
    rung_delivered: int | None = None
    steps_run: int | None = None
    early_exit: str | None = None
    started_s: float | None = None
    finished_s: float | None = None


class VirtualPump:
    """Works when nothing else is left to do at a moment, and delivers when the bill is paid."""

    def __init__(self, engine: StepEngine, bill: Bill) -> None:
        self._engine = engine
        self._bill = bill
        self._busy = self._dead = False

    def start(self, worked: Worked) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)

        def begin() -> bool:
            if self._dead or self._busy or not self._engine.has_work():
                return False
            self._busy = True
            told = worked.work("all")
            loop.call_later(self._bill.settle(), end, told)
            return True

        def end(told: Told | None) -> None:
            self._busy = False
            if told is not None and not self._dead:
                worked.deliver(told)

        loop.before_jumps.append(begin)

    def stop(self) -> None:
        self._dead = True


class Post:
    """Brings grants to the engines once nothing else is left to do at a moment."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._sent: dict[str, int] = {}
        self._number = count()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        loop.before_jumps.append(self._deliver)

    def send(self, job_id: str) -> None:
        """A grant of this job leaves the dispatcher now."""
        self._sent[job_id] = next(self._number)

    async def arrival(self, job_id: str) -> None:
        """Wait until the grant is there."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((self._sent[job_id], future))
        await future

    def _deliver(self) -> bool:
        due, self._waiting = sorted(self._waiting, key=lambda one: one[0]), []
        for _, future in due:
            if not future.cancelled():
                future.set_result(None)
        return bool(due)


class SendingDriver(QueueDriver):
    """Tells the post in which order it grants slots."""

    def __init__(self, post: Post, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._post = post

    def _granted(self, command: StartJob) -> Grant:
        self._post.send(command.job_id)
        return super()._granted(command)


class DirectLink:
    """The driver, without Ray in between."""

    def __init__(self, driver: QueueDriver) -> None:
        self._driver = driver

    async def heartbeat(self, beat: Heartbeat) -> Acknowledged:
        return self._driver.heartbeat(beat)

    def controls(self, engine_id: str) -> AsyncGenerator[Control]:
        return self._driver.controls(engine_id)


class DirectBackend:
    """What a `Maker` needs of the service behind it, without Ray in between."""

    def __init__(self, driver: QueueDriver, post: Post, hosts: Mapping[str, EngineHost]) -> None:
        self._driver = driver
        self._post = post
        self._hosts = hosts
        self.grants: dict[str, Grant] = {}
        self.done: dict[str, Done] = {}

    def lease(
        self, job: Job, *, again: bool, lost: LostGrant | None
    ) -> AsyncGenerator[Grant | Refusal]:
        return self._driver.lease(job, again=again, lost=lost)

    async def generate(self, grant: Grant, order: Order) -> AsyncGenerator[EngineWord]:
        self.grants[grant.job_id] = grant
        await self._post.arrival(grant.job_id)
        host = self._hosts[grant.engine_id]
        async with contextlib.aclosing(host.run(order, grant)) as words:
            async for word in words:
                if isinstance(word, NotHere):
                    raise EngineLost(grant.engine_id)
                if isinstance(word, Done):
                    self.done[grant.job_id] = word
                yield word


class LiveService:
    """One service on the running virtual loop; `server` says the same as to the simulator."""

    def __init__(self, server: Server) -> None:
        self._server = server
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop, post = loop, Post(loop)
        self.dispatcher = Dispatcher(
            server.policy,
            costs=server.costs,
            draws=Random(server.seed),
            rate_window_s=server.rate_window_s,
        )
        self.driver = SendingDriver(post, self.dispatcher, clock=loop.time, hold_s=server.hold_s)
        self._reporters: dict[str, EngineReporter] = {}
        self._hosts: dict[str, EngineHost] = {}
        self._closings: list[asyncio.Task[None]] = []
        for spec in server.engines:
            self._come_up(spec)
        self._failures = [asyncio.create_task(self._fail(one)) for one in server.failures]
        self.backend = DirectBackend(self.driver, post, self._hosts)
        self._maker = Maker(cast(Backend, self.backend), 0, 0, clock=self._loop.time)

    def _come_up(self, spec: EngineSpec) -> None:
        ladder, costs, bill = self._server.policy.ladder, self._server.costs[spec.pool], Bill()
        assert isinstance(costs, RowCosts)
        names = tuple(name for name in ladder.variants if name in spec.hosted(ladder))
        engine = StepEngine(
            variants(names, costs, bill),
            ladder,
            spec.max_batch,
            self._server.policy.exits.within(frozenset(names)),
            clock=lambda: self._loop.time() + bill.due_s,
        )
        engine_id = spec.engine_id
        about = Heartbeat(
            engine_id, spec.pool, 0, spec.max_batch, names, "cpu", price_per_s=spec.price_per_s
        )
        reporter = EngineReporter(about, DirectLink(self.driver))
        host = EngineHost(
            engine,
            ladder,
            lambda closing: self._close(engine_id, closing),
            VirtualPump(engine, bill),
            clock=self._loop.time,
        )
        host.start()
        reporter.start(host)
        self._hosts[engine_id], self._reporters[engine_id] = host, reporter

    async def _fail(self, failure: Failure) -> None:
        """The engine dies in mid-step; its gateways notice, and another takes its place."""
        await asyncio.sleep(failure.at_s - self._loop.time())
        self._hosts[failure.engine_id].stop()
        self._hosts[failure.engine_id].give_up(EngineBroken("it is gone", frozenset()))
        await asyncio.sleep(failure.back_s - self._loop.time())
        # The simulator's engines come back under their old names, which live ones never do.
        del self.driver._closed[failure.engine_id]
        (spec,) = [one for one in self._server.engines if one.engine_id == failure.engine_id]
        self._come_up(spec)

    def _close(self, engine_id: str, closing: Closing) -> None:
        host, reporter = self._hosts[engine_id], self._reporters.pop(engine_id)

        async def end() -> None:
            await reporter.close(host, closing)
            host.end_all()

        self._closings.append(asyncio.create_task(end()))

    async def request(self, index: int, arrival: Arrival) -> Outcome:
        """One client's request from its arrival to its answer."""
        await asyncio.sleep(arrival.scheduled_s - self._loop.time())
        job_id, hang_up_s = f"{index:07d}", arrival.template.hang_up_after_s
        making = self._maker.start(self._commission(job_id, arrival), lambda partial: None)
        try:
            async with asyncio.timeout_at(
                None if hang_up_s is None else arrival.scheduled_s + hang_up_s
            ):
                await making
        except TimeoutError:
            return Outcome("cancelled", self._loop.time())
        except ApiError as error:
            return Outcome(error.code or "no_rung", self._loop.time())
        return self._made(job_id)

    def _made(self, job_id: str) -> Outcome:
        grant, facts = self.backend.grants[job_id], self.backend.done[job_id].facts.picture
        return Outcome(
            "ok",
            self._loop.time(),
            grant.engine_id,
            facts.variant,
            facts.steps_planned,
            grant.service.rung,
            facts.rung_delivered,
            facts.steps_run,
            facts.early_exit,
            facts.started_s,
            facts.ended_s,
        )

    def _commission(self, job_id: str, arrival: Arrival) -> Commission:
        template, at_s = arrival.template, self._loop.time()
        after_s = template.deadline_after_s
        job = Job(
            job_id,
            at_s,
            template.floor,
            template.variant,
            template.steps,
            template.fixed,
            None if after_s is None else at_s + after_s,
            template.tenant,
            template.tier,
            template.objective,
        )
        order = Order(
            job_id=job_id,
            prompt=job_id if template.encodes else KEPT,
            negative_prompt="",
            seed=0,
            width=SIDE,
            height=SIDE,
            guidance_scale=None,
            guidance_rescale=0.0,
            floor=job.floor,
            fixed=job.fixed,
            pinned=job.variant is not None,
            converge=False,
            partials=0,
            output_format="png",
            output_compression=100,
        )
        return Commission(job, order)

    def stop(self) -> None:
        """End what would go on for ever."""
        for failing in self._failures:
            failing.cancel()
        for engine_id, reporter in self._reporters.items():
            reporter.check()
            reporter.stop()
            self._hosts[engine_id].check()
            self._hosts[engine_id].stop()


def serve_live(arrivals: Sequence[Arrival], server: Server) -> list[Outcome]:
    """Serve these arrivals by the live half; the outcomes in their order."""

    async def body() -> list[Outcome]:
        service = LiveService(server)
        calls = [
            asyncio.create_task(service.request(index, arrival))
            for index, arrival in enumerate(arrivals)
        ]
        done, late = await asyncio.wait(calls, timeout=UNANSWERED_S)
        for call in late:
            call.cancel()
        service.stop()
        nothing = Outcome("unanswered", UNANSWERED_S)
        return [call.result() if call in done else nothing for call in calls]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(body())
