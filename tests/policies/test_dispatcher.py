"""The dispatcher, one event at a time. Its invariants are in test_dispatcher_properties."""

from __future__ import annotations

import pytest

from policies import (
    Admission,
    AdmitJob,
    AnnounceRung,
    Command,
    Dispatcher,
    DropJob,
    EngineDown,
    EngineUp,
    ExitRules,
    Hysteresis,
    Job,
    JobArrived,
    JobCancelled,
    JobFailed,
    JobFinished,
    Ladder,
    LoadProportional,
    Policy,
    RejectJob,
    Rung,
    Service,
    StartJob,
    Static,
    Ticked,
)

LADDER = Ladder(
    (
        Rung("full", 25, "high"),
        Rung("full", 10, "medium"),
        Rung("turbo", 4, "low", replannable=False),
    )
)
ALL = frozenset({"full", "turbo"})
FULL = Service("full", 25, 0)


def make(
    places: int = 2, *, max_waiting: int = 10, announces: bool = True, static: bool = False
) -> Dispatcher:
    controller = Static() if static else Hysteresis.threshold((2, 4))
    exits = ExitRules() if announces else ExitRules("keep")
    policy = Policy(LADDER, controller, exits, admission=Admission(max_waiting))
    dispatcher = Dispatcher(policy)
    if places:
        dispatcher.handle(EngineUp(0.0, "e1", places, ALL))
    return dispatcher


def arrive(
    dispatcher: Dispatcher, name: str, now_s: float = 1.0, **facts: object
) -> tuple[Command, ...]:
    """What comes of an arrival, but for the word that the job is admitted."""
    wishes: dict[str, object] = {"floor": LADDER.last} | facts
    commands = dispatcher.handle(JobArrived(now_s, Job(name, now_s, **wishes)))  # type: ignore[arg-type]
    return tuple(command for command in commands if command != AdmitJob(name))


def test_an_accepted_job_is_admitted_before_it_starts() -> None:
    dispatcher = make(places=1)
    job = Job("a", 1.0, LADDER.last)
    assert dispatcher.handle(JobArrived(1.0, job)) == (AdmitJob("a"), StartJob("a", "e1", FULL))
    waiting = Job("b", 1.0, LADDER.last)
    assert dispatcher.handle(JobArrived(1.0, waiting)) == (AdmitJob("b"),)


def test_a_job_starts_at_once_where_a_place_is_free() -> None:
    assert arrive(make(), "a") == (StartJob("a", "e1", FULL),)


def test_a_job_waits_until_a_place_comes_free() -> None:
    dispatcher = make(places=1)
    arrive(dispatcher, "a")
    assert arrive(dispatcher, "b") == ()
    assert dispatcher.handle(JobFinished(2.0, "a")) == (StartJob("b", "e1", FULL),)


@pytest.mark.parametrize("ending", [JobFinished, JobFailed, JobCancelled])
def test_every_ending_frees_the_place_once(
    ending: type[JobFinished] | type[JobFailed] | type[JobCancelled],
) -> None:
    dispatcher = make(places=1)
    for name in "abc":
        arrive(dispatcher, name)
    assert StartJob in [type(command) for command in dispatcher.handle(ending(2.0, "a"))]
    assert dispatcher.handle(ending(2.0, "a")) == ()
    assert dispatcher.counts().waiting == 1


def test_a_waiting_job_that_is_cancelled_never_starts() -> None:
    dispatcher = make(places=1, static=True)
    for name in "abc":
        arrive(dispatcher, name)
    dispatcher.handle(JobCancelled(2.0, "b"))
    assert dispatcher.handle(JobFinished(3.0, "a")) == (StartJob("c", "e1", FULL),)


def test_a_full_line_rejects_and_says_when_to_come_back() -> None:
    dispatcher = make(places=1, max_waiting=2, static=True)
    for name in "abc":
        arrive(dispatcher, name)
    assert arrive(dispatcher, "d") == (RejectJob("d", "queue_full", 1.0),)
    assert dispatcher.counts().rejected == 1


