"""Order, routing and controller together: who starts next, where, and at which rung."""

from __future__ import annotations

import math

from policies import (
    AdmitJob,
    Cascade,
    CascadeBand,
    Command,
    Dispatcher,
    EngineDown,
    EngineUp,
    FairShare,
    Hysteresis,
    Job,
    JobArrived,
    JobFinished,
    LoadProportional,
    Policy,
    RedoJob,
    RejectJob,
    Routing,
    Service,
    ShortestWork,
    Split,
    SplitBand,
    StartJob,
    Static,
    WithinBudget,
)
from policies.controllers import Controller
from policies.orders import Fifo, Order
from tests.policies.fleets import BOTH, COSTS, FULL, HALF, LADDER, TURBO


def make(
    *pools: str,
    controller: Controller | None = None,
    order: Order | None = None,
    routing: Routing | None = None,
    places: int = 1,
) -> Dispatcher:
    policy = Policy(LADDER, controller or Static(), order=order or Fifo())
    if routing is not None:
        policy = Policy(LADDER, controller or Static(), order=order or Fifo(), routing=routing)
    dispatcher = Dispatcher(policy, costs=COSTS)
    for pool in pools:
        price_per_s = 4.0 if pool == "fast" else 1.0
        dispatcher.handle(EngineUp(0.0, pool, places, BOTH, pool=pool, price_per_s=price_per_s))
    return dispatcher


def arrive(
    dispatcher: Dispatcher, name: str, now_s: float = 0.0, **facts: object
) -> tuple[Command, ...]:
    wishes: dict[str, object] = {"floor": LADDER.last} | facts
    return dispatcher.handle(JobArrived(now_s, Job(name, now_s, **wishes)))  # type: ignore[arg-type]


def starts(commands: tuple[Command, ...]) -> list[tuple[str, str, Service]]:
    return [(c.job_id, c.engine_id, c.service) for c in commands if isinstance(c, StartJob)]


def test_the_order_decides_who_takes_a_place_that_comes_free() -> None:
    dispatcher = make("slow", order=ShortestWork())
    arrive(dispatcher, "a")
    arrive(dispatcher, "long", steps=20, fixed=True)
    arrive(dispatcher, "short", steps=3, fixed=True)
    assert starts(dispatcher.handle(JobFinished(1.0, "a")))[0][0] == "short"


def test_a_tenant_is_given_back_the_steps_that_an_early_exit_saved() -> None:
    dispatcher = make("slow", order=FairShare())
    arrive(dispatcher, "x1", tenant="x")
    for name in ("x2", "y1", "y2"):
        arrive(dispatcher, name, tenant=name[0])
    # x1 was charged 20 steps; y1 and x2 start level once it has used none of them.
    assert starts(dispatcher.handle(JobFinished(1.0, "x1", steps_run=0)))[0][0] == "x2"
    charged = make("slow", order=FairShare())
    arrive(charged, "x1", tenant="x")
    for name in ("x2", "y1", "y2"):
        arrive(charged, name, tenant=name[0])
    assert starts(charged.handle(JobFinished(1.0, "x1", steps_run=20)))[0][0] == "y1"


def test_a_tenant_does_not_pay_for_a_run_that_was_lost() -> None:
    dispatcher = make("slow", order=FairShare())
    arrive(dispatcher, "x1", tenant="x")
    arrive(dispatcher, "y1", tenant="y")
    arrive(dispatcher, "y2", tenant="y")
    dispatcher.handle(EngineDown(1.0, "slow"))
    up = EngineUp(2.0, "slow", 1, BOTH, pool="slow", price_per_s=1.0)
    assert starts(dispatcher.handle(up))[0][0] == "x1"


