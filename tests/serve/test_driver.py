"""The dispatcher's live half on a real event loop, with a clock that the tests turn."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from policies.admission import Admission
from policies.commands import LowerJob
from policies.controllers import Cascade, CascadeBand, Controller, Hysteresis, Static
from policies.dispatcher import Dispatcher
from policies.events import EngineProgressed, Event, JobFinished, Progress
from policies.exits import ExitRules
from policies.nouns import Job, Ladder, Rung
from policies.policy import Policy
from serve.driver import ENGINE_SILENCE_MAX_S, HOLD_MARGIN_S, QueueDriver, Timings
from serve.messages import (
    OUTCOME_CANCELLED,
    OUTCOME_FINISHED,
    Directions,
    Ended,
    EngineNote,
    Grant,
    Lowering,
    Refusal,
)
from tests.serve.fakes import FACTS
from tests.serve.virtual_time import now_s, run, settle

LADDER = Ladder((Rung("full", 20, "high"), Rung("full", 10, "medium"), Rung("full", 5, "low")))


HYSTERESIS = Hysteresis((2, 4), (0, 1), 1.0)


def driver(
    max_waiting: int = 10,
    controller: Controller = HYSTERESIS,
    exits: ExitRules | None = None,
    **options: Any,
) -> QueueDriver:
    policy = Policy(LADDER, controller, exits or ExitRules(), admission=Admission(max_waiting))
    return QueueDriver(Dispatcher(policy), clock=now_s, hold_s=1.0, **options)


def job(job_id: str, **changes: Any) -> Job:
    return Job(**({"job_id": job_id, "arrival_s": now_s(), "floor": LADDER.last} | changes))


def note(
    seq: int,
    running: tuple[str, ...] = (),
    ended: tuple[Ended, ...] = (),
    engine_id: str = "e",
    places: int = 1,
) -> EngineNote:
    return EngineNote(engine_id, "main", seq, 1, places, ("full",), "cpu", running, ended, 0, 0, 1)


def test_a_job_waits_for_an_engine_and_is_granted_its_place() -> None:
    async def body() -> None:
        queue = driver()
        call = asyncio.create_task(queue.acquire(job("a")))
        await settle()
        assert queue.dispatcher.waiting == 1
        queue.note(note(1))
        grant = await call
        assert isinstance(grant, Grant)
        assert (grant.engine_id, grant.pool, grant.service.steps) == ("e", "main", 20)

    run(body)


def test_a_place_that_comes_free_goes_to_the_next_in_line() -> None:
    async def body() -> None:
        ended: list[Timings] = []
        queue = driver(on_ended=ended.append)
        queue.note(note(1))
        calls = [asyncio.create_task(queue.acquire(job(name))) for name in "ab"]
        await settle()
        assert [call.done() for call in calls] == [True, False]
        queue.note(note(2, ended=(Ended("a", OUTCOME_FINISHED),)))
        await settle()
        assert calls[1].done()
        assert [one.job.job_id for one in ended] == ["a"]
        counts = queue.dispatcher.counts()
        assert (counts.finished, counts.running, counts.waiting) == (1, 1, 0)

    run(body)


def test_a_full_queue_refuses_at_once() -> None:
    async def body() -> None:
        queue = driver(max_waiting=1)
        waiting = asyncio.create_task(queue.acquire(job("a")))
        await settle()
        refused = await queue.acquire(job("b"))
        assert isinstance(refused, Refusal)
        assert refused.reason == "queue_full"
        waiting.cancel()
        await settle()

    run(body)


def test_a_deadline_expires_at_its_instant_and_the_job_never_runs() -> None:
    async def body() -> None:
        queue = driver()
        answer = await queue.acquire(job("a", deadline_s=now_s() + 3.0))
        assert answer == Refusal("a", "expired")
        assert now_s() == pytest.approx(3.0)
        queue.note(note(1))
        assert queue.dispatcher.counts().running == 0
        assert queue.dispatcher.counts().expired == 1

    run(body)


def test_cancelling_the_call_takes_the_job_out_of_the_line() -> None:
    async def body() -> None:
        queue = driver()
        call = asyncio.create_task(queue.acquire(job("a")))
        await settle()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        counts = queue.dispatcher.counts()
        assert (counts.waiting, counts.cancelled) == (0, 1)

    run(body)


def test_a_released_job_frees_its_place_once() -> None:
    async def body() -> None:
        queue = driver()
        queue.note(note(1))
        await queue.acquire(job("a"))
        queue.release("a")
        queue.note(note(2, ended=(Ended("a", OUTCOME_CANCELLED),)))
        counts = queue.dispatcher.counts()
        assert (counts.running, counts.cancelled) == (0, 1)

    run(body)


def test_a_grant_that_nobody_uses_is_taken_back() -> None:
    async def body() -> None:
        queue = driver(claim_s=5.0)
        queue.note(note(1))
        await queue.acquire(job("a"))
        second = await queue.acquire(job("b"))
        assert isinstance(second, Grant)
        assert now_s() == pytest.approx(5.0)

    run(body)


def test_a_grant_seen_in_its_engine_is_not_taken_back() -> None:
    async def body() -> None:
        queue = driver(claim_s=5.0)
        queue.note(note(1))
        await queue.acquire(job("a"))
        queue.note(note(2, running=("a",)))
        await asyncio.sleep(9.0)
        assert queue.dispatcher.counts().running == 1

    run(body)


def test_a_lost_engines_jobs_wait_again_in_order_of_arrival() -> None:
    async def body() -> None:
        queue = driver()
        queue.note(note(1, places=2))
        first, second = job("a"), job("b", arrival_s=0.5)
        for one in (first, second):
            await queue.acquire(one)
        again = asyncio.create_task(queue.acquire(first, again=True, lost_engine="e"))
        also = asyncio.create_task(queue.acquire(second, again=True, lost_engine="e"))
        await settle()
        assert queue.dispatcher.counts().waiting == 2
        assert queue.engine_notes() == ()
        queue.note(note(1, engine_id="f"))
        await settle()
        assert (again.done(), also.done()) == (True, False)
        assert queue.dispatcher.counts().admitted == 2
        also.cancel()
        await settle()

    run(body)


def test_a_job_regranted_before_its_gateway_asks_gets_that_grant() -> None:
    async def body() -> None:
        queue = driver()
        queue.note(note(1, places=2))
        queue.note(note(1, engine_id="f", places=2))
        for name in "abcd":
            await queue.acquire(job(name))
        on_e = {v.engine_id: v.running for v in queue.dispatcher.engines()}["e"]
        queue.note(note(1, engine_id="g", places=4))
        # One gateway tells of the loss; the other's job is granted anew without being asked.
        for name in on_e:
            grant = await queue.acquire(job(name), again=True, lost_engine="e")
            assert isinstance(grant, Grant)
            assert grant.engine_id == "g"
        assert queue.dispatcher.counts().running == 4

    run(body)


def test_an_idle_engine_that_falls_silent_is_dropped() -> None:
    async def body() -> None:
        queue = driver()
        queue.note(note(1))
        await asyncio.sleep(ENGINE_SILENCE_MAX_S + 0.1)
        assert queue.engine_notes() == ()

    run(body)


def test_a_busy_engine_is_not_dropped_for_its_silence() -> None:
    async def body() -> None:
        queue = driver(claim_s=1000.0)
        queue.note(note(1))
        await queue.acquire(job("a"))
        await asyncio.sleep(3 * ENGINE_SILENCE_MAX_S)
        assert len(queue.engine_notes()) == 1

    run(body)


def test_a_new_dispatcher_learns_what_runs_from_the_engines() -> None:
    async def body() -> None:
        queue = driver()
        queue.note(note(7, running=("a",)))
        assert queue.dispatcher.counts().running == 1
        queue.note(note(8, ended=(Ended("a", OUTCOME_FINISHED),)))
        assert queue.dispatcher.counts().finished == 1

    run(body)


def test_a_note_that_was_overtaken_does_not_register_an_engine() -> None:
    async def body() -> None:
        queue = driver()
        queue.note(note(8))
        queue._engine_gone("e")
        assert not queue.note(note(7, running=("a",)))
        assert await queue.listen(note(6), 0, 1.0) is None
        assert queue.engine_notes() == ()

    run(body)


def test_an_end_told_by_another_engine_than_the_granted_one_changes_nothing() -> None:
    async def body() -> None:
        queue = driver()
        queue.note(note(1))
        await queue.acquire(job("a"))
        queue.note(note(1, engine_id="f", ended=(Ended("a", OUTCOME_FINISHED),)))
        assert queue.dispatcher.counts().running == 1

    run(body)


def test_a_job_that_is_asked_for_anew_does_not_count_as_running_where_it_was_lost() -> None:
    async def body() -> None:
        queue = driver()
        call = asyncio.create_task(queue.acquire(job("a"), again=True))
        await settle()
        queue.note(note(1, running=("a",)))
        assert isinstance(await call, Grant)

    run(body)


def test_a_listening_engine_hears_of_a_new_rung_at_once() -> None:
    async def body() -> None:
        queue = driver()
        listening = asyncio.create_task(queue.listen(note(1), 0, 60.0))
        await settle()
        calls = [asyncio.create_task(queue.acquire(job(name))) for name in "abc"]
        assert await listening == Directions(1)
        assert now_s() == 0.0
        for call in calls:
            call.cancel()
        await settle()

    run(body)


def test_listening_ends_after_its_patience() -> None:
    async def body() -> None:
        assert await driver().listen(note(1), 0, 2.0) == Directions(0)
        assert now_s() == pytest.approx(2.0)

    run(body)


def test_quality_returns_by_itself_when_the_line_is_empty() -> None:
    async def body() -> None:
        queue = driver()
        calls = [asyncio.create_task(queue.acquire(job(name))) for name in "abcde"]
        await settle()
        assert queue.dispatcher.rung == 2
        for call in calls:
            call.cancel()
        await asyncio.sleep(1.5)
        assert queue.dispatcher.rung == 1
        await asyncio.sleep(1.0)
        assert queue.dispatcher.rung == 0

    run(body)


def test_nothing_ticks_while_a_lowered_quality_cannot_rise() -> None:
    async def body() -> None:
        queue = driver()
        calls = [asyncio.create_task(queue.acquire(job(name))) for name in "abcde"]
        await asyncio.sleep(5.0)
        assert queue._hold_timer is None
        for call in calls:
            call.cancel()
        await settle()

    run(body)


def test_a_static_controller_announces_nothing() -> None:
    async def body() -> None:
        queue = driver(controller=Static())
        listening = asyncio.create_task(queue.listen(note(1), 0, 2.0))
        calls = [asyncio.create_task(queue.acquire(job(name))) for name in "abcde"]
        assert await listening == Directions(0)
        assert now_s() == pytest.approx(2.0)
        for call in calls:
            call.cancel()
        await settle()

    run(body)


class Watched(Dispatcher):
    """Remembers what it was told, and orders what a test wants."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.events: list[Event] = []
        self.next: tuple[LowerJob, ...] = ()

    def handle(self, event: Event) -> tuple[Any, ...]:
        self.events.append(event)
        commands, self.next = (*super().handle(event), *self.next), ()
        return commands


