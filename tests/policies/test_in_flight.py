"""Running jobs that would be late are lowered one by one, each as little as its deadline asks."""

from __future__ import annotations

from policies import (
    Command,
    DeadlineAware,
    Dispatcher,
    EngineProgressed,
    EngineUp,
    ExitRules,
    Job,
    JobArrived,
    LowerJob,
    Policy,
    Progress,
    StartJob,
)
from tests.policies.fleets import BOTH, COSTS, FULL, HALF, LADDER

# The slow pool: a step of n jobs takes 1 + n seconds, encoding 1, decoding 2.
ALONE_S = 43.0


def make(exits: ExitRules | None = None, places: int = 4) -> Dispatcher:
    controller = DeadlineAware(deepest=1, target_s=60.0)
    dispatcher = Dispatcher(Policy(LADDER, controller, exits or ExitRules()), costs=COSTS)
    dispatcher.handle(EngineUp(0.0, "e1", places, BOTH, pool="slow"))
    return dispatcher


def arrive(
    dispatcher: Dispatcher, name: str, now_s: float = 0.0, **facts: object
) -> tuple[Command, ...]:
    wishes: dict[str, object] = {"floor": LADDER.last} | facts
    return dispatcher.handle(JobArrived(now_s, Job(name, now_s, **wishes)))  # type: ignore[arg-type]


def lowered(commands: tuple[Command, ...]) -> list[LowerJob]:
    return [command for command in commands if isinstance(command, LowerJob)]


def test_a_job_gets_the_best_rung_that_meets_its_deadline() -> None:
    assert arrive(make(), "a", deadline_s=ALONE_S)[-1] == StartJob("a", "e1", FULL)
    assert arrive(make(), "a", deadline_s=ALONE_S - 1)[-1] == StartJob("a", "e1", HALF)


def test_a_newcomer_that_slows_the_others_has_them_lowered() -> None:
    dispatcher = make()
    arrive(dispatcher, "a", deadline_s=45.0)
    assert lowered(arrive(dispatcher, "b", deadline_s=1000.0)) == [LowerJob("a", "e1", 1)]


def test_a_job_that_is_in_time_is_left_alone() -> None:
    dispatcher = make()
    arrive(dispatcher, "a", deadline_s=100.0)
    assert lowered(arrive(dispatcher, "b", deadline_s=100.0)) == []


def test_a_job_is_told_of_a_rung_once() -> None:
    dispatcher = make()
    arrive(dispatcher, "a", deadline_s=45.0)
    arrive(dispatcher, "b", deadline_s=1000.0)
    assert lowered(arrive(dispatcher, "c", deadline_s=1000.0)) == []


def test_who_is_in_time_after_another_was_lowered_stays_as_it_is() -> None:
    """The third makes both late, to 82 s and 84 s; lowering one brings the other back to 74 s."""
    dispatcher = make()
    arrive(dispatcher, "a", deadline_s=70.0)
    arrive(dispatcher, "b", deadline_s=83.0)
    assert lowered(arrive(dispatcher, "c", deadline_s=1000.0)) == [LowerJob("a", "e1", 1)]


def test_progress_that_is_behind_has_a_job_lowered() -> None:
    dispatcher = make()
    arrive(dispatcher, "a", deadline_s=ALONE_S + 1)
    on_time = EngineProgressed(20.0, "e1", (Progress("a", 10, 20),))
    assert lowered(dispatcher.handle(on_time)) == []
    behind = EngineProgressed(30.0, "e1", (Progress("a", 10, 20),))
    assert lowered(dispatcher.handle(behind)) == [LowerJob("a", "e1", 1)]


def test_a_job_at_its_floor_and_a_fixed_job_stay_as_they_are() -> None:
    dispatcher = make()
    arrive(dispatcher, "floored", deadline_s=45.0, floor=0)
    arrive(dispatcher, "fixed", deadline_s=45.0, steps=20, fixed=True)
    assert lowered(arrive(dispatcher, "b", deadline_s=1000.0)) == []


def test_a_server_that_binds_at_start_lowers_nobody() -> None:
    dispatcher = make(ExitRules("keep"))
    arrive(dispatcher, "a", deadline_s=45.0)
    assert lowered(arrive(dispatcher, "b", deadline_s=1000.0)) == []