def test_a_job_that_its_engine_reports_keeps_the_rung_that_was_drawn_for_it() -> None:
    split = Split((SplitBand(math.inf, (0.0, 0.0, 1.0)),))
    dispatcher = make(controller=split)
    arrive(dispatcher, "a")
    dispatcher.handle(EngineUp(1.0, "slow", 1, BOTH, ("a",), pool="slow"))
    assert starts(dispatcher.handle(EngineUp(2.0, "slow", 1, BOTH, pool="slow"))) == [
        ("a", "slow", TURBO)
    ]


def test_a_request_is_routed_by_the_objective_that_it_names() -> None:
    for objective, engine, service in (
        (None, "slow", FULL),
        ("latency", "fast", FULL),
        ("cost", "slow", TURBO),
        ("quality", "fast", FULL),
    ):
        commands = arrive(make("slow", "fast"), "a", objective=objective, deadline_s=30.0)
        assert starts(commands) == [("a", engine, service)]


def test_rungs_are_weighed_from_the_controllers_down() -> None:
    commands = arrive(make("slow", controller=Static(1)), "a", objective="quality")
    assert starts(commands) == [("a", "slow", HALF)]


def test_a_job_whose_budget_is_too_small_for_what_is_free_waits_and_lets_others_pass() -> None:
    probe = make("slow", "fast", routing=WithinBudget(1e9))
    budget = probe._fleet.price(probe._fleet.hosting("full")[0], FULL)
    dispatcher = make("slow", "fast", routing=WithinBudget(budget))
    assert starts(arrive(dispatcher, "a", floor=0)) == [("a", "slow", FULL)]
    assert starts(arrive(dispatcher, "poor", floor=0)) == []
    assert starts(arrive(dispatcher, "hasty", floor=0, objective="latency")) == [
        ("hasty", "fast", FULL)
    ]
    assert starts(dispatcher.handle(JobFinished(1.0, "a"))) == [("poor", "slow", FULL)]


def test_a_budget_that_nobody_can_meet_is_told_at_once() -> None:
    dispatcher = make("slow", routing=WithinBudget(1e-9))
    assert arrive(dispatcher, "a") == (RejectJob("a", "no_rung", None),)


def test_a_budget_is_not_judged_by_a_rung_that_may_pass() -> None:
    """At the controller's rung only the dear engine has anything; at a better one the cheap has."""
    dispatcher = Dispatcher(Policy(LADDER, Static(2), routing=WithinBudget(100.0)), costs=COSTS)
    dispatcher.handle(EngineUp(0.0, "cheap", 1, frozenset({"full"}), pool="slow", price_per_s=1.0))
    dispatcher.handle(EngineUp(0.0, "dear", 1, frozenset({"turbo"}), pool="slow", price_per_s=1e3))
    assert arrive(dispatcher, "a") == (AdmitJob("a"),)


def test_while_nobody_hosts_anything_for_a_job_its_budget_is_not_judged() -> None:
    dispatcher = Dispatcher(Policy(LADDER, routing=WithinBudget(1e-9)), costs=COSTS)
    dispatcher.handle(EngineUp(0.0, "e", 1, frozenset({"turbo"}), pool="slow", price_per_s=1.0))
    assert arrive(dispatcher, "a", variant="full") == (AdmitJob("a"),)
    assert arrive(dispatcher, "b", variant="turbo") == (RejectJob("b", "no_rung", None),)


def test_places_beyond_the_budget_do_not_hide_the_depth() -> None:
    probe = make("slow", "fast", routing=WithinBudget(1e9))
    budget = probe._fleet.price(probe._fleet.hosting("full")[0], FULL)
    dispatcher = make(
        "slow", "fast", routing=WithinBudget(budget), controller=Hysteresis.threshold((1,))
    )
    arrive(dispatcher, "a", floor=0)
    assert dispatcher.rung == 0
    arrive(dispatcher, "poor", floor=0)  # it waits, though the fast engine is free
    assert dispatcher.rung == 1


