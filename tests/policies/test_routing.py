"""Each routing picks the engine, and where it weighs rungs the rung, that it is named after."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest

from policies import (
    OBJECTIVES,
    BestQuality,
    Cheapest,
    LeastCompletion,
    RoundRobin,
    Routing,
    Service,
    ShortestQueue,
    TwoChoices,
    Uniform,
    WithinBudget,
)
from policies.fleet import Fleet
from policies.routing import Moment, offer
from tests.policies.fleets import FULL, HALF, TURBO, fleet_of, put, running

ALL_RUNGS = (FULL, HALF, TURBO)
EVERY_ROUTING: tuple[Routing, ...] = (
    Uniform(),
    RoundRobin(),
    ShortestQueue(),
    TwoChoices(),
    LeastCompletion(),
    Cheapest(),
    BestQuality(),
    WithinBudget(1e9),
)


def chosen(
    routing: Routing,
    fleet: Fleet,
    *services: Service,
    due_s: float = math.inf,
    draws: Random | None = None,
) -> tuple[str, Service] | None:
    found = routing.choose(services or (FULL,), Moment(fleet, 0.0, due_s, draws or Random(0)))
    return None if found is None else (found[0].engine_id, found[1])


@pytest.mark.parametrize("routing", EVERY_ROUTING, ids=lambda r: type(r).__name__)
def test_nobody_is_sent_where_there_is_no_place(routing: Routing) -> None:
    fleet = fleet_of("slow1", "fast1", places=1)
    put(fleet, "slow1", running("a"))
    assert chosen(routing, fleet, FULL) == ("fast1", FULL)
    put(fleet, "fast1", running("b"))
    assert chosen(routing, fleet, FULL) is None


def test_random_routing_gives_every_open_engine_the_same_chance() -> None:
    fleet = fleet_of("slow1", "slow2", "fast1")
    draws = Random(5)
    counts = Counter(chosen(Uniform(), fleet, draws=draws) for _ in range(3000))
    assert len(counts) == 3
    assert all(900 < number < 1100 for number in counts.values())  # 3.9 standard deviations


def test_round_robin_takes_engines_in_turn_over_all_groups() -> None:
    fleet = fleet_of("slow1", "fast1", "slow2", places=9)
    order = []
    for number in range(6):
        found = chosen(RoundRobin(), fleet)
        assert found is not None
        order.append(found[0])
        put(fleet, found[0], running(f"j{number}"))
    assert order == ["slow1", "fast1", "slow2"] * 2


def test_the_shortest_queue_is_joined() -> None:
    fleet = fleet_of("slow1", "fast1", places=4)
    put(fleet, "slow1", running("a"), running("b"))
    put(fleet, "fast1", running("c"))
    assert chosen(ShortestQueue(), fleet) == ("fast1", FULL)


def test_two_choices_take_the_emptier_of_two() -> None:
    fleet = fleet_of("slow1", "slow2", places=4)
    put(fleet, "slow1", running("a"))
    draws = Random(2)
    counts = Counter(chosen(TwoChoices(), fleet, draws=draws) for _ in range(2000))
    # The fuller one is taken only if it is drawn twice: a quarter of the time.
    assert counts["slow1", FULL] / 2000 == pytest.approx(0.25, abs=0.04)


def test_least_completion_prefers_the_fast_engine_until_it_is_crowded() -> None:
    fleet = fleet_of("slow1", "fast1", places=9)
    assert chosen(LeastCompletion(), fleet) == ("fast1", FULL)
    put(fleet, "fast1", *(running(f"j{i}") for i in range(6)))
    assert chosen(LeastCompletion(), fleet) == ("slow1", FULL)


def test_least_completion_looks_at_what_runs_and_not_at_how_many() -> None:
    fleet = fleet_of("slow1", "slow2", places=4)
    put(fleet, "slow1", running("a", done=19), running("b", done=19))
    put(fleet, "slow2", running("c"))
    assert chosen(LeastCompletion(), fleet) == ("slow1", FULL)


def test_the_cheapest_that_meets_the_deadline_is_taken() -> None:
    fleet = fleet_of("slow1")
    # Alone: full ends at 43 s, half at 23, turbo at 3.8.
    assert chosen(Cheapest(), fleet, *ALL_RUNGS, due_s=100.0) == ("slow1", TURBO)
    assert chosen(Cheapest(), fleet, FULL, HALF, due_s=100.0) == ("slow1", HALF)
    assert chosen(Cheapest(), fleet, FULL, HALF, due_s=1.0) == (
        "slow1",
        HALF,
    )  # all late: the first


def test_the_cheap_engine_is_taken_if_it_is_quick_enough() -> None:
    fleet = fleet_of_two_prices()
    assert chosen(Cheapest(), fleet, FULL, due_s=50.0) == ("slow1", FULL)
    assert chosen(Cheapest(), fleet, FULL, due_s=30.0) == ("fast1", FULL)


def fleet_of_two_prices() -> Fleet:
    """The fast engine is twice as fast and costs four times as much."""
    fleet = fleet_of("slow1", price_per_s=1.0)
    fleet.up("fast1", fleet.engines["slow1"].group.key._replace(pool="fast", price_per_s=4.0))
    return fleet


def test_the_best_quality_that_meets_the_deadline_is_taken() -> None:
    fleet = fleet_of("slow1", "fast1")
    assert chosen(BestQuality(), fleet, *ALL_RUNGS, due_s=50.0) == ("fast1", FULL)
    assert chosen(BestQuality(), fleet, *ALL_RUNGS, due_s=20.0) == ("fast1", HALF)
    assert chosen(BestQuality(), fleet, *ALL_RUNGS, due_s=1.0) == ("fast1", TURBO)
    assert chosen(BestQuality(), fleet, *ALL_RUNGS) == ("fast1", FULL)


def test_the_best_that_the_budget_buys_is_taken() -> None:
    fleet = fleet_of_two_prices()
    slow, fast = fleet.hosting("full")
    assert chosen(WithinBudget(fleet.price(fast, FULL)), fleet, *ALL_RUNGS) == ("fast1", FULL)
    assert chosen(WithinBudget(fleet.price(slow, FULL)), fleet, *ALL_RUNGS) == ("slow1", FULL)
    half = fleet.price(slow, HALF)
    assert chosen(WithinBudget(half), fleet, *ALL_RUNGS) == ("slow1", HALF)


def test_what_nobody_sells_within_the_budget_waits() -> None:
    fleet = fleet_of_two_prices()
    poor = WithinBudget(1e-6)
    assert chosen(poor, fleet, *ALL_RUNGS) is None
    (group, *_) = fleet.hosting(FULL.variant)
    assert not poor.affords(group, FULL, fleet)
    assert WithinBudget(1e6).affords(group, FULL, fleet)
    with pytest.raises(ValueError, match="price_max"):
        WithinBudget(0.0)


def test_an_offer_tells_the_end_and_the_price() -> None:
    fleet = fleet_of("slow1")
    told = offer(fleet.engines["slow1"], FULL, fleet, 7.0)
    assert told.engine_id == "slow1"
    assert told.completes_s == pytest.approx(50.0)
    assert told.price == fleet.price(fleet.engines["slow1"].group, FULL)


def test_every_objective_of_a_request_has_its_routing() -> None:
    assert {name: type(routing) for name, routing in OBJECTIVES.items()} == {
        "latency": LeastCompletion,
        "cost": Cheapest,
        "quality": BestQuality,
    }
