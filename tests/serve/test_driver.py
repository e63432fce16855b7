"""The dispatcher's live half on a real event loop, with a clock that the tests turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from policies.admission import Admission
from policies.commands import LowerJob
from policies.controllers import Cascade, CascadeBand, Controller, Hysteresis, Static
from policies.dispatcher import Dispatcher
from policies.events import EngineProgressed, Event, JobFinished, Progress
from policies.exits import ExitRules
from policies.ledger import Counts
from policies.nouns import Job, Ladder, Rung
from policies.policy import Policy
from serve.driver import (
    CLOSED_KEPT,
    HOLD_MARGIN_S,
    LOOK_S,
    SILENT_LOOKS,
    SUSPECT_LOOKS,
    QueueDriver,
)
from serve.messages import (
    OUTCOME_CANCELLED,
    OUTCOME_FAILED,
    OUTCOME_FINISHED,
    Acknowledged,
    Closing,
    Control,
    Ended,
    Grant,
    Heartbeat,
    LostGrant,
    Refusal,
)
from tests.serve.fakes import FACTS
from tests.serve.virtual_time import now_s, run, settle

LADDER = Ladder((Rung("full", 20, "high"), Rung("full", 10, "medium"), Rung("full", 5, "low")))
HYSTERESIS = Hysteresis((2, 4), (0, 1), 1.0)
SUSPECTED_S = (SUSPECT_LOOKS + 0.5) * LOOK_S
CLOSED_S = (SILENT_LOOKS + 0.5) * LOOK_S


def driver(
    max_waiting: int = 10,
    controller: Controller = HYSTERESIS,
    exits: ExitRules | None = None,
    **options: Any,
) -> QueueDriver:
    policy = Policy(LADDER, controller, exits or ExitRules(), admission=Admission(max_waiting))
    return QueueDriver(Dispatcher(policy), **({"clock": now_s, "hold_s": 1.0} | options))


def job(job_id: str, **changes: Any) -> Job:
    """A job that has just arrived; its times are seconds from now."""
    return Job(**({"job_id": job_id, "arrival_s": 0.0, "floor": LADDER.last} | changes))


def beat(
    running: tuple[str, ...] = (),
    ended: tuple[Ended, ...] = (),
    engine_id: str = "e",
    places: int = 1,
    closing: Closing | None = None,
) -> Heartbeat:
    return Heartbeat(
        engine_id, "main", 1, places, ("full",), "cpu", running, ended, closing=closing
    )


class Holder:
    """A gateway's hold on one job."""

    def __init__(self, queue: QueueDriver, wanted: Job, **options: Any) -> None:
        self.answers: list[Grant | Refusal] = []
        self._stream = queue.lease(wanted, **options)
        self._task = asyncio.create_task(self._listen(self._stream))

    async def _listen(self, stream: AsyncGenerator[Grant | Refusal]) -> None:
        async for answer in stream:
            self.answers.append(answer)

    @property
    def grant(self) -> Grant:
        assert isinstance(self.answers[-1], Grant)
        return self.answers[-1]

    @property
    def ended(self) -> bool:
        return self._task.done()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.aclose()


async def hold(queue: QueueDriver, *names: str, **changes: Any) -> list[Holder]:
    """One after the other; what can be granted is."""
    holders = []
    for name in names:
        holders.append(Holder(queue, job(name, **changes)))
        await settle()
    return holders


async def close(*holders: Holder) -> None:
    for holder in holders:
        await holder.close()
    await settle()


def finished(grant: Grant) -> Ended:
    return Ended(grant.grant_id, OUTCOME_FINISHED, FACTS)


def conserved(queue: QueueDriver) -> Counts:
    c = queue.dispatcher.counts()
    gone = c.finished + c.cancelled + c.failed + c.expired + c.hopeless
    assert c.admitted == gone + c.waiting + c.running
    return c


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


# -- one lost call costs one job ----------------------------------------------------------------


def test_a_lost_call_costs_one_job_and_no_engine() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat(places=3))
        a, b, c = await hold(queue, "a", "b", "c")
        again = Holder(queue, job("a"), again=True, lost=LostGrant(a.grant.grant_id))
        await settle()
        counts = conserved(queue)
        assert (counts.running, counts.waiting, counts.requeued) == (2, 1, 1)
        assert len(queue.beats()) == 1
        here = (b.grant.grant_id, c.grant.grant_id)
        queue.heartbeat(beat(running=here, places=3))  # it lives, so it is granted again
        await settle()
        assert again.grant.grant_id != a.grant.grant_id
        assert conserved(queue).running == 3
        await close(again, b, c)

    run(body)


