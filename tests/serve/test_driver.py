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
from policies.policy import Policy
from serve.driver import (
    HOLD_MARGIN_S,
    QueueDriver,
)
from serve.messages import (
    OUTCOME_CANCELLED,
    OUTCOME_FAILED,
    Acknowledged,
    Closing,
    Control,
    Ended,
    Grant,
    Refusal,
)
from tests.serve.drivers import (
    HYSTERESIS,
    LADDER,
    Holder,
    beat,
    close,
    conserved,
    driver,
    finished,
    hold,
    job,
)
from tests.serve.virtual_time import now_s, run, settle

# -- leases -------------------------------------------------------------------------------------


def test_a_job_waits_for_an_engine_and_is_granted_its_slot() -> None:
    async def body() -> None:
        queue = driver()
        (a,) = await hold(queue, "a")
        assert (queue.dispatcher.waiting, a.answers) == (1, [])
        queue.heartbeat(beat())
        await settle()
        assert (a.grant.engine_id, a.grant.pool, a.grant.service.steps) == ("e", "main", 20)
        assert not a.grant.alone
        await close(a)

    run(body)


def test_a_slot_that_comes_free_goes_to_the_next_in_line() -> None:
    async def body() -> None:
        told: list[tuple[float, str]] = []
        queue = driver(on_ended=lambda waited_s, one: told.append((waited_s, one.outcome)))
        queue.heartbeat(beat())
        a, b = await hold(queue, "a", "b")
        assert b.answers == []
        queue.heartbeat(beat(ended=(finished(a.grant),)))
        await settle()
        assert b.grant.job_id == "b"
        assert told == [(0.0, "finished")]
        counts = conserved(queue)
        assert (counts.finished, counts.running, counts.waiting) == (1, 1, 0)
        await close(a, b)

    run(body)


def test_a_refusal_is_the_last_answer_of_a_lease() -> None:
    async def body() -> None:
        queue = driver(max_waiting=1)
        a, b = await hold(queue, "a", "b")
        (refusal,) = b.answers
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, b.ended) == ("queue_full", True)
        await close(a)

    run(body)


def test_a_job_s_times_are_seconds_from_now() -> None:
    async def body() -> None:
        queue = driver()
        await asyncio.sleep(7.0)
        (a,) = await hold(queue, "a", arrival_s=-2.0, deadline_s=3.0)
        (waiting,) = queue.dispatcher.waiting_jobs()
        assert (waiting.arrival_s, waiting.deadline_s) == (5.0, 10.0)
        await asyncio.sleep(3.1)
        assert a.answers == [Refusal("a", "expired")]
        queue.heartbeat(beat())
        assert (conserved(queue).running, conserved(queue).expired) == (0, 1)

    run(body)


