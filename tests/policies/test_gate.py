"""Who may wait: bounds on the line and on tenants, and deadlines that cannot be met."""

from __future__ import annotations

import pytest

from policies import (
    Admission,
    Command,
    Dispatcher,
    DropJob,
    EarliestDeadline,
    EngineUp,
    ExitRules,
    Hysteresis,
    Job,
    JobArrived,
    JobFinished,
    Order,
    Policy,
    RejectJob,
    StartJob,
    Static,
    Ticked,
)
from policies.orders import Fifo
from tests.policies.fleets import BOTH, COSTS, LADDER


def make(
    admission: Admission, *, static: bool = True, places: int = 1, order: Order | None = None
) -> Dispatcher:
    controller = Static() if static else Hysteresis.threshold((3, 6))
    policy = Policy(LADDER, controller, ExitRules("keep"), order or Fifo(), admission=admission)
    dispatcher = Dispatcher(policy, costs=COSTS)
    dispatcher.handle(EngineUp(0.0, "e1", places, BOTH, pool="slow"))
    return dispatcher


def arrive(dispatcher: Dispatcher, name: str, **facts: object) -> tuple[Command, ...]:
    wishes: dict[str, object] = {"floor": LADDER.last} | facts
    job = Job(name, 0.0, **wishes)  # type: ignore[arg-type]
    return dispatcher.handle(JobArrived(0.0, job))


def refused(commands: tuple[Command, ...]) -> list[str]:
    return [command.reason for command in commands if isinstance(command, RejectJob)]


def test_a_tenant_has_no_more_jobs_in_the_system_than_its_share() -> None:
    dispatcher = make(Admission(10, tenant_max=2))
    assert [refused(arrive(dispatcher, n, tenant="a")) for n in "xyz"] == [[], [], ["tenant_full"]]
    assert refused(arrive(dispatcher, "other", tenant="b")) == []
    dispatcher.handle(JobFinished(1.0, "x"))
    assert refused(arrive(dispatcher, "z", tenant="a")) == []


def test_a_job_taken_up_again_is_not_held_against_its_tenant() -> None:
    dispatcher = make(Admission(10, tenant_max=1))
    arrive(dispatcher, "x", tenant="a")
    again = Job("y", 0.0, LADDER.last, tenant="a")
    assert refused(dispatcher.handle(JobArrived(0.0, again, again=True))) == []


# One place of the slow pool: a full run takes 1 + 20 * 2 + 2 = 43 s, turbo's 1 + 4 * 0.2 + 2 = 3.8 s.
def test_a_deadline_shorter_than_the_run_is_refused_at_once() -> None:
    dispatcher = make(Admission(10, refuse_hopeless=True))
    assert refused(arrive(dispatcher, "a", deadline_s=42.0)) == ["hopeless"]
    assert refused(arrive(dispatcher, "b", deadline_s=44.0)) == []


def test_a_controller_that_can_go_deeper_gives_more_deadlines_hope() -> None:
    dispatcher = make(Admission(10, refuse_hopeless=True), static=False)
    assert refused(arrive(dispatcher, "a", deadline_s=4.0)) == []
    assert refused(arrive(dispatcher, "b", deadline_s=3.7)) == ["hopeless"]


def test_a_floor_takes_that_hope_away() -> None:
    dispatcher = make(Admission(10, refuse_hopeless=True), static=False)
    assert refused(arrive(dispatcher, "a", deadline_s=4.0, floor=0)) == ["hopeless"]


def test_the_line_ahead_counts() -> None:
    dispatcher = make(Admission(10, refuse_hopeless=True))
    arrive(dispatcher, "a")
    arrive(dispatcher, "b")
    # a runs for 43 s, then b, then the newcomer.
    assert refused(arrive(dispatcher, "c", deadline_s=128.0)) == ["hopeless"]
    assert refused(arrive(dispatcher, "d", deadline_s=130.0)) == []


def test_by_earliest_deadline_only_the_more_urgent_are_ahead() -> None:
    dispatcher = make(Admission(10, refuse_hopeless=True), order=EarliestDeadline())
    arrive(dispatcher, "a")
    arrive(dispatcher, "b", deadline_s=1000.0)
    assert refused(arrive(dispatcher, "c", deadline_s=90.0)) == []


def test_a_waiting_job_is_dropped_once_its_deadline_cannot_be_met() -> None:
    dispatcher = make(Admission(10, refuse_hopeless=True))
    arrive(dispatcher, "a")
    arrive(dispatcher, "b", deadline_s=100.0)
    assert dispatcher.next_deadline_s() == pytest.approx(57.0)
    assert dispatcher.handle(Ticked(56.9)) == ()
    assert dispatcher.handle(Ticked(57.1)) == (DropJob("b", "hopeless"),)
    assert dispatcher.counts().hopeless == 1


def test_without_that_admission_a_hopeless_job_runs() -> None:
    dispatcher = make(Admission(10))
    assert StartJob in [type(command) for command in arrive(dispatcher, "a", deadline_s=1.0)]


def test_with_no_engine_up_nothing_is_known_to_be_hopeless() -> None:
    policy = Policy(LADDER, admission=Admission(10, refuse_hopeless=True))
    dispatcher = Dispatcher(policy, costs=COSTS)
    assert refused(arrive(dispatcher, "a", deadline_s=0.5)) == []
