"""The engine deployment: one process that hosts a pool's variants and steps them."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import torch
from ray import serve as ray_serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from pipelines.engine import StepEngine
from pipelines.jobs import PictureFailed, PictureRequest
from pipelines.loading import Variant, load_variant
from policies.nouns import Ladder, Service
from serve.config import Config, PoolSection
from serve.host import EngineHost
from serve.messages import Ended, EngineNote, EngineWord, NotHere, Order
from serve.names import DISPATCHER_APP, DISPATCHER_NAME

logger = logging.getLogger(__name__)

DISPATCHER_PAUSE_S = 0.5
"""Pause before asking again when the dispatcher does not answer; Serve is replacing it."""

WARM_STEPS = 2


class EngineServer:
    """Loads, warms up, then reports to the dispatcher and takes what it grants.

    It reports only when it can serve, so a place is never granted in an engine that still loads.
    """

    def __init__(self, config: Config, pool_name: str) -> None:
        pool = next(pool for pool in config.engines if pool.name == pool_name)
        ladder = config.build_ladder()
        self._device = resolve_device(pool.device)
        self._pool = pool
        self._engine_id: str = ray_serve.get_replica_context().replica_id.unique_id
        engine = StepEngine(
            load_variants(config, pool, self._device),
            ladder,
            pool.max_batch,
            in_flight=config.controller.apply == "in_flight",
            max_pixels=max(_pixels(size) for size in config.model.sizes),
            threads=pool.threads,
            clock=time.time,
        )
        warm_up(engine, ladder, config.model.sizes[0])
        self._host = EngineHost(engine, ladder, self._job_ended)
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
    ) -> AsyncIterator[EngineWord]:
        """Run a granted job; `NotHere` if it was granted to another engine."""
        if engine_id != self._engine_id or service.variant not in self._pool.variants:
            yield NotHere(self._engine_id)
            return
        async for word in self._host.run(order, service, self._engine_id):
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


def resolve_device(wanted: str) -> str:
    """The torch device: what the pool says, or for "auto" cuda where there is one."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def load_variants(config: Config, pool: PoolSection, device: str) -> dict[str, Variant]:
    """The variants of a pool, loaded; pipelines.loading.LoadError says what is wrong."""
    loaded = {}
    for name in pool.variants:
        section = config.variants[name]
        loaded[name] = load_variant(
            name,
            section.source.removeprefix("hub:"),
            dtype=section.dtype,
            device=device,
            sampler=section.sampler,
            guidance_scale=section.guidance_scale,
            fixed_schedule=config.has_fixed_schedule(name) or None,
            weights=section.weights,
        )
    return loaded


def warm_up(engine: StepEngine, ladder: Ladder, size: str) -> None:
    """Make one short picture with every variant, so that the first client does not wait for it.

    RuntimeError if a variant cannot make a picture.
    """
    width, height = (int(side) for side in size.split("x"))
    for name in engine.variants:
        index = next(i for i, rung in enumerate(ladder.rungs) if rung.variant == name)
        rung = ladder[index]
        steps = min(WARM_STEPS, rung.steps) if rung.replannable else rung.steps
        engine.submit(
            PictureRequest(
                job_id=f"warm-up-{name}",
                prompt="a red circle",
                service=Service(name, steps, index),
                seed=0,
                width=width,
                height=height,
                fixed=True,
            )
        )
    while engine.has_work():
        for event in engine.step():
            if isinstance(event, PictureFailed):
                raise RuntimeError(f"{event.job_id} failed: {event.message}")


def _pixels(size: str) -> int:
    width, height = size.split("x")
    return int(width) * int(height)
