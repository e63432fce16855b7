"""Keeps an engine and the dispatcher in touch: reports there, directions back.

Two calls are under way at any time. One is held open at the dispatcher, which answers it as soon as
it wants something of the engine; the other tells at once which jobs have left. Nothing here needs
Ray, so that a test can run it in virtual time.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Protocol

from policies.events import Progress
from serve.host import EngineHost, Report
from serve.messages import Directions, Ended, EngineNote


@dataclass(frozen=True, slots=True)
class Introduction:
    """What never changes about an engine. `places` is its largest batch."""

    engine_id: str
    pool: str
    places: int
    variants: tuple[str, ...]
    device: str
    price_per_s: float = 0.0


class DispatcherLink(Protocol):
    """The dispatcher, as an engine reaches it."""

    async def note(self, note: EngineNote) -> bool | None:
        """Tell; False if a fresh note is wanted, None (after a pause) if nobody answered."""

    async def listen(self, note: EngineNote, rung: int) -> Directions | None:
        """Tell, and hear what is wanted of an engine that stands at `rung`; None as for `note`, or
        if a fresh note is wanted."""


class EngineReporter:
    """Reports on a host and carries out what the dispatcher directs.

    `replicas_wanted` is the last that was heard of the scaling policy.
    """

    def __init__(self, introduction: Introduction, link: DispatcherLink) -> None:
        self._introduction = introduction
        self._link = link
        self._ended: list[Ended] = []
        self._progress: tuple[Progress, ...] | None = None
        self._news = asyncio.Event()
        self._seq = 0
        self._rung = 0
        self._heard = 0
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self.replicas_wanted: int | None = None

    def start(self, host: EngineHost) -> None:
        """Begin to report; called on the event loop."""
        self._tasks = (
            asyncio.create_task(self._keep_listening(host)),
            asyncio.create_task(self._keep_telling(host)),
        )

    def stop(self) -> None:
        """Fall silent."""
        for task in self._tasks:
            task.cancel()

    def check(self) -> None:
        """RuntimeError if the reports have ended."""
        for task in self._tasks:
            if task.done():
                cause = None if task.cancelled() else task.exception()
                raise RuntimeError("the engine no longer reports") from cause

    def report(self, report: Report) -> None:
        """Have the dispatcher told of jobs that have left; what a host is to call."""
        self._ended += report.ended
        if report.progress is not None:
            self._progress = report.progress
        self._news.set()

    async def _keep_listening(self, host: EngineHost) -> None:
        while True:
            note = self._note(host)
            directions = await self._link.listen(note, self._rung)
            if directions is not None:
                self._follow(directions, host)

    def _follow(self, directions: Directions, host: EngineHost) -> None:
        if directions.rung != self._rung:
            self._rung = directions.rung
            host.announce(directions.rung)
        for lowering in directions.lowered:
            if lowering.number > self._heard:
                self._heard = lowering.number
                host.lower(lowering.job_id, lowering.rung)
        self.replicas_wanted = directions.replicas_wanted

    async def _keep_telling(self, host: EngineHost) -> None:
        """Tell at once which jobs have left; nothing is forgotten if the dispatcher is down."""
        while True:
            await self._news.wait()
            self._news.clear()
            telling, progress = tuple(self._ended), self._progress
            self._ended.clear()
            self._progress = None
            if not await self._link.note(self._note(host, telling, progress)):
                self._ended[:0] = telling
                self._progress = progress if self._progress is None else self._progress
                self._news.set()

    def _note(
        self,
        host: EngineHost,
        ended: tuple[Ended, ...] = (),
        progress: tuple[Progress, ...] | None = None,
    ) -> EngineNote:
        self._seq += 1
        about = self._introduction
        return EngineNote(
            engine_id=about.engine_id,
            pool=about.pool,
            seq=self._seq,
            pid=os.getpid(),
            places=about.places,
            variants=about.variants,
            device=about.device,
            running=host.running(),
            ended=ended,
            steps_total=host.steps_total,
            pictures_total=host.pictures_total,
            batch_limit=host.batch_limit,
            convergence=host.convergence,
            progress=progress,
            heard=self._heard,
            price_per_s=about.price_per_s,
            costs=host.costs(),
        )
