"""The engine deployment: one process that hosts a pool's variants and steps them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ray import serve as ray_serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from policies.nouns import Service
from serve.config import Config
from serve.messages import Ended, EngineNote, EngineWord, NotHere, Order
from serve.names import DISPATCHER_APP, DISPATCHER_NAME

logger = logging.getLogger(__name__)

DISPATCHER_PAUSE_S = 0.5
"""Pause before asking again when the dispatcher does not answer; Serve is replacing it."""


SWITCH_INTERVAL_S = 0.0005
"""How long the event loop may keep the interpreter from the stepping thread, which gives it up at
every tensor operation and wants it back a moment later; Python's own 5 ms cost whole steps."""


class EngineServer:
    """Loads, warms up, then reports to the dispatcher and takes what it grants.

    It reports only when it can serve, so a place is never granted in an engine that still loads.
    """

    def __init__(self, config: Config, pool_name: str) -> None:
        pool = next(pool for pool in config.engines if pool.name == pool_name)
        # Here and not above: whoever deploys this class must not have to load torch.
        from serve.host import EngineHost
        from serve.loading import ready_engine, resolve_device

        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._pool = pool
        self._device = resolve_device(pool.device)
        self._engine_id: str = ray_serve.get_replica_context().replica_id.unique_id
        engine = ready_engine(config, pool, self._device)
        ladder = config.build_ladder()
        self._host = EngineHost(engine, ladder, self._job_ended, overlap=pool.overlap)
        self._ended: list[Ended] = []
        self._news = asyncio.Event()
        self._seq = 0
        self._rung = 0
        self._dispatcher: DeploymentHandle[Any] = ray_serve.get_deployment_handle(
            DISPATCHER_NAME, DISPATCHER_APP
        )
        self._host.start()
        self._reporters = (
            asyncio.create_task(self._keep_listening()),
            asyncio.create_task(self._keep_telling()),
        )

    async def generate(
        self, order: Order, service: Service, engine_id: str
    ) -> AsyncGenerator[EngineWord]:
        """Run a granted job; `NotHere` if it was granted to another engine."""
        if engine_id != self._engine_id or service.variant not in self._pool.variants:
            yield NotHere(self._engine_id)
            return
        async with aclosing(self._host.run(order, service, self._engine_id)) as words:
            async for word in words:
                yield word

    async def check_health(self) -> None:
        """Serve replaces the engine when this raises: its step loop or its reports have ended."""
        self._host.check()
        for reporter in self._reporters:
            if reporter.done():
                raise RuntimeError("the engine no longer reports") from reporter.exception()

    def _job_ended(self, ended: Ended) -> None:
        self._ended.append(ended)
        self._news.set()

    def _note(self, ended: tuple[Ended, ...] = ()) -> EngineNote:
        self._seq += 1
        return EngineNote(
            engine_id=self._engine_id,
            pool=self._pool.name,
            seq=self._seq,
            pid=os.getpid(),
            places=self._pool.max_batch,
            variants=self._pool.variants,
            device=self._device,
            running=self._host.running(),
            ended=ended,
            steps_total=self._host.steps_total,
            pictures_total=self._host.pictures_total,
            batch_limit=self._host.batch_limit,
            convergence=self._host.convergence,
        )

    async def _keep_listening(self) -> None:
        """Hold one call open at the dispatcher, which answers when the rung changes."""
        while True:
            rung = await self._asked("listen", self._note(), self._rung)
            if rung is not None and rung != self._rung:
                self._rung = rung
                self._host.announce(rung)

    async def _keep_telling(self) -> None:
        """Tell the dispatcher at once which jobs have left; nothing is forgotten if it is down."""
        while True:
            await self._news.wait()
            self._news.clear()
            telling = tuple(self._ended)
            self._ended.clear()
            if not await self._asked("note", self._note(telling)):
                self._ended[:0] = telling
                self._news.set()

    async def _asked(self, method: str, *args: Any) -> Any:
        """The dispatcher's answer; None after a pause if it could not be reached."""
        try:
            return await self._dispatcher.options(method_name=method).remote(*args)
        except (RayError, RayServeException) as error:
            logger.info("the dispatcher does not answer %s: %r", method, error)
            await asyncio.sleep(DISPATCHER_PAUSE_S)
            return None