def test_an_engine_that_lost_a_call_gets_no_new_grant_before_it_is_heard_of() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat(places=2))
        (a,) = await hold(queue, "a")
        again = Holder(queue, job("a"), again=True, lost=LostGrant(a.grant.grant_id))
        (b,) = await hold(queue, "b")
        assert (again.answers, b.answers, queue.hosted()) == ([], [], set())
        queue.heartbeat(beat(places=2))
        await settle()
        assert queue.hosted() == {"full"}
        assert again.grant.engine_id == b.grant.engine_id == "e"
        await close(again, b)

    run(body)


def test_the_end_of_a_former_grant_does_not_end_the_job_s_new_one() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat())
        (a,) = await hold(queue, "a")
        again = Holder(queue, job("a"), again=True, lost=LostGrant(a.grant.grant_id))
        await settle()
        queue.heartbeat(beat())
        await settle()
        queue.heartbeat(
            beat((again.grant.grant_id,), (Ended(a.grant.grant_id, OUTCOME_CANCELLED),))
        )
        assert (conserved(queue).running, conserved(queue).cancelled) == (1, 0)
        await close(again)

    run(body)


def test_a_run_cancelled_in_its_engine_though_its_gateway_wants_it_is_run_again() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat())
        (a,) = await hold(queue, "a")
        first = a.grant
        queue.heartbeat(beat(ended=(Ended(first.grant_id, OUTCOME_CANCELLED),)))
        queue.heartbeat(beat())
        await settle()
        assert a.grant.grant_id != first.grant_id
        assert (conserved(queue).running, conserved(queue).cancelled) == (1, 0)
        await close(a)

    run(body)


def test_an_engine_that_serve_lists_no_more_gets_no_grants_and_finishes_what_it_has() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat(places=2))
        a, b = await hold(queue, "a", "b")
        again = Holder(queue, job("b"), again=True, lost=LostGrant(b.grant.grant_id, True))
        await settle()
        queue.heartbeat(beat((a.grant.grant_id,), places=2))
        assert again.answers == []
        queue.heartbeat(beat(ended=(finished(a.grant),), places=2))
        await settle()
        assert again.answers == []
        queue.heartbeat(beat(engine_id="f"))
        await settle()
        assert again.grant.engine_id == "f"
        assert (conserved(queue).finished, conserved(queue).running) == (1, 1)
        await close(again)

    run(body)


# -- who may say that an engine is gone ---------------------------------------------------------


def test_a_silent_engine_gets_no_new_grants_and_keeps_its_jobs_until_it_speaks() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat(places=2))
        (a,) = await hold(queue, "a")
        await asyncio.sleep(SUSPECTED_S)
        (b,) = await hold(queue, "b")
        assert queue.hosted() == set()
        assert (conserved(queue).running, conserved(queue).waiting) == (1, 1)
        queue.heartbeat(beat((a.grant.grant_id,), places=2))
        await settle()
        assert b.grant.engine_id == "e"
        await close(a, b)

    run(body)


def test_an_engine_that_stays_silent_is_ended_and_its_jobs_go_elsewhere() -> None:
    async def body() -> None:
        ended: list[str] = []
        queue = driver(end_engine=lambda one: ended.append(one.engine_id))
        queue.heartbeat(beat())
        (a,) = await hold(queue, "a")
        first = a.grant
        await asyncio.sleep(CLOSED_S)
        assert (ended, queue.beats(), conserved(queue).waiting) == (["e"], (), 1)
        queue.heartbeat(beat(engine_id="f"))
        await settle()
        assert (a.grant.engine_id, a.grant.alone) == ("f", False)
        assert a.answers[0] == first
        await close(a)

    run(body)


def test_an_engine_that_was_given_up_is_never_taken_back() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat())
        (a,) = await hold(queue, "a")
        await asyncio.sleep(CLOSED_S)
        assert queue.heartbeat(beat((a.grant.grant_id,))) == Acknowledged(open=False)
        assert queue.heartbeat(beat(ended=(finished(a.grant),))) == Acknowledged(open=False)
        assert (queue.beats(), conserved(queue).waiting) == ((), 1)
        await close(a)

    run(body)