def watched(controller: Controller = HYSTERESIS, **options: Any) -> tuple[QueueDriver, Watched]:
    policy = Watched(Policy(LADDER, controller, admission=Admission(2)))
    return QueueDriver(policy, clock=now_s, hold_s=1.0, **options), policy


def test_the_progress_of_a_boundary_is_told_before_its_endings() -> None:
    async def body() -> None:
        queue, policy = watched()
        queue.note(note(1, places=2))
        for name in "ab":
            await queue.acquire(job(name))
        seen = len(policy.events)
        progress = (Progress("b", 3, 20),)
        ended = (Ended("a", OUTCOME_FINISHED, FACTS),)
        queue.note(replace(note(2, ("b",), ended, places=2), progress=progress))
        assert policy.events[seen:] == [
            EngineProgressed(now_s(), "e", progress),
            JobFinished(now_s(), "a", rung=1, steps_run=18),
        ]

    run(body)


def test_progress_that_was_overtaken_is_not_told() -> None:
    async def body() -> None:
        queue, policy = watched()
        queue.note(note(8))
        seen = len(policy.events)
        queue.note(replace(note(7), progress=()))
        assert policy.events[seen:] == []

    run(body)


def test_what_is_known_already_is_not_told_again() -> None:
    async def body() -> None:
        queue, policy = watched()
        queue.note(note(1))
        await queue.acquire(job("a"))
        queue.release("a")
        seen = len(policy.events)
        queue.release("a")
        queue.note(note(2, ended=(Ended("a", OUTCOME_CANCELLED),)))
        assert policy.events[seen:] == []

    run(body)


