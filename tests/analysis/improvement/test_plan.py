"""Rounds: the same arrivals for all systems, in an order drawn anew."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from analysis.improvement.plan import LOADS, SYSTEMS, Plan
from analysis.server_config import ConfigError

PLAN = Plan(Path("runs"), rounds=6)


def test_every_round_has_every_load_on_every_system_once() -> None:
    turns = PLAN.turns()
    assert Counter(turn.round for turn in turns) == dict.fromkeys(
        range(1, 7), len(LOADS) * len(SYSTEMS)
    )
    assert len(set(turns)) == len({turn.name for turn in turns}) == len(turns)


def test_a_round_is_over_before_the_next_and_a_load_before_the_other() -> None:
    turns = PLAN.turns()
    assert [turn.round for turn in turns] == sorted(turn.round for turn in turns)
    for first in range(0, len(turns), len(SYSTEMS)):
        assert len({turn.load for turn in turns[first : first + len(SYSTEMS)]}) == 1


def test_the_order_of_systems_and_of_loads_is_drawn_for_each_round() -> None:
    turns = PLAN.turns()
    triples = [turns[first : first + 3] for first in range(0, len(turns), 3)]
    assert len({tuple(turn.system for turn in triple) for triple in triples}) > 2
    assert len({triple[0].load for triple in triples[::2]}) == 2
    assert turns == Plan(Path("runs"), rounds=6).turns()
    assert turns != Plan(Path("runs"), rounds=6, seed=2).turns()


def test_all_systems_meet_the_same_arrivals_and_no_two_rounds_or_loads_do() -> None:
    seeds = {(load, number): PLAN.seed_of(load, number) for load in LOADS for number in range(1, 7)}
    assert len(set(seeds.values())) == len(seeds)
    assert Plan(Path("runs"), systems=("static", "in_flight")).seed_of(1.5, 2) == seeds[1.5, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 1}, "--rounds"),
        ({"seconds": 1.0}, "--seconds"),
        ({"seed": -1}, "--seed"),
        ({"systems": ("static",)}, "--systems"),
        ({"systems": ("in_flight", "static")}, "--systems"),
    ],
)
def test_a_plan_that_shows_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Plan(Path("runs"), **changes)
