"""The dispatcher deployment: the one queue, in a Serve application of its own."""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections import Counter
from dataclasses import asdict
from typing import Any

from pipelines.convergence import ConvergenceReport
from policies.dispatcher import Dispatcher
from policies.nouns import Job
from serve.config import Config
from serve.driver import QueueDriver
from serve.messages import Directions, EngineNote, Grant, Refusal
from serve.metrics import COUNTED, Telemetry
from serve.scaling_advice import pool_capacities, wanted_engines

LISTEN_PATIENCE_S = 2.0
"""The longest time that an engine's `listen` is left without an answer."""


class DispatcherServer:
    """Wraps `QueueDriver` as a deployment. One replica; its state is rebuilt from engines'
    reports and gateways asking again, so its death loses nothing."""

    def __init__(self, config: Config) -> None:
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
            claim_s=section.claim_s,
            on_ended=telemetry.ended,
            replicas_wanted=self._replicas_wanted,
        )
        telemetry.watch(self._driver)

    def _replicas_wanted(self, pool: str) -> int | None:
        up = Counter(note.pool for note in self._driver.engine_notes())
        load = self._driver.dispatcher.load(time.time())
        return wanted_engines(pool, load, up, self._capacities)

    async def acquire(
        self, job: Job, again: bool = False, lost_engine: str | None = None
    ) -> Grant | Refusal:
        """See `QueueDriver.acquire`."""
        return await self._driver.acquire(job, again=again, lost_engine=lost_engine)

    async def release(self, job_id: str) -> None:
        """See `QueueDriver.release`."""
        self._driver.release(job_id)

    async def note(self, note: EngineNote) -> bool:
        """See `QueueDriver.note`."""
        return self._driver.note(note)

    async def listen(self, note: EngineNote, rung: int) -> Directions | None:
        """See `QueueDriver.listen`."""
        return await self._driver.listen(note, rung, LISTEN_PATIENCE_S)

    async def metrics(self) -> str:
        """The Prometheus scrape."""
        return self._telemetry.text()

    async def status(self) -> dict[str, Any]:
        """What `/v1/status` shows, as plain JSON values."""
        dispatcher, section = self._driver.dispatcher, self._config.dispatcher
        ladder = dispatcher.policy.ladder
        counts = dispatcher.counts()
        load = dispatcher.load(time.time())
        running = {view.engine_id: len(view.running) for view in dispatcher.engines()}
        engines = [
            {
                "id": note.engine_id,
                "pool": note.pool,
                "pid": note.pid,
                "device": note.device,
                "places": note.places,
                "running": running[note.engine_id],
                "variants": list(note.variants),
                "rung": self._driver.announced,
                "steps": note.steps_total,
                "pictures": note.pictures_total,
                "batch_limit": note.batch_limit,
                "price_per_s": note.price_per_s,
                "convergence": _told(note.convergence),
            }
            for note in self._driver.engine_notes()
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
        notes = self._driver.engine_notes()
        return {note.engine_id: {"pool": note.pool, "sums": note.costs} for note in notes}

    async def hosted(self) -> list[str]:
        """The variants that some engine which is up hosts."""
        notes = self._driver.engine_notes()
        return sorted({variant for note in notes for variant in note.variants})

    async def check_health(self) -> None:
        """Serve calls this; it shows that the event loop answers."""
        await asyncio.sleep(0)


def _told(report: ConvergenceReport | None) -> dict[str, float | None] | None:
    """A tuner's report as JSON values; what it cannot know yet is null."""
    if report is None:
        return None
    values = asdict(report)
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