def test_a_lowering_is_told_until_it_is_heard() -> None:
    async def body() -> None:
        queue, policy = watched()
        queue.note(replace(note(1), heard=7))
        listening = asyncio.create_task(queue.listen(replace(note(2), heard=7), 0, 60.0))
        await settle()
        policy.next = (LowerJob("a", "e", 2), LowerJob("b", "e", 1))
        await queue.acquire(job("a"))
        told = Directions(0, (Lowering(8, "a", 2), Lowering(9, "b", 1)))
        assert await listening == told
        assert await queue.listen(replace(note(3), heard=7), 0, 60.0) == told
        rest = await queue.listen(replace(note(4), heard=8), 0, 60.0)
        assert rest == Directions(0, (Lowering(9, "b", 1),))
        assert await queue.listen(replace(note(5), heard=9), 0, 2.0) == Directions(0)
        assert now_s() == pytest.approx(2.0)

    run(body)


def test_an_engine_that_comes_up_late_is_told_the_rung_at_once() -> None:
    async def body() -> None:
        queue = driver()
        calls = [asyncio.create_task(queue.acquire(job(name))) for name in "abcdef"]
        await settle()
        assert queue.dispatcher.rung == 2
        assert await queue.listen(note(1), 0, 60.0) == Directions(2)
        assert now_s() == 0.0
        for call in calls:
            call.cancel()
        await settle()

    run(body)


