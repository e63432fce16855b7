"""The engine deployment: one process that hosts a pool's variants and steps them."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ray import serve as ray_serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from policies.nouns import Service
from serve.autoscaling import REPLICAS_WANTED
from serve.config import Config
from serve.messages import Directions, EngineNote, EngineWord, NotHere, Order
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
        from serve.pumping import ThreadPump
        from serve.reporting import EngineReporter, Introduction

        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._pool = pool
        device = resolve_device(pool.device)
        self._engine_id: str = ray_serve.get_replica_context().replica_id.unique_id
        engine = ready_engine(config, pool, device)
        introduction = Introduction(
            self._engine_id, pool.name, pool.max_batch, pool.variants, device, pool.price_per_s
        )
        self._reporter = EngineReporter(introduction, RayLink())
        pump = ThreadPump(overlap=pool.overlap)
        self._host = EngineHost(engine, config.build_ladder(), self._reporter.report, pump)
        self._host.start()
        self._reporter.start(self._host)

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

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Serve calls this where the pool scales: what the dispatcher last said is wanted."""
        wanted = self._reporter.replicas_wanted
        return {} if wanted is None else {REPLICAS_WANTED: float(wanted)}

    async def check_health(self) -> None:
        """Serve replaces the engine when this raises: its step loop or its reports have ended."""
        self._host.check()
        self._reporter.check()


class RayLink:
    """The dispatcher's deployment as `serve.reporting` wants it."""

    def __init__(self) -> None:
        self._dispatcher: DeploymentHandle[Any] = ray_serve.get_deployment_handle(
            DISPATCHER_NAME, DISPATCHER_APP
        )

    async def note(self, note: EngineNote) -> bool | None:
        """See `serve.reporting.DispatcherLink`."""
        taken: bool | None = await self._asked("note", note)
        return taken

    async def listen(self, note: EngineNote, rung: int) -> Directions | None:
        """See `serve.reporting.DispatcherLink`."""
        directions: Directions | None = await self._asked("listen", note, rung)
        return directions

    async def _asked(self, method: str, *args: Any) -> Any:
        """The dispatcher's answer; None after a pause if it could not be reached."""
        try:
            return await self._dispatcher.options(method_name=method).remote(*args)
        except (RayError, RayServeException) as error:
            logger.info("the dispatcher does not answer %s: %r", method, error)
            await asyncio.sleep(DISPATCHER_PAUSE_S)
            return None