def test_a_split_draws_a_rung_for_each_job_that_arrives() -> None:
    split = Split((SplitBand(math.inf, (0.0, 0.0, 1.0)),))
    dispatcher = make("slow", controller=split)
    assert starts(arrive(dispatcher, "a")) == [("a", "slow", TURBO)]
    assert starts(arrive(dispatcher, "b", floor=0)) == []
    assert starts(dispatcher.handle(JobFinished(1.0, "a"))) == [("b", "slow", FULL)]


def test_a_split_follows_its_shares() -> None:
    split = Split((SplitBand(math.inf, (0.25, 0.75, 0.0)),))
    dispatcher = make("slow", controller=split, places=1000)
    services = [starts(arrive(dispatcher, f"j{i}"))[0][2] for i in range(1000)]
    assert 210 < services.count(FULL) < 290  # 250, within 2.9 standard deviations
    assert services.count(FULL) + services.count(HALF) == 1000


def test_a_cascade_does_over_what_its_discriminator_doubts() -> None:
    cascade = Cascade(first=2, second=0, bands=(CascadeBand(math.inf, 0.5),))
    dispatcher = make("slow", controller=cascade)
    assert starts(arrive(dispatcher, "a")) == [("a", "slow", TURBO)]
    arrive(dispatcher, "b", 1.0)
    commands = dispatcher.handle(JobFinished(2.0, "a", confidence=0.4))
    assert RedoJob("a") in commands
    assert starts(commands) == [("a", "slow", FULL)]  # at its old place, before b
    done = dispatcher.handle(JobFinished(3.0, "a", confidence=0.1))
    assert RedoJob("a") not in done
    assert dispatcher.counts().redone == 1
    sure = dispatcher.handle(JobFinished(4.0, "b", confidence=0.6))
    assert RedoJob("b") not in sure
    assert dispatcher.counts().finished == 2


def test_a_cascade_does_nothing_over_twice() -> None:
    """The second run counts as a lower rung than the cascade's second: its client wished for it."""
    cascade = Cascade(first=2, second=0, bands=(CascadeBand(math.inf, 0.5),))
    dispatcher = make("slow", controller=cascade)
    arrive(dispatcher, "a", steps=10)
    again = starts(dispatcher.handle(JobFinished(1.0, "a", confidence=0.4)))
    assert again == [("a", "slow", HALF)]
    assert dispatcher.handle(JobFinished(2.0, "a", confidence=0.4)) == ()
    assert dispatcher.counts().finished == 1


def test_a_cascade_keeps_a_doubtful_picture_if_the_time_is_up() -> None:
    cascade = Cascade(first=2, second=0, bands=(CascadeBand(math.inf, 0.5),))
    dispatcher = make("slow", controller=cascade)
    arrive(dispatcher, "a", deadline_s=5.0)
    assert dispatcher.handle(JobFinished(5.0, "a", confidence=0.4)) == ()
    assert dispatcher.counts().finished == 1


def test_a_cascade_leaves_a_client_the_variant_that_it_named() -> None:
    cascade = Cascade(first=2, second=0, bands=(CascadeBand(math.inf, 0.5),))
    dispatcher = make("slow", controller=cascade)
    arrive(dispatcher, "a", variant="turbo")
    assert RedoJob("a") not in dispatcher.handle(JobFinished(2.0, "a", confidence=0.0))


def test_the_controller_is_told_what_the_engines_can_do_at_each_rung() -> None:
    dispatcher = make("slow", "fast", controller=LoadProportional(1000.0, 2), places=2)
    load = dispatcher.load()
    assert load.places == 4
    assert load.capacity_per_s[0] < load.capacity_per_s[1] < load.capacity_per_s[2]


def test_the_controller_is_told_what_was_delivered() -> None:
    dispatcher = make("slow", places=3)
    for name in "abc":
        arrive(dispatcher, name)
    dispatcher.handle(JobFinished(1.0, "a"))
    dispatcher.handle(JobFinished(1.0, "b", rung=1))
    load = dispatcher.load()
    assert (load.score_sum, load.scored) == (1.9, 2)
