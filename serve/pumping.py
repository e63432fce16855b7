"""Who has an engine work, and brings what came of it back to the event loop.

Live that are threads. A test puts something of its own in their place, and so runs the same host
and the same engine in virtual time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipelines.desk import Part
from pipelines.engine import StepEngine
from pipelines.jobs import PartialPicture, PictureDone, PictureFailed, StepDone


@dataclass(frozen=True, slots=True)
class Told:
    """What an engine's work has to tell: `events` in their order, and the steps that running jobs
    have come to at the latest boundary."""

    events: Sequence[PartialPicture | PictureDone | PictureFailed]
    stepped: Sequence[StepDone]


class Worked(Protocol):
    """What a pump drives."""

    def work(self, part: Part) -> Told | None:
        """One piece of work; None if nobody need hear of it."""

    def deliver(self, work: Told) -> None:
        """Take what a piece of work has told; on the event loop."""

    def give_up(self, error: Exception) -> None:
        """The work has failed and will not go on; on the event loop."""


class Pump(Protocol):
    """Calls `work` again and again, and has what it tells delivered on the event loop."""

    def start(self, worked: Worked) -> None:
        """Begin; called on the event loop that is to be told."""

    def stop(self) -> None:
        """End after what is being worked at."""


class ThreadPump:
    """Works in a thread of its own, which sleeps while the engine has no work.

    With `overlap` a second thread reads texts and decodes pictures beside the batch.
    """

    def __init__(self, engine: StepEngine, *, overlap: bool = False) -> None:
        self._engine = engine
        self._parts: tuple[Part, ...] = ("denoise", "beside") if overlap else ("all",)
        self._threads: list[threading.Thread] = []
        self._stopping = False

    def start(self, worked: Worked) -> None:
        """See `Pump`."""
        loop = asyncio.get_running_loop()
        for part in self._parts:
            thread = threading.Thread(
                target=self._work_until_stopped, args=(loop, worked, part), name=part, daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """See `Pump`."""
        self._stopping = True
        self._engine.wake()
        for thread in self._threads:
            thread.join()

    def _work_until_stopped(
        self, loop: asyncio.AbstractEventLoop, worked: Worked, part: Part
    ) -> None:
        try:
            while not self._stopping:
                told = worked.work(part) if self._engine.wait_for_work(part=part) else None
                if told is not None:
                    loop.call_soon_threadsafe(worked.deliver, told)
        except Exception as error:
            # Whatever it was, no job here can go on: they run again in another engine.
            self._stopping = True
            self._engine.wake()
            loop.call_soon_threadsafe(worked.give_up, error)
