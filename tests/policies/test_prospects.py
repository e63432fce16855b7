"""What can still be in time is told from what cannot, by the engines that are up."""

from __future__ import annotations

import pytest

from policies import (
    Admission,
    AdmitJob,
    Command,
    Controller,
    Dispatcher,
    DropJob,
    EngineDown,
    EngineUp,
    Hysteresis,
    Job,
    JobArrived,
    Policy,
    RejectJob,
    StartJob,
    Static,
    Ticked,
)
from tests.policies.fleets import BOTH, COSTS, FULL, LADDER

# The slow pool with one place: a step of full takes 2 s, encoding 1, decoding 2. So a whole run
# takes 43 s, one of 10 steps 23 s, and 4 steps of turbo 3.8 s; on the fast pool half of that.
RUN_S = 43.0


def make(controller: Controller | None = None) -> Dispatcher:
    policy = Policy(LADDER, controller or Static(), admission=Admission(20, refuse_hopeless=True))
    return Dispatcher(policy, costs=COSTS)


def up(
    dispatcher: Dispatcher,
    name: str,
    now_s: float = 0.0,
    variants: frozenset[str] = BOTH,
    *,
    pool: str = "slow",
) -> tuple[Command, ...]:
    return dispatcher.handle(EngineUp(now_s, name, 1, variants, pool=pool))


def arrive(
    dispatcher: Dispatcher,
    name: str,
    deadline_s: float | None,
    *,
    now_s: float = 0.0,
    variant: str | None = None,
) -> tuple[Command, ...]:
    job = Job(name, now_s, LADDER.last, variant, deadline_s=deadline_s)
    return dispatcher.handle(JobArrived(now_s, job))


def test_who_can_be_in_time_to_the_second_is_let_in() -> None:
    dispatcher = make()
    up(dispatcher, "e1")
    assert arrive(dispatcher, "late", RUN_S - 0.001) == (RejectJob("late", "hopeless", None),)
    arrive(dispatcher, "first", None)
    assert arrive(dispatcher, "second", 2 * RUN_S + 0.001) == (AdmitJob("second"),)
    assert arrive(dispatcher, "third", 3 * RUN_S - 0.001)[0] == RejectJob("third", "hopeless", None)


def test_a_waiting_job_is_dropped_when_its_run_no_longer_fits() -> None:
    dispatcher = make()
    up(dispatcher, "e1")
    arrive(dispatcher, "first", None)
    arrive(dispatcher, "second", 100.0)
    assert dispatcher.next_deadline_s() == pytest.approx(100.0 - RUN_S)
    assert dispatcher.handle(Ticked(56.9)) == ()
    assert dispatcher.handle(Ticked(57.1)) == (DropJob("second", "hopeless"),)


def test_a_job_is_not_hopeless_while_the_engines_that_host_its_variant_are_away() -> None:
    dispatcher = make()
    up(dispatcher, "e1", variants=frozenset({"turbo"}))
    assert arrive(dispatcher, "a", 100.0, variant="full") == (AdmitJob("a"),)
    assert dispatcher.next_deadline_s() == 100.0
    assert dispatcher.handle(Ticked(100.0)) == (DropJob("a", "expired"),)


def test_a_job_that_is_lost_with_its_pool_waits_for_the_pool() -> None:
    dispatcher = make()
    up(dispatcher, "e1", variants=frozenset({"full"}))
    up(dispatcher, "e2", variants=frozenset({"turbo"}))
    arrive(dispatcher, "a", 100.0, variant="full")
    assert dispatcher.handle(EngineDown(1.0, "e1")) == ()
    assert up(dispatcher, "e1", 2.0) == (StartJob("a", "e1", FULL),)


def test_a_quicker_engine_gives_a_waiting_job_more_time() -> None:
    dispatcher = make()
    up(dispatcher, "e1")
    arrive(dispatcher, "first", None)
    arrive(dispatcher, "second", 100.0)
    arrive(dispatcher, "third", 100.0 + RUN_S)
    up(dispatcher, "e2", 1.0, pool="fast")  # takes the second
    assert dispatcher.next_deadline_s() == pytest.approx(100.0 + RUN_S / 2)
    dispatcher.handle(EngineDown(2.0, "e2"))
    assert dispatcher.next_deadline_s() == pytest.approx(100.0 - RUN_S)


def test_engines_below_the_controllers_reach_count_by_what_their_jobs_end_up_with() -> None:
    """Only turbo is up, and the controller stays at the best rung: everybody gets turbo."""
    dispatcher = make(Static(0))
    up(dispatcher, "e1", variants=frozenset({"turbo"}))
    arrive(dispatcher, "first", None)
    assert arrive(dispatcher, "second", 8.0)[0] == AdmitJob("second")


def test_engines_of_unlike_pools_drain_the_line_together() -> None:
    dispatcher = make(Hysteresis.threshold((50, 60)))
    up(dispatcher, "e1", variants=frozenset({"full"}))
    up(dispatcher, "e2", variants=frozenset({"turbo"}))
    arrive(dispatcher, "first", None, variant="full")
    arrive(dispatcher, "other", None, variant="turbo")
    # At 10 steps every 23 s and turbo every 3.8 s, three jobs are gone after 9.8 s.
    for number in range(2):
        arrive(dispatcher, f"job{number}", None)
    assert arrive(dispatcher, "in time", 9.8 + 3.8 + 0.1)[0] == AdmitJob("in time")
    late = arrive(dispatcher, "too late", 13.0 + 3.8)
    assert late == (RejectJob("too late", "hopeless", None),)
