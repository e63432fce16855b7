"""The dispatcher deployment: the one queue, in a Serve application of its own."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import ray
from ray.exceptions import RayError

from pipelines.convergence import ConvergenceReport
from policies.dispatcher import Dispatcher
from policies.nouns import Job
from serve.config import Config
from serve.driver import QueueDriver
from serve.logs import log_to_terminal
from serve.messages import Acknowledged, Control, Grant, Heartbeat, LostGrant, Refusal
from serve.metrics import COUNTED, Telemetry
from serve.scaling_advice import pool_capacities, wanted_engines

SERVE_NAMESPACE = "serve"
"""Where Serve keeps the names of its replicas' actors."""


logger = logging.getLogger(__name__)


class DispatcherServer:
    """Wraps `QueueDriver` as a deployment. One replica; its state is rebuilt from engines'
    reports and gateways asking again, so its death loses nothing."""

    def __init__(self, config: Config) -> None:
        log_to_terminal()
        telemetry = Telemetry()
        self._config = config
        self._telemetry = telemetry
        section = config.dispatcher
        dispatcher = Dispatcher(
            config.build_policy(),
            costs=config.costs(),
            draws=random.Random(section.seed),
            rate_window_s=section.rate_window_s,
        )
        self._capacities = pool_capacities(config)
        self._driver = QueueDriver(
            dispatcher,
            hold_s=config.hold_s,
            on_ended=telemetry.ended,
            replicas_wanted=self._replicas_wanted,
            end_engine=self._end_engine,
        )
        telemetry.watch(self._driver)

    def _replicas_wanted(self, pool: str) -> int | None:
        up = Counter(beat.pool for beat in self._driver.beats())
        load = self._driver.dispatcher.load(time.monotonic())
        return wanted_engines(pool, load, up, self._capacities)

    def _end_engine(self, beat: Heartbeat) -> None:
        """Have Ray kill the process; Serve then starts another one in its place."""

        def kill() -> None:
            try:
                ray.kill(ray.get_actor(beat.actor, namespace=SERVE_NAMESPACE))
            except (ValueError, RayError) as error:  # it has ended by itself
                logger.info("engine %s is not there to be ended: %s", beat.engine_id, error)

        asyncio.get_running_loop().run_in_executor(None, kill)

    async def lease(
        self, job: Job, again: bool = False, lost: LostGrant | None = None
    ) -> AsyncGenerator[Grant | Refusal]:
        """See `QueueDriver.lease`."""
        async with aclosing(self._driver.lease(job, again=again, lost=lost)) as answers:
            async for answer in answers:
                yield answer

    async def heartbeat(self, beat: Heartbeat) -> Acknowledged:
        """See `QueueDriver.heartbeat`."""
        return self._driver.heartbeat(beat)

    async def controls(self, engine_id: str) -> AsyncGenerator[Control]:
        """See `QueueDriver.controls`."""
        async with aclosing(self._driver.controls(engine_id)) as controls:
            async for control in controls:
                yield control

    async def metrics(self) -> str:
        """The Prometheus scrape."""
        return self._telemetry.text()

    async def status(self) -> dict[str, Any]:
        """What `/v1/status` shows, as plain JSON values."""
        dispatcher, section = self._driver.dispatcher, self._config.dispatcher
        ladder = dispatcher.policy.ladder
        counts = dispatcher.counts()
        load = dispatcher.load(time.monotonic())
        views = {view.engine_id: view for view in dispatcher.engines()}
        engines = [
            {
                "id": beat.engine_id,
                "pool": beat.pool,
                "pid": beat.pid,
                "device": beat.device,
                "places": beat.places,
                "running": len(views[beat.engine_id].running),
                "takes_jobs": not views[beat.engine_id].suspected,
                "variants": list(beat.variants),
                "rung": dispatcher.announced_rung,
                "steps": beat.steps_total,
                "pictures": beat.pictures_total,
                "batch_limits": [asdict(limit) for limit in beat.batch_limits],
                "price_per_s": beat.price_per_s,
                "convergence": _told(beat.convergence),
            }
            for beat in self._driver.beats()
        ]
        rungs = [
            {
                "variant": rung.variant,
                "steps": rung.steps,
                "quality": rung.quality,
                "guidance_share": rung.guidance_share,
                "score": rung.score,
            }
            for rung in ladder.rungs
        ]
        return {
            "model": self._config.model.id,
            "pid": os.getpid(),
            "waiting": counts.waiting,
            "running": counts.running,
            "max_waiting": section.max_waiting,
            "tenant_max": section.tenant_max,
            "refuse_hopeless": section.refuse_hopeless,
            "order": section.order,
            "routing": section.routing,
            "arrival_rate_per_s": round(load.arrival_rate_per_s, 4),
            "rung": dispatcher.rung,
            "ladder": rungs,
            "controller": self._config.controller.kind,
            "apply": self._config.controller.apply,
            "engines": engines,
            "counters": {name: getattr(counts, name) for name in COUNTED},
            "refused": dict(self._driver.refused),
        }

    async def costs(self) -> dict[str, Any]:
        """What `/v1/costs` shows, by engine: the sums of what its work has taken since its start."""
        beats = self._driver.beats()
        return {beat.engine_id: {"pool": beat.pool, "sums": beat.costs} for beat in beats}

    async def hosted(self) -> list[str]:
        """The variants for which some engine takes new jobs."""
        return sorted(self._driver.hosted())

    async def check_health(self) -> None:
        """Serve calls this; it shows that the event loop answers."""
        await asyncio.sleep(0)


def _told(report: ConvergenceReport | None) -> dict[str, float | None] | None:
    """A tuner's report as JSON values; what it cannot know yet is null."""
    if report is None:
        return None
    values = asdict(report)
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
