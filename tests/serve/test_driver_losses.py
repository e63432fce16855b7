"""Lost calls, silent and closing engines, and a dispatcher that begins anew: nothing is lost, and what is
gone stays gone."""

from __future__ import annotations

import asyncio

from serve.driver import (
    CLOSED_KEPT,
)
from serve.messages import (
    OUTCOME_CANCELLED,
    OUTCOME_FINISHED,
    Acknowledged,
    Closing,
    Ended,
    LostGrant,
    Refusal,
)
from tests.serve.drivers import (
    CLOSED_S,
    SUSPECTED_S,
    Holder,
    beat,
    close,
    conserved,
    driver,
    finished,
    hold,
    job,
)
from tests.serve.fakes import FACTS
from tests.serve.virtual_time import run, settle

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