def test_the_time_to_come_back_follows_the_pace_of_finishing() -> None:
    dispatcher = make(places=1, max_waiting=4, static=True)
    for i in range(3):
        arrive(dispatcher, f"early{i}")
    for i in range(3):
        dispatcher.handle(JobFinished(3.0 + 2 * i, f"early{i}"))
    for i in range(5):
        arrive(dispatcher, f"late{i}", 8.0)
    # Three finished in the five seconds since the first of them; four wait.
    assert arrive(dispatcher, "late5", 8.0) == (RejectJob("late5", "queue_full", 7.0),)


def test_a_job_that_no_rung_can_serve_is_rejected_for_good() -> None:
    assert arrive(make(), "a", floor=0, variant="turbo") == (RejectJob("a", "no_rung", None),)


def test_the_rung_follows_the_depth_and_is_announced_once() -> None:
    dispatcher = make(places=1)
    dispatcher.handle(EngineUp(0.0, "e2", 1, ALL))
    for name in "abc":
        assert not any(isinstance(c, AnnounceRung) for c in arrive(dispatcher, name))
    assert arrive(dispatcher, "d") == (AnnounceRung(1),)
    assert arrive(dispatcher, "e") == ()


def test_a_start_is_served_at_the_depth_that_it_leaves_behind() -> None:
    dispatcher = make(places=1)
    for name in "abcd":
        arrive(dispatcher, name)
    assert dispatcher.rung == 1
    # c and d stay behind b: still at the threshold of 2. Then only d does.
    assert dispatcher.handle(JobFinished(2.0, "a")) == (
        StartJob("b", "e1", Service("full", 10, 1)),
    )
    assert dispatcher.handle(JobFinished(3.0, "b")) == (
        AnnounceRung(0),
        StartJob("c", "e1", FULL),
    )


def test_an_engine_that_binds_at_start_only_hears_of_no_rung() -> None:
    dispatcher = make(places=1, announces=False)
    commands = [arrive(dispatcher, name) for name in "abcd"]
    assert dispatcher.rung == 1
    assert commands[1:] == [(), (), ()]


def test_jobs_that_waited_for_an_engine_start_at_the_rung_that_their_line_asks_for() -> None:
    dispatcher = make(places=0)
    for name in "abcdef":
        arrive(dispatcher, name)
    assert dispatcher.rung == 2
    commands = dispatcher.handle(EngineUp(2.0, "e1", 2, ALL))
    assert [c for c in commands if isinstance(c, StartJob)] == [
        StartJob("a", "e1", Service("turbo", 4, 2)),
        StartJob("b", "e1", Service("turbo", 4, 2)),
    ]


def test_the_engine_with_most_free_places_is_chosen() -> None:
    dispatcher = make(places=2)
    dispatcher.handle(EngineUp(0.0, "e2", 3, ALL))
    starts = [command for name in "abcde" for command in arrive(dispatcher, name)]
    engines = [start.engine_id for start in starts if isinstance(start, StartJob)]
    assert engines == ["e2", "e1", "e2", "e1", "e2"]


def test_a_job_goes_only_to_an_engine_that_hosts_its_variant() -> None:
    dispatcher = make(places=0, static=True)
    dispatcher.handle(EngineUp(0.0, "reduced", 4, frozenset({"turbo"})))
    dispatcher.handle(EngineUp(0.0, "whole", 1, frozenset({"full"})))
    assert arrive(dispatcher, "a") == (StartJob("a", "whole", FULL),)
    assert arrive(dispatcher, "b", variant="full") == ()
    assert arrive(dispatcher, "c", variant="turbo") == (
        StartJob("c", "reduced", Service("turbo", 4, 2)),
    )


def test_free_places_that_nobody_in_line_can_use_do_not_hide_the_depth() -> None:
    dispatcher = make(places=0)
    dispatcher.handle(EngineUp(0.0, "whole", 4, frozenset({"full"})))
    for i in range(2):
        arrive(dispatcher, f"turbo{i}", variant="turbo")
    assert dispatcher.load().waiting == 2
    assert dispatcher.rung == 1


