"""Keeps an engine and the dispatcher in touch: heartbeats there, controls back.

Heartbeats go one after the other, at once when jobs have left and otherwise at a steady pace, whatever
the engine's work does. Nothing here needs Ray, so that a test can run it in virtual time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from serve.backend import DispatcherLost
from serve.host import EngineHost
from serve.messages import Acknowledged, Closing, Control, Heartbeat

HEARTBEAT_S = 0.2
"""The longest pause between two heartbeats."""

LAST_WORD_MAX_S = 2.0
"""How long a closing engine tries to tell the dispatcher so. After that its silence does."""


class DispatcherLink(Protocol):
    """The dispatcher, as an engine reaches it."""

    async def heartbeat(self, beat: Heartbeat) -> Acknowledged:
        """Report; DispatcherLost."""

    def controls(self, engine_id: str) -> AsyncGenerator[Control]:
        """What the dispatcher wants, now and whenever that changes; DispatcherLost. Ends for an engine
        that it does not know."""


class EngineReporter:
    """Reports on a host and carries out what the dispatcher wants.

    `about` is a heartbeat with what never changes about the engine. `replicas_wanted` is the last
    that was heard of the scaling policy.
    """

    def __init__(self, about: Heartbeat, link: DispatcherLink) -> None:
        self._about = about
        self._link = link
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._known = asyncio.Event()
        self.replicas_wanted: int | None = None

    def start(self, host: EngineHost) -> None:
        """Begin to report; called on the event loop."""
        self._tasks = (
            asyncio.create_task(self._keep_reporting(host)),
            asyncio.create_task(self._keep_following(host)),
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

    async def close(self, host: EngineHost, closing: Closing) -> None:
        """Fall silent, and tell the dispatcher why if it can be reached."""
        self.stop()
        with contextlib.suppress(TimeoutError, DispatcherLost):
            async with asyncio.timeout(LAST_WORD_MAX_S):
                await self._link.heartbeat(self._beat(host, closing))

    async def _keep_reporting(self, host: EngineHost) -> None:
        while True:
            told = len(host.ended)
            try:
                answer = await self._link.heartbeat(self._beat(host))
            except DispatcherLost:
                self._known.clear()  # and what has ended is told again
            else:
                if not answer.open:
                    host.close("the dispatcher has given it up")
                    return
                del host.ended[:told]
                self.replicas_wanted = answer.replicas_wanted
                self._known.set()
            if not host.ended or not self._known.is_set():
                host.news.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_S):
                        await host.news.wait()

    async def _keep_following(self, host: EngineHost) -> None:
        while True:
            await self._known.wait()
            with contextlib.suppress(DispatcherLost):
                async with aclosing(self._link.controls(self._about.engine_id)) as controls:
                    async for control in controls:
                        host.follow(control)
            self._known.clear()  # until the next heartbeat has been taken

    def _beat(self, host: EngineHost, closing: Closing | None = None) -> Heartbeat:
        return replace(
            self._about,
            running=host.running(),
            ended=tuple(host.ended),
            steps_total=host.steps_total,
            pictures_total=host.pictures_total,
            batch_limits=host.engine.batch_limits(),
            convergence=host.convergence,
            progress=host.take_progress(),
            costs=host.engine.costs.snapshot().to_plain(),
            closing=closing,
        )
