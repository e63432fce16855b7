"""An engine's heartbeats and the dispatcher's controls, in virtual time and without either of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipelines.jobs import BatchLimit
from pipelines.service_costs import CostSums
from policies.events import Progress
from serve.backend import DispatcherLost
from serve.host import EngineHost
from serve.messages import OUTCOME_FINISHED, Acknowledged, Closing, Control, Ended, Heartbeat
from serve.reporting import HEARTBEAT_S, LAST_WORD_MAX_S, EngineReporter
from tests.serve.virtual_time import now_s, run, settle

ABOUT = Heartbeat("e", "main", 7, 4, ("full",), "cpu", price_per_s=0.25, actor="actor")
A, B = Ended("a#1", OUTCOME_FINISHED), Ended("b#2", OUTCOME_FINISHED)


class Engine:
    """What a heartbeat tells of an engine."""

    costs = SimpleNamespace(snapshot=CostSums)

    def batch_limits(self) -> tuple[BatchLimit, ...]:
        return (BatchLimit("full", 64, 64, "step", 3),)


@dataclass
class Host:
    """Remembers what it is told to do."""

    ended: list[Ended] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    progress: tuple[Progress, ...] | None = None
    followed: list[Control] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    steps_total: int = 50
    pictures_total: int = 2
    convergence: None = None
    engine: Any = field(default_factory=Engine)

    def running(self) -> tuple[str, ...]:
        return ("running#3",)

    def take_progress(self) -> tuple[Progress, ...] | None:
        progress, self.progress = self.progress, None
        return progress

    def follow(self, control: Control) -> None:
        self.followed.append(control)

    def close(self, cause: str) -> None:
        self.closed.append(cause)

    def leave(self, *ended: Ended) -> None:
        self.ended += ended
        self.news.set()


class Link:
    """A dispatcher that answers as a test wants."""

    def __init__(self) -> None:
        self.beats: list[tuple[float, Heartbeat]] = []
        self.answers: list[Acknowledged | Exception | None] = []
        self.followers = 0
        self.on_its_way: list[Callable[[], None]] = []  # called while heartbeats are under way
        self.controls_queue: asyncio.Queue[Control | Exception | None] = asyncio.Queue()

    async def heartbeat(self, beat: Heartbeat) -> Acknowledged:
        self.beats.append((now_s(), beat))
        if beat.ended and self.on_its_way:
            self.on_its_way.pop(0)()
        answer = self.answers.pop(0) if self.answers else Acknowledged()
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer

    async def controls(self, engine_id: str) -> AsyncGenerator[Control]:
        self.followers += 1
        while (control := await self.controls_queue.get()) is not None:
            if isinstance(control, Exception):
                raise control
            yield control

    def told(self) -> list[tuple[Ended, ...]]:
        return [beat.ended for _, beat in self.beats if beat.ended]


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


def test_heartbeats_come_at_a_steady_pace_with_what_the_engine_is() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        await asyncio.sleep(10.5 * HEARTBEAT_S)
        assert [at_s for at_s, _ in link.beats] == pytest.approx(
            [number * HEARTBEAT_S for number in range(11)]
        )
        _, beat = link.beats[-1]
        assert (beat.engine_id, beat.pool, beat.places, beat.price_per_s) == ("e", "main", 4, 0.25)
        assert (beat.actor, beat.running, beat.steps_total) == ("actor", ("running#3",), 50)
        assert beat.costs == CostSums().to_plain()
        assert beat.batch_limits == Engine().batch_limits()

    reporting(body)


def test_what_has_ended_is_told_at_once_with_the_progress_of_the_others() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        await asyncio.sleep(HEARTBEAT_S / 2)
        host.progress = (Progress("b#2", 3, 20),)
        host.leave(A)
        await settle()
        at_s, beat = link.beats[-1]
        assert at_s == pytest.approx(HEARTBEAT_S / 2)
        assert (beat.ended, beat.progress) == ((A,), (Progress("b#2", 3, 20),))
        assert host.ended == []
        await asyncio.sleep(HEARTBEAT_S)
        assert (link.beats[-1][1].ended, link.beats[-1][1].progress) == ((), None)

    reporting(body)


def test_what_was_not_taken_is_told_again_with_what_came_since() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        link.answers.append(DispatcherLost("gone"))
        link.on_its_way.append(lambda: host.leave(B))
        host.leave(A)
        await asyncio.sleep(2.5 * HEARTBEAT_S)
        assert link.told() == [(A,), (A, B)]

    reporting(body)


def test_what_ends_while_a_heartbeat_is_on_its_way_comes_with_the_next() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        link.on_its_way.append(lambda: host.leave(B))
        host.leave(A)
        await settle()
        await settle()
        assert link.told() == [(A,), (B,)]
        assert now_s() == 0.0

    reporting(body)


def test_controls_are_followed_as_they_come_and_asked_for_anew_after_a_loss() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        link.answers.append(Acknowledged(replicas_wanted=3))
        for control in (Control(1), Control(1, {"a#1": 2}), DispatcherLost("gone"), Control(0)):
            link.controls_queue.put_nowait(control)
        await asyncio.sleep(3.5 * HEARTBEAT_S)
        assert host.followed == [Control(1), Control(1, {"a#1": 2}), Control(0)]
        assert link.followers == 2

    reporting(body)


def test_a_dispatcher_that_does_not_know_the_engine_is_not_asked_without_a_pause() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        for _ in range(5):
            link.controls_queue.put_nowait(None)  # its stream ends at once
        await asyncio.sleep(10 * HEARTBEAT_S)
        assert link.followers == 6
        assert len(link.beats) < 15

    reporting(body)


def test_an_engine_that_was_given_up_closes() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        link.answers.append(Acknowledged(open=False))
        await asyncio.sleep(5 * HEARTBEAT_S)
        assert host.closed == ["the dispatcher has given it up"]
        assert len(link.beats) == 2

    reporting(body)


def test_a_closing_engine_tells_so_and_falls_silent() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        host.ended.append(A)
        closing = Closing("it broke", frozenset({"b#2"}))
        await reporter.close(cast(EngineHost, host), closing)
        assert (link.beats[-1][1].closing, link.beats[-1][1].ended) == (closing, (A,))
        told = len(link.beats)
        await asyncio.sleep(5 * HEARTBEAT_S)
        assert len(link.beats) == told

    reporting(body)


@pytest.mark.parametrize("answer", [DispatcherLost("gone"), None])
def test_a_closing_engine_does_not_wait_for_a_dispatcher_that_is_away(
    answer: Exception | None,
) -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        link.answers.append(answer)
        began_s = now_s()
        await reporter.close(cast(EngineHost, host), Closing("it broke"))
        assert now_s() - began_s <= LAST_WORD_MAX_S

    reporting(body)


def test_an_engine_whose_reports_have_ended_says_so() -> None:
    async def body(reporter: EngineReporter, host: Host, link: Link) -> None:
        reporter.check()
        host.follow = None  # type: ignore[assignment, method-assign]
        link.controls_queue.put_nowait(Control(1))
        await settle()
        with pytest.raises(RuntimeError, match="no longer reports") as caught:
            reporter.check()
        assert isinstance(caught.value.__cause__, TypeError)

    reporting(body)
