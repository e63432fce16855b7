"""Policies by name: every name builds what it says, and every mistake is told in one sentence."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from policies.admission import Admission
from policies.building import (
    TIERS,
    ControllerKind,
    OrderName,
    RoutingName,
    admission_from,
    controller_from,
    exits_from,
    hold_s_of,
    ladder_from,
    order_from,
    policy_from,
    routing_from,
    weighs_prices,
)
from policies.controllers import (
    BurstAhead,
    Controller,
    DeadlineAware,
    DecisionTable,
    Hysteresis,
    LoadProportional,
    QualityBudget,
    RateBand,
    Static,
)
from policies.nouns import Rung
from policies.orders import EarliestDeadline, FairShare, Fifo, Order, ShortestWork, Tiers
from policies.policy import Policy
from policies.routing import (
    BestQuality,
    Cheapest,
    LeastCompletion,
    RoundRobin,
    Routing,
    ShortestQueue,
    TwoChoices,
    Uniform,
    WithinBudget,
)

RUNGS = [
    {"variant": "full", "steps": 25, "quality": "high", "score": 1.0},
    {"variant": "full", "steps": 10, "quality": "medium", "guidance_share": 0.5, "score": 0.9},
    {"variant": "turbo", "steps": 4, "quality": "low", "replannable": False, "score": 0.7},
]
LADDER = ladder_from(RUNGS)
PRESSURE = {"enter": [2, 6], "leave": [0, 2], "min_hold_s": 0.5}
HYSTERESIS = Hysteresis((2, 6), (0, 2), 0.5)
TABLE = {
    "version": 1,
    "kind": "table",
    "bands": [{"below_per_s": None, "rungs": [[0, 1], [0, 1]]}],
}
SECTIONS: list[tuple[dict[str, Any], Controller]] = [
    ({"kind": "static"}, Static()),
    ({"kind": "static", "rung": 2}, Static(2)),
    ({"kind": "threshold", "enter": [2, 6]}, Hysteresis((2, 6), (1, 5))),
    ({"kind": "hysteresis", **PRESSURE}, HYSTERESIS),
    ({"kind": "hysteresis", "enter": [2], "leave": [0]}, Hysteresis((2,), (0,))),
    ({"kind": "load_proportional", "target_s": 2.0}, LoadProportional(2.0, 2)),
    (
        {"kind": "load_proportional", "target_s": 2.0, "hold_s": 1.0, "deepest": 1},
        LoadProportional(2.0, 1, 1.0),
    ),
    ({"kind": "deadline_aware", "target_s": 2.0}, DeadlineAware(2, 2.0, drain_s=1.0)),
    (
        {"kind": "deadline_aware", "target_s": 2.0, "margin_s": 0.1, "share": 0.5, "drain_s": 0.7}
        | {"deepest": 1},
        DeadlineAware(1, 2.0, 0.1, 0.5, 0.7),
    ),
    (
        {"kind": "quality_budget", "target_score": 0.95, **PRESSURE},
        QualityBudget(HYSTERESIS, (1.0, 0.9, 0.7), 0.95),
    ),
    (
        {"kind": "cost_optimal", "table": "thresholds.json"},
        DecisionTable((RateBand(float("inf"), ((0, 1), (0, 1))),)),
    ),
    ({"kind": "burst_ahead", "horizon_s": 3.0, **PRESSURE}, BurstAhead(HYSTERESIS, 3.0)),
]


def text_of(name: str) -> str:
    """The one file there is."""
    if name != "thresholds.json":
        raise FileNotFoundError(2, "No such file or directory")
    return json.dumps(TABLE)


def controller(**section: Any) -> Controller:
    return controller_from(section, LADDER, text_of)


def test_a_ladder_takes_every_key_of_its_rungs() -> None:
    assert LADDER.rungs == (
        Rung("full", 25, "high", score=1.0),
        Rung("full", 10, "medium", guidance_share=0.5, score=0.9),
        Rung("turbo", 4, "low", replannable=False, score=0.7),
    )


@pytest.mark.parametrize(("section", "built"), SECTIONS, ids=lambda one: str(type(one).__name__))
def test_each_kind_of_controller_is_built_from_its_keys(
    section: dict[str, Any], built: Controller
) -> None:
    assert controller(**section) == built


def test_every_kind_is_tried_here() -> None:
    assert {section["kind"] for section, _ in SECTIONS} == set(get_args(ControllerKind))


def test_a_key_that_is_none_counts_as_left_out() -> None:
    assert controller(kind="static", enter=None, rung=None) == Static()
    assert order_from({"order": "fifo", "tiers": None}) == Fifo()
    assert routing_from({"routing": None, "price_max": None}) == ShortestQueue()
    assert admission_from({"tenant_max": None}) == Admission()


@pytest.mark.parametrize("section", [section for section, _ in SECTIONS], ids=str)
def test_a_key_of_another_kind_is_refused(section: dict[str, Any]) -> None:
    foreign = "rung" if section["kind"] != "static" else "enter"
    with pytest.raises(ValueError, match=f"kind {section['kind']} takes .*; drop {foreign}$"):
        controller(**section, **{foreign: 1})


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"kind": "psychic"}, "kind 'psychic' is unknown; use one of static, threshold"),
        ({"kind": "hysteresis", "enter": [2]}, "kind hysteresis needs leave"),
        ({"kind": "threshold"}, "needs enter"),
        ({"kind": "load_proportional"}, "needs target_s"),
        ({"kind": "deadline_aware"}, "needs target_s"),
        ({"kind": "quality_budget", **PRESSURE}, "needs target_score"),
        ({"kind": "burst_ahead", "horizon_s": 1.0}, "needs enter, leave"),
        ({"kind": "cost_optimal"}, "needs table"),
        ({"kind": "cost_optimal", "table": "x"}, r"table x: it cannot be read \(No such file"),
        ({"kind": "hysteresis", "enter": [2], "leave": [2]}, "below its enter threshold"),
    ],
)
def test_what_makes_no_controller_says_why(section: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        controller(**section)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no JSON", "table t: it is not JSON"),
        ("[]", "table t: .* must be a JSON object"),
        (json.dumps({**TABLE, "kind": "split"}), "table t: .* where 'table' is needed"),
    ],
)
def test_a_file_that_is_no_table_says_so(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        controller_from({"kind": "cost_optimal", "table": "t"}, LADDER, lambda name: text)


def test_a_budget_of_quality_needs_a_score_on_every_rung() -> None:
    bare = ladder_from([{**rung, "score": None} for rung in RUNGS])
    section = {"kind": "quality_budget", "target_score": 0.9, **PRESSURE}
    with pytest.raises(ValueError, match="rung full@25 has no score"):
        controller_from(section, bare, text_of)


def test_what_a_lower_rung_does_is_read_beside_the_kind() -> None:
    assert exits_from({"kind": "static"}, LADDER).on_lower == "replan"
    assert exits_from({"apply": "at_start"}, LADDER).on_lower == "keep"
    rules = exits_from({"apply": "finish_now", "finish_from": 0.6}, LADDER)
    assert (rules.on_lower, rules.finish_from) == ("finish", 0.6)
    assert exits_from({"apply": "finish_now"}, LADDER).finish_from == 0.8
    with pytest.raises(ValueError, match="must be one of at_start, in_flight"):
        exits_from({"apply": "soon"}, LADDER)
    with pytest.raises(ValueError, match="belongs to apply: finish_now"):
        exits_from({"apply": "in_flight", "finish_from": 0.6}, LADDER)


@pytest.mark.parametrize(
    ("name", "built"),
    [
        ("fifo", Fifo()),
        ("deadline", EarliestDeadline()),
        ("shortest", ShortestWork()),
        ("tiers", Tiers(TIERS)),
        ("fair", FairShare()),
    ],
)
def test_each_order_is_built_by_its_name(name: str, built: Order) -> None:
    assert name in get_args(OrderName)
    assert order_from({"order": name}) == built


def test_tiers_that_are_not_named_keep_their_handicap() -> None:
    order = order_from({"order": "tiers", "tiers": {"flex": 60.0, "default": None}})
    assert order == Tiers({"priority": 0.0, "default": 5.0, "flex": 60.0})


def test_an_order_that_cannot_be_says_why() -> None:
    with pytest.raises(ValueError, match="order 'lifo' is unknown; use one of fifo, deadline"):
        order_from({"order": "lifo"})
    with pytest.raises(ValueError, match="tiers belong to order: tiers"):
        order_from({"tiers": {"flex": 60.0}})


@pytest.mark.parametrize(
    ("name", "built"),
    [
        ("random", Uniform()),
        ("round_robin", RoundRobin()),
        ("shortest_queue", ShortestQueue()),
        ("two_choices", TwoChoices()),
        ("least_completion", LeastCompletion()),
        ("cheapest", Cheapest()),
        ("best_quality", BestQuality()),
        ("within_budget", WithinBudget(0.01)),
    ],
)
def test_each_routing_is_built_by_its_name(name: str, built: Routing) -> None:
    section = {"routing": name} | ({"price_max": 0.01} if name == "within_budget" else {})
    assert name in get_args(RoutingName)
    assert routing_from(section) == built
    assert weighs_prices(built) == (name in ("cheapest", "within_budget"))


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"routing": "telepathy"}, "routing 'telepathy' is unknown; use one of random"),
        ({"routing": "within_budget"}, "needs price_max"),
        ({"routing": "cheapest", "price_max": 0.1}, "price_max belongs to routing: within_budget"),
        ({"price_max": 0.1}, "price_max belongs to routing: within_budget"),
    ],
)
def test_a_routing_that_cannot_be_says_why(section: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        routing_from(section)


def test_bounds_on_the_line_are_read() -> None:
    keys = {"max_waiting": 7, "tenant_max": 2, "refuse_hopeless": True}
    assert admission_from({**keys, "claim_s": 30}) == Admission(7, 2, True)


def test_the_hold_is_the_controller_s_own() -> None:
    assert hold_s_of({"kind": "hysteresis", **PRESSURE}) == 0.5
    assert hold_s_of({"kind": "load_proportional", "target_s": 1.0, "hold_s": 2.0}) == 2.0
    assert hold_s_of({"kind": "static"}) == 0.0


def test_a_configuration_becomes_one_policy() -> None:
    content = {
        "ladder": RUNGS,
        "controller": {"kind": "hysteresis", "apply": "at_start", **PRESSURE},
        "dispatcher": {"order": "fair", "routing": "random", "max_waiting": 9, "seed": 4},
    }
    exits = exits_from({"apply": "at_start"}, LADDER)
    built = Policy(LADDER, HYSTERESIS, exits, FairShare(), Uniform(), Admission(9))
    assert policy_from(content, text_of) == built


def test_without_a_dispatcher_s_section_its_defaults_hold() -> None:
    policy = policy_from({"ladder": RUNGS, "controller": {"kind": "static"}}, text_of)
    assert policy == Policy(LADDER, exits=exits_from({}, LADDER))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"ladder": RUNGS[::-1]}, "^ladder: .* order the ladder"),
        ({"controller": {"kind": "psychic"}}, "^controller: kind 'psychic'"),
        ({"controller": {"kind": "static", "apply": "soon"}}, "^controller: apply must be"),
        ({"controller": {"kind": "static", "rung": 3}}, "^controller: .* rung 3"),
        ({"dispatcher": {"order": "lifo"}}, "^dispatcher: order 'lifo'"),
        ({"dispatcher": {"routing": "telepathy"}}, "^dispatcher: routing 'telepathy'"),
        ({"dispatcher": {"max_waiting": 0}}, "^dispatcher: max_waiting 0"),
    ],
)
def test_a_fault_begins_with_the_section_that_has_it(changes: dict[str, Any], told: str) -> None:
    content = {"ladder": RUNGS, "controller": {"kind": "static"}, **changes}
    with pytest.raises(ValueError, match=told):
        policy_from(content, text_of)