def test_a_rung_that_binds_at_start_only_is_not_announced() -> None:
    async def body() -> None:
        queue = driver(exits=ExitRules("keep"))
        calls = [asyncio.create_task(queue.acquire(job(name))) for name in "abcdef"]
        assert await queue.listen(note(1), 0, 2.0) == Directions(0)
        assert (queue.dispatcher.rung, queue.announced) == (2, 0)
        for call in calls:
            call.cancel()
        await settle()

    run(body)


def test_refusals_are_counted_by_their_reason() -> None:
    async def body() -> None:
        queue = driver(max_waiting=1)
        waiting = asyncio.create_task(queue.acquire(job("a", deadline_s=3.0)))
        await settle()
        await queue.acquire(job("b"))
        await queue.acquire(job("c", variant="nobody"))
        await waiting
        assert queue.refused == {"queue_full": 1, "no_rung": 1, "expired": 1}

    run(body)


def test_listening_tells_how_many_engines_the_pool_should_have() -> None:
    async def body() -> None:
        queue = driver(replicas_wanted={"main": 3}.get)
        assert await queue.listen(note(1), 0, 2.0) == Directions(0, replicas_wanted=3)

    run(body)


def test_a_cascade_is_not_served() -> None:
    cascade = Cascade(2, 0, (CascadeBand(float("inf"), 0.5),))
    with pytest.raises(ValueError, match="needs a discriminator"):
        driver(controller=cascade)


def test_a_tick_is_not_too_early_by_a_rounding() -> None:
    async def body() -> None:
        hold_s, at_s = 0.7, 1.4
        assert (at_s + hold_s) - at_s < hold_s
        policy = Dispatcher(Policy(LADDER, Hysteresis((1, 9), (0, 1), hold_s)))
        queue = QueueDriver(policy, clock=now_s, hold_s=hold_s)
        await asyncio.sleep(at_s)
        call = asyncio.create_task(queue.acquire(job("a")))
        await settle()
        assert policy.rung == 1
        call.cancel()
        await asyncio.sleep(hold_s + 2 * HOLD_MARGIN_S)
        assert policy.rung == 0

    run(body)
