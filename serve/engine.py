"""The engine deployment: one process that hosts a pool's variants and steps them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

import ray
from ray import serve as ray_serve

from serve.autoscaling import REPLICAS_WANTED
from serve.config import Config
from serve.logs import log_to_terminal
from serve.messages import Closing, EngineWord, Grant, Heartbeat, NotHere, Order
from serve.ray_backend import RayLink

SWITCH_INTERVAL_S = 0.0005
"""How long the event loop may keep the interpreter from the stepping thread, which gives it up at
every tensor operation and wants it back a moment later; Python's own 5 ms cost whole steps."""


class EngineServer:
    """Loads, warms up, then reports to the dispatcher and takes what it grants.

    It reports only when it can serve, so a slot is never granted in an engine that still loads. One
    that can compute no more says so and ends its process, and Serve starts another.
    """

    def __init__(self, config: Config, pool_name: str) -> None:
        pool = next(pool for pool in config.engines if pool.name == pool_name)
        # Here and not above: whoever deploys this class must not have to load torch.
        from serve.host import EngineHost
        from serve.loading import ready_engine, resolve_device
        from serve.pumping import ThreadPump
        from serve.reporting import EngineReporter

        log_to_terminal()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._pool = pool
        device = resolve_device(pool.device)
        self._engine_id: str = ray_serve.get_replica_context().replica_id.unique_id
        engine, call_max_s = ready_engine(config, pool, device)
        about = Heartbeat(
            self._engine_id,
            pool.name,
            os.getpid(),
            pool.max_batch,
            pool.variants,
            device,
            price_per_s=pool.price_per_s,
            actor=ray.get_runtime_context().get_actor_name() or "",
        )
        self._reporter = EngineReporter(about, RayLink())
        self._host = EngineHost(
            engine,
            config.build_ladder(),
            self._on_closing,
            ThreadPump(engine, overlap=pool.overlap),
            call_max_s=call_max_s,
        )
        self._ending: asyncio.Task[None] | None = None
        self._host.start()
        self._reporter.start(self._host)

    def _on_closing(self, closing: Closing) -> None:
        self._ending = asyncio.create_task(self._end(closing))

    async def _end(self, closing: Closing) -> None:
        """The process cannot end in order: a thread may hang in a call that never returns."""
        await self._reporter.close(self._host, closing)
        os._exit(1)

    async def generate(self, order: Order, grant: Grant) -> AsyncGenerator[EngineWord]:
        """Run a granted job; `NotHere` if it was granted to another engine."""
        if grant.engine_id != self._engine_id or grant.service.variant not in self._pool.variants:
            yield NotHere(self._engine_id)
            return
        async with aclosing(self._host.run(order, grant)) as words:
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