def test_a_wall_clock_that_is_set_back_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is inside the loop counts: ten minutes back expire nobody and hold no rung."""

    async def body() -> None:
        queue = QueueDriver(
            Dispatcher(Policy(LADDER, Hysteresis((2, 4), (0, 1), 0.05))), hold_s=0.05
        )
        calls = [Holder(queue, job(name, deadline_s=60.0)) for name in "abcde"]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert queue.dispatcher.rung == 2
        monkeypatch.setattr("time.time", lambda: -600.0)
        queue.heartbeat(beat(places=8))
        await asyncio.sleep(0)
        assert [len(one.answers) for one in calls] == [1] * 5
        assert all(isinstance(one.answers[0], Grant) for one in calls)
        for one in calls:
            queue.heartbeat(beat(ended=(finished(one.grant),), places=8))
        async with asyncio.timeout(30):
            while queue.dispatcher.rung:
                await asyncio.sleep(0.01)
        for one in calls:
            await one.close()

    asyncio.run(body())


def test_closing_the_lease_takes_the_job_out_of_the_line() -> None:
    async def body() -> None:
        queue = driver()
        await close(*await hold(queue, "a"))
        assert (conserved(queue).waiting, conserved(queue).cancelled) == (0, 1)

    run(body)


def test_what_becomes_of_a_running_job_that_nobody_holds_its_engine_tells() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat(places=2))
        a, b = await hold(queue, "a", "b")
        await close(a, b)
        assert conserved(queue).running == 2
        last = (Ended(a.grant.grant_id, OUTCOME_CANCELLED), finished(b.grant))
        queue.heartbeat(beat(ended=last, places=2))
        counts = conserved(queue)
        assert (counts.running, counts.cancelled, counts.finished) == (0, 1, 1)

    run(body)


def test_a_picture_answered_before_the_engine_s_report_is_not_counted_as_cancelled() -> None:
    async def body() -> None:
        told: list[str] = []
        queue = driver(on_ended=lambda waited_s, one: told.append(one.grant_id))
        queue.heartbeat(beat())
        (a,) = await hold(queue, "a")
        queue.heartbeat(beat(running=(a.grant.grant_id,)))
        await close(a)  # its gateway has the picture
        queue.heartbeat(beat(ended=(finished(a.grant),)))
        assert (conserved(queue).finished, conserved(queue).cancelled) == (1, 0)
        assert told == [a.grant.grant_id]

    run(body)


def test_a_grant_that_never_reached_its_engine_is_free_with_the_next_heartbeat() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat())
        (a,) = await hold(queue, "a")
        await close(a)  # its gateway died with the grant in its hands
        queue.heartbeat(beat())
        assert (conserved(queue).running, conserved(queue).cancelled) == (0, 1)

    run(body)


def test_asking_again_takes_the_place_of_the_former_lease() -> None:
    async def body() -> None:
        queue = driver(max_waiting=1)
        (a,) = await hold(queue, "a")
        anew = Holder(queue, job("a"), again=True)
        await settle()
        assert (a.ended, a.answers) == (True, [])
        queue.heartbeat(beat())
        await settle()
        assert anew.grant.job_id == "a"
        assert conserved(queue).admitted == 1
        await close(anew)

    run(body)


# -- controls -----------------------------------------------------------------------------------


class Follower:
    """An engine that hears what the dispatcher wants."""

    def __init__(self, queue: QueueDriver) -> None:
        self.heard: list[tuple[float, Control]] = []
        self.task = asyncio.create_task(self._listen(queue))

    async def _listen(self, queue: QueueDriver) -> None:
        async for control in queue.controls("e"):
            self.heard.append((now_s(), control))


def test_an_engine_hears_of_a_new_rung_at_once() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat())
        follower = Follower(queue)
        holders = await hold(queue, *"abcd")
        assert follower.heard == [(0.0, Control(0)), (0.0, Control(1))]
        follower.task.cancel()
        await close(*holders)

    run(body)


def test_an_engine_that_comes_up_late_is_told_the_rung_at_once() -> None:
    async def body() -> None:
        queue = driver()
        holders = await hold(queue, *"abcdef")
        queue.heartbeat(beat())
        follower = Follower(queue)
        await settle()
        assert follower.heard == [(0.0, Control(2))]
        follower.task.cancel()
        await close(*holders)

    run(body)


@pytest.mark.parametrize("options", [{"controller": Static()}, {"exits": ExitRules("keep")}])
def test_a_rung_that_binds_at_start_only_is_not_announced(options: dict[str, Any]) -> None:
    async def body() -> None:
        queue = driver(**options)
        queue.heartbeat(beat())
        follower = Follower(queue)
        holders = await hold(queue, *"abcdefg")
        assert follower.heard == [(0.0, Control(0))]
        follower.task.cancel()
        await close(*holders)

    run(body)


def test_the_controls_of_an_engine_end_when_it_is_closed() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat())
        follower = Follower(queue)
        await settle()
        queue.heartbeat(beat(closing=Closing("it broke")))
        await settle()
        assert follower.task.done()
        assert [control async for control in queue.controls("e")] == []

    run(body)


def test_a_heartbeat_s_answer_says_how_many_engines_the_pool_should_have() -> None:
    async def body() -> None:
        queue = driver(replicas_wanted={"main": 3}.get)
        assert queue.heartbeat(beat()) == Acknowledged(replicas_wanted=3)

    run(body)


# -- the rung -----------------------------------------------------------------------------------


def test_quality_returns_by_itself_when_the_line_is_empty() -> None:
    async def body() -> None:
        queue = driver()
        holders = await hold(queue, *"abcde")
        assert queue.dispatcher.rung == 2
        await close(*holders)
        await asyncio.sleep(1.5)
        assert queue.dispatcher.rung == 1
        await asyncio.sleep(1.0)
        assert queue.dispatcher.rung == 0

    run(body)


def test_nothing_ticks_while_a_lowered_quality_cannot_rise() -> None:
    async def body() -> None:
        queue = driver()
        holders = await hold(queue, *"abcde")
        await asyncio.sleep(5.0)
        assert queue._hold_timer is None
        await close(*holders)

    run(body)


def test_a_tick_is_not_too_early_by_a_rounding() -> None:
    async def body() -> None:
        hold_s, at_s = 0.7, 1.4
        assert (at_s + hold_s) - at_s < hold_s
        policy = Dispatcher(Policy(LADDER, Hysteresis((1, 9), (0, 1), hold_s)))
        queue = QueueDriver(policy, clock=now_s, hold_s=hold_s)
        await asyncio.sleep(at_s)
        holders = await hold(queue, "a")
        assert policy.rung == 1
        await close(*holders)
        await asyncio.sleep(hold_s + 2 * HOLD_MARGIN_S)
        assert policy.rung == 0

    run(body)


# -- what the policy is told --------------------------------------------------------------------


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


def watched(controller: Controller = HYSTERESIS) -> tuple[QueueDriver, Watched]:
    policy = Watched(Policy(LADDER, controller, admission=Admission(2)))
    return QueueDriver(policy, clock=now_s, hold_s=1.0), policy


def test_the_progress_of_a_boundary_is_told_before_its_endings() -> None:
    async def body() -> None:
        queue, policy = watched()
        queue.heartbeat(beat(places=2))
        a, b = await hold(queue, "a", "b")
        seen = len(policy.events)
        progress = (Progress(b.grant.grant_id, 3, 20),)
        report = beat((b.grant.grant_id,), (finished(a.grant),), places=2)
        queue.heartbeat(replace(report, progress=progress))
        assert policy.events[seen:] == [
            EngineProgressed(now_s(), "e", (Progress("b", 3, 20),)),
            JobFinished(now_s(), "a", rung=1, steps_run=18),
        ]
        await close(a, b)

    run(body)


def test_a_heartbeat_without_news_tells_the_policy_nothing() -> None:
    async def body() -> None:
        queue, policy = watched()
        queue.heartbeat(beat())
        seen = len(policy.events)
        queue.heartbeat(beat())
        assert policy.events[seen:] == []

    run(body)


def test_what_is_known_already_is_not_told_again() -> None:
    async def body() -> None:
        queue, policy = watched()
        queue.heartbeat(beat())
        (a,) = await hold(queue, "a")
        failed = beat(ended=(Ended(a.grant.grant_id, OUTCOME_FAILED),))
        queue.heartbeat(failed)
        seen = len(policy.events)
        queue.heartbeat(failed)
        await close(a)
        assert policy.events[seen:] == []

    run(body)


def test_a_lowering_stands_until_its_grant_is_over() -> None:
    async def body() -> None:
        queue, policy = watched()
        queue.heartbeat(beat(places=2))
        follower = Follower(queue)
        (a,) = await hold(queue, "a")
        policy.next = (LowerJob("a", "e", 2),)
        (b,) = await hold(queue, "b")
        assert follower.heard[-1] == (0.0, Control(0, {a.grant.grant_id: 2}))
        queue.heartbeat(beat((b.grant.grant_id,), (finished(a.grant),), places=2))
        policy.next = (LowerJob("b", "e", 1),)
        (c,) = await hold(queue, "c")
        assert follower.heard[-1] == (0.0, Control(0, {b.grant.grant_id: 1}))
        follower.task.cancel()
        await close(a, b, c)

    run(body)


def test_refusals_are_counted_by_their_reason() -> None:
    async def body() -> None:
        queue = driver(max_waiting=1)
        await hold(queue, "a", deadline_s=3.0)
        await hold(queue, "b")
        await hold(queue, "c", variant="nobody")
        await asyncio.sleep(3.1)
        assert queue.refused == {"queue_full": 1, "no_rung": 1, "expired": 1}

    run(body)


def test_a_cascade_is_not_served() -> None:
    cascade = Cascade(2, 0, (CascadeBand(float("inf"), 0.5),))
    with pytest.raises(ValueError, match="needs a discriminator"):
        driver(controller=cascade)
