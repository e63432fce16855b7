"""An engine's reports and the dispatcher's directions, in virtual time and without either of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from policies.events import Progress
from serve.host import EngineHost, Report
from serve.messages import OUTCOME_FINISHED, Directions, Ended, EngineNote, Lowering
from serve.reporting import EngineReporter, Introduction
from tests.serve.virtual_time import run, settle

ABOUT = Introduction("e", "main", 4, ("full",), "cpu", 0.25)
A, B = Ended("a", OUTCOME_FINISHED), Ended("b", OUTCOME_FINISHED)


@dataclass
class Host:
    """Remembers what it is told to do."""

    announced: list[int] = field(default_factory=list)
    lowered: list[tuple[str, int]] = field(default_factory=list)
    steps_total: int = 50
    pictures_total: int = 2
    batch_limit: int = 3
    convergence: None = None

    def running(self) -> tuple[str, ...]:
        return ("running",)

    def costs(self) -> dict[str, list[list[object]]]:
        return {"step": [["full", 64, 64, 1, 1, 50, 1.5, 0.05]]}

    def announce(self, rung: int) -> None:
        self.announced.append(rung)

    def lower(self, job_id: str, rung: int) -> None:
        self.lowered.append((job_id, rung))


class Link:
    """A dispatcher that answers as a test wants, and is silent if it wants nothing."""

    def __init__(self) -> None:
        self.notes: list[EngineNote] = []
        self.heard: list[tuple[int, int]] = []  # rung and number of each listening
        self.taken: list[bool | None] = []
        self.directions: asyncio.Queue[Directions | None] = asyncio.Queue()

    async def note(self, note: EngineNote) -> bool | None:
        self.notes.append(note)
        await asyncio.sleep(0)
        return self.taken.pop(0) if self.taken else True

    async def listen(self, note: EngineNote, rung: int) -> Directions | None:
        self.heard.append((rung, note.heard))
        return await self.directions.get()


Body = Callable[[EngineReporter, Host, Link], Coroutine[Any, Any, None]]


def reporting(body: Body) -> None:
    async def started() -> None:
        host, link = Host(), Link()
        reporter = EngineReporter(ABOUT, link)
        reporter.start(cast(EngineHost, host))
        await settle()
        await body(reporter, host, link)
        reporter.stop()
        await settle()

    run(started)


def test_a_report_is_told_with_what_the_engine_is() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        progress = (Progress("b", 3, 20),)
        reporter.report(Report((A,), progress))
        await settle()
        (note,) = link.notes
        assert (note.ended, note.progress) == ((A,), progress)
        assert (note.engine_id, note.pool, note.places, note.price_per_s) == ("e", "main", 4, 0.25)
        assert note.costs == Host().costs()
        assert (note.running, note.steps_total, note.batch_limit) == (("running",), 50, 3)

    reporting(body)


def test_an_ending_outside_a_boundary_tells_no_progress() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        reporter.report(Report((A,)))
        await settle()
        assert link.notes[0].progress is None

    reporting(body)


@pytest.mark.parametrize("answer", [None, False])
def test_what_was_not_taken_is_told_again_with_what_came_since(answer: bool | None) -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        link.taken.append(answer)
        reporter.report(Report((A,), (Progress("b", 3, 20),)))
        await asyncio.sleep(0)  # the note is on its way
        reporter.report(Report((B,), ()))
        await settle()
        await settle()
        assert [note.ended for note in link.notes] == [(A,), (A, B)]
        assert link.notes[-1].progress == ()  # the latest that is known
        assert link.notes[0].seq < link.notes[1].seq

    reporting(body)


def test_directions_are_followed_once() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        lowered = (Lowering(1, "a", 2), Lowering(2, "b", 1))
        link.directions.put_nowait(Directions(1, lowered, replicas_wanted=3))
        link.directions.put_nowait(Directions(1, (*lowered, Lowering(3, "c", 1))))
        link.directions.put_nowait(None)
        await settle()
        assert host.announced == [1]
        assert host.lowered == [("a", 2), ("b", 1), ("c", 1)]
        assert link.heard == [(0, 0), (1, 2), (1, 3), (1, 3)]
        assert reporter.replicas_wanted is None

    reporting(body)


def test_an_engine_whose_reports_have_ended_says_so() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        reporter.check()
        link.directions.put_nowait(Directions("no rung"))  # type: ignore[arg-type]
        host.announce = None  # type: ignore[assignment, method-assign]
        await settle()
        with pytest.raises(RuntimeError, match="no longer reports") as caught:
            reporter.check()
        assert isinstance(caught.value.__cause__, TypeError)

    reporting(body)