def test_a_rung_that_changes_opens_places_at_once() -> None:
    dispatcher = make(places=0)
    dispatcher.handle(EngineUp(0.0, "reduced", 3, frozenset({"turbo"})))
    dispatcher.handle(EngineUp(0.0, "whole", 1, frozenset({"full"})))
    for name in "abcd":
        arrive(dispatcher, name)
    assert dispatcher.counts().waiting == 3
    assert [c for c in arrive(dispatcher, "e") if isinstance(c, StartJob)] == [
        StartJob(name, "reduced", Service("turbo", 4, 2)) for name in "bcd"
    ]


def test_jobs_of_a_dead_engine_wait_again_in_their_old_order() -> None:
    dispatcher = make(places=2, static=True)
    for i, name in enumerate("abcd"):
        arrive(dispatcher, name, float(i))
    dispatcher.handle(EngineDown(5.0, "e1"))
    assert [job.job_id for job in dispatcher.waiting_jobs()] == ["a", "b", "c", "d"]
    assert dispatcher.counts().requeued == 2
    assert dispatcher.handle(EngineUp(6.0, "e2", 2, ALL)) == (
        StartJob("a", "e2", FULL),
        StartJob("b", "e2", FULL),
    )


def test_a_gateway_that_asks_again_changes_nothing_and_finds_its_grant() -> None:
    dispatcher = make(places=1, max_waiting=1, static=True)
    arrive(dispatcher, "a")
    arrive(dispatcher, "b")
    before = dispatcher.counts()
    for name in "ab":
        job = Job(name, 1.0, LADDER.last)
        assert StartJob not in map(type, dispatcher.handle(JobArrived(2.0, job, again=True)))
    assert dispatcher.counts() == before
    assert dispatcher.grant_of("a") == StartJob("a", "e1", FULL)
    assert dispatcher.grant_of("b") is None
    assert dispatcher.knows("b")
    assert not dispatcher.knows("c")


def test_a_job_lost_on_one_engine_only_is_started_again() -> None:
    dispatcher = make(places=1, static=True)
    arrive(dispatcher, "a")
    job = Job("a", 1.0, LADDER.last)
    assert dispatcher.handle(JobArrived(2.0, job, again=True, lost_engine="other")) == ()
    assert dispatcher.handle(JobArrived(2.0, job, again=True, lost_engine="e1")) == (
        StartJob("a", "e1", FULL),
    )


def test_a_job_taken_up_again_passes_the_bound_and_keeps_its_place() -> None:
    dispatcher = make(places=1, max_waiting=1, static=True)
    arrive(dispatcher, "a", 3.0)
    arrive(dispatcher, "b", 4.0)
    old = Job("old", 1.0, LADDER.last)
    assert StartJob not in map(type, dispatcher.handle(JobArrived(5.0, old, again=True)))
    assert [job.job_id for job in dispatcher.waiting_jobs()] == ["old", "b"]


def test_a_deadline_that_passes_while_waiting_expires_the_job() -> None:
    dispatcher = make(places=1, static=True)
    arrive(dispatcher, "a")
    arrive(dispatcher, "b", deadline_s=5.0)
    assert dispatcher.next_deadline_s() == 5.0
    assert dispatcher.handle(Ticked(5.0)) == (DropJob("b", "expired"),)
    assert dispatcher.handle(JobFinished(6.0, "a")) == ()


def test_a_deadline_that_passes_at_the_moment_of_a_free_place_still_expires() -> None:
    dispatcher = make(places=1, static=True)
    arrive(dispatcher, "a")
    arrive(dispatcher, "b", deadline_s=5.0)
    assert dispatcher.handle(JobFinished(5.0, "a")) == (DropJob("b", "expired"),)


def test_a_new_dispatcher_is_rebuilt_from_engines_and_gateways() -> None:
    dispatcher = make(places=0, static=True)
    dispatcher.handle(EngineUp(9.0, "e1", 2, ALL, running=("a", "b")))
    assert dispatcher.counts().running == 2
    for name in "ab":
        job = Job(name, 1.0, LADDER.last)
        assert StartJob not in map(type, dispatcher.handle(JobArrived(9.0, job, again=True)))
    assert dispatcher.handle(EngineDown(10.0, "e1")) == ()
    assert dispatcher.counts().waiting == 2