def test_what_is_remembered_of_engines_that_are_gone_is_bounded() -> None:
    async def body() -> None:
        queue = driver()
        for number in range(CLOSED_KEPT + 50):
            queue.heartbeat(beat(engine_id=f"e{number}", closing=Closing("it broke")))
        assert len(queue._closed) == CLOSED_KEPT

    run(body)


def test_a_dispatcher_that_was_stopped_does_not_take_engines_for_silent() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat())
        loop = asyncio.get_running_loop()
        loop._now_s += 600.0  # type: ignore[attr-defined]
        await asyncio.sleep(0.01)
        assert queue.hosted() == {"full"}

    run(body)


def test_a_closing_engine_s_jobs_go_elsewhere_and_its_suspects_run_alone() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat(places=2))
        a, b = await hold(queue, "a", "b")
        closing = Closing("CUDA error", frozenset({a.grant.grant_id}))
        answer = queue.heartbeat(beat(places=2, closing=closing))
        assert answer == Acknowledged(open=False)
        queue.heartbeat(beat(engine_id="f", places=2))
        await settle()
        assert (a.grant.alone, b.grant.alone) == (True, False)
        assert a.grant.engine_id == b.grant.engine_id == "f"
        assert conserved(queue).requeued == 2
        await close(a, b)

    run(body)


def test_a_job_that_breaks_an_engine_alone_is_poison_and_the_others_go_on() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat(places=2))
        a, b = await hold(queue, "a", "b")
        for engine_id in ("f", "g"):
            both = Closing("CUDA error", frozenset({a.grant.grant_id}))
            queue.heartbeat(beat(engine_id=a.grant.engine_id, places=2, closing=both))
            queue.heartbeat(beat(engine_id=engine_id, places=2))
            await settle()
        assert a.answers[-1] == Refusal("a", "poison", detail="CUDA error")
        assert b.grant.engine_id == "g"
        counts = conserved(queue)
        assert (counts.failed, counts.running) == (1, 1)
        await close(a, b)

    run(body)


def test_a_closing_engine_gets_nothing_of_what_its_last_jobs_leave_free() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat())
        a, b = await hold(queue, "a", "b")
        queue.heartbeat(beat(ended=(finished(a.grant),), closing=Closing("it broke")))
        await settle()
        assert b.answers == []
        await close(a, b)

    run(body)


def test_abandoned_jobs_of_a_closed_engine_do_not_wait_again() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat())
        (a,) = await hold(queue, "a")
        await close(a)
        await asyncio.sleep(CLOSED_S)
        assert (conserved(queue).waiting, conserved(queue).cancelled) == (0, 1)

    run(body)


# -- a new dispatcher ---------------------------------------------------------------------------


def test_a_new_dispatcher_learns_what_runs_from_the_engines() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat(("a#7",)))
        assert conserved(queue).running == 1
        queue.heartbeat(beat(ended=(Ended("a#7", OUTCOME_FINISHED, FACTS),)))
        assert conserved(queue).finished == 1

    run(body)


def test_a_job_that_a_gateway_lost_before_does_not_count_as_running_where_it_was() -> None:
    async def body() -> None:
        queue = driver()
        a = Holder(queue, job("a"), again=True, lost=LostGrant("a#7"))
        await settle()
        queue.heartbeat(beat(("a#7",)))
        await settle()
        assert a.grant.grant_id != "a#7"
        await close(a)

    run(body)


def test_a_former_dispatcher_s_grant_that_is_lost_is_granted_anew() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat(("a#7",)))
        a = Holder(queue, job("a"), again=True, lost=LostGrant("a#7"))
        await settle()
        queue.heartbeat(beat())
        await settle()
        assert a.grant.engine_id == "e"
        await close(a)

    run(body)


def test_an_end_told_by_another_engine_than_the_granted_one_changes_nothing() -> None:
    async def body() -> None:
        queue = driver()
        queue.heartbeat(beat())
        (a,) = await hold(queue, "a")
        queue.heartbeat(beat(ended=(Ended("a#1", OUTCOME_FINISHED, FACTS),), engine_id="f"))
        assert conserved(queue).running == 1
        await close(a)

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