def test_a_job_known_by_its_id_alone_is_left_to_its_gateway_when_its_engine_dies() -> None:
    dispatcher = make(places=0)
    dispatcher.handle(EngineUp(9.0, "e1", 2, ALL, running=("a",)))
    dispatcher.handle(EngineDown(10.0, "e1"))
    assert dispatcher.counts().failed == 1
    dispatcher.handle(JobArrived(10.0, Job("a", 1.0, LADDER.last), again=True))
    assert dispatcher.counts().waiting == 1


def test_an_engine_that_reports_a_waiting_job_as_running_takes_it_out_of_the_line() -> None:
    dispatcher = make(places=0)
    arrive(dispatcher, "a")
    assert dispatcher.handle(EngineUp(2.0, "e1", 1, ALL, running=("a",))) == ()
    assert (dispatcher.counts().admitted, dispatcher.counts().running) == (1, 1)


def test_an_engine_that_comes_up_anew_keeps_what_it_names_and_loses_the_rest() -> None:
    dispatcher = make(places=2, static=True)
    arrive(dispatcher, "a")
    arrive(dispatcher, "b")
    commands = dispatcher.handle(EngineUp(2.0, "e1", 2, ALL, running=("b",)))
    assert commands == (StartJob("a", "e1", FULL),)
    assert dispatcher.engines()[0].running == ("b", "a")


def test_an_engine_that_names_a_job_granted_elsewhere_does_not_get_it_back() -> None:
    dispatcher = make(places=1, static=True)
    arrive(dispatcher, "a")
    dispatcher.handle(EngineUp(2.0, "e2", 1, ALL, running=("a",)))
    assert {e.engine_id: e.running for e in dispatcher.engines()} == {"e1": ("a",), "e2": ()}


def test_a_job_that_the_ladder_cannot_serve_runs_on_under_its_id_alone() -> None:
    dispatcher = make(0)
    dispatcher.handle(EngineUp(0.0, "e1", 1, ALL, ("a",)))
    stray = Job("a", 0.0, 0, variant="turbo")  # the ladder has changed since it was accepted
    assert dispatcher.handle(JobArrived(1.0, stray, again=True)) == ()
    assert dispatcher.handle(EngineDown(2.0, "e1")) == ()
    assert dispatcher.counts().failed == 1


def test_a_finish_that_arrives_after_its_engine_died_is_not_run_again() -> None:
    dispatcher = make(places=1)
    arrive(dispatcher, "a")
    dispatcher.handle(EngineDown(2.0, "e1"))
    dispatcher.handle(JobFinished(2.1, "a"))
    assert dispatcher.counts().finished == 1
    assert dispatcher.handle(EngineUp(3.0, "e1", 1, ALL)) == ()


def test_a_clock_set_back_counts_as_no_time_passing() -> None:
    dispatcher = make()
    dispatcher.handle(Ticked(10.0))
    dispatcher.handle(Ticked(4.0))
    assert dispatcher.load().now_s == 10.0


def test_rates_fall_while_nothing_happens() -> None:
    dispatcher = make()
    arrive(dispatcher, "a", 1.0)
    arrive(dispatcher, "b", 2.0)
    assert dispatcher.load().arrival_rate_per_s == 2.0
    assert dispatcher.load(5.0).arrival_rate_per_s == 0.5
    assert dispatcher.load(60.0).arrival_rate_per_s == 0.0


def test_news_of_unknown_engines_changes_nothing() -> None:
    assert make().handle(EngineDown(1.0, "nobody")) == ()


def test_a_controller_that_reaches_below_the_ladder_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer thresholds"):
        Policy(LADDER, Hysteresis.threshold((1, 2, 3)))
    with pytest.raises(ValueError, match="max_waiting"):
        Admission(0)
    with pytest.raises(ValueError, match="LoadProportional decides by a cost table"):
        Dispatcher(Policy(LADDER, LoadProportional(1.0, 2)))
    with pytest.raises(ValueError, match="places"):
        EngineUp(0.0, "e1", 0, ALL)
