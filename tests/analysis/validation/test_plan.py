"""Loads, their lengths, their order and their seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.prediction import A_PRIORI_SEED
from analysis.server_config import ConfigError
from analysis.validation.measure import IDLE_SEED
from analysis.validation.plan import (
    FULL_EXTENT,
    LOADS,
    MODES,
    SEEDS_APART,
    SHORT,
    SHORT_EXTENT,
    Extent,
    Load,
    Plan,
    loads_in,
    modes_in,
)

CAPACITY_PER_S = 6.0


def plan(extent: Extent = FULL_EXTENT, seed: int = 1) -> Plan:
    return Plan(Path("out"), extent, seed=seed)


def test_the_loads_are_those_that_the_promise_names() -> None:
    shares = {mode: [load.share for load in LOADS if load.mode == mode] for mode in MODES}
    assert shares == {
        "static": [0.3, 0.6, 0.8, 0.95],
        "at_start": [0.8, 1.2, 1.6, 2.5],
        "in_flight": [0.8, 1.2, 1.6, 2.5],
    }
    assert set(SHORT) < set(LOADS)
    assert {load.mode for load in SHORT} == set(MODES)


@pytest.mark.parametrize(("extent", "minutes"), [(FULL_EXTENT, 14.0), (SHORT_EXTENT, 3.0)])
def test_a_load_lasts_as_long_as_its_requests_take_to_arrive(
    extent: Extent, minutes: float
) -> None:
    made = plan(extent)
    lasts_s = {load: made.duration_s(load, CAPACITY_PER_S) for load in extent.loads}
    for load, seconds in lasts_s.items():
        assert seconds * load.share * CAPACITY_PER_S == pytest.approx(extent.requests)
    assert sum(lasts_s.values()) < 60 * minutes


def test_a_slow_machine_gets_fewer_requests_and_not_a_longer_load() -> None:
    assert plan(SHORT_EXTENT).duration_s(Load("static", 0.6), 0.1) == SHORT_EXTENT.load_s_max


@pytest.mark.parametrize("extent", [FULL_EXTENT, SHORT_EXTENT])
def test_sessions_hold_every_load_once_in_an_order_drawn_by_the_seed(extent: Extent) -> None:
    sessions = plan(extent).sessions()
    assert [mode for mode, _ in sessions] == list(MODES)
    assert all(load.mode == mode for mode, its in sessions for load in its)
    assert sorted(load for _, its in sessions for load in its) == sorted(extent.loads)
    assert plan(extent).sessions() == sessions


def test_orders_differ_between_seeds() -> None:
    assert len({plan(seed=seed).sessions() for seed in range(8)}) > 1


def test_no_two_runs_and_no_replication_share_arrivals() -> None:
    made, last = plan(), plan(seed=SEEDS_APART - 1)
    seeds = [
        *(one.seed_of(load) for one in (made, last) for load in LOADS),
        *(
            one.calibration_seed(mode, number)
            for one in (made, last)
            for mode in MODES
            for number in (0, 1)
        ),
    ]
    assert len(set(seeds)) == len(seeds)
    assert max(seeds) < min(IDLE_SEED, A_PRIORI_SEED)


def test_a_load_has_the_same_seed_in_the_short_and_the_full_version() -> None:
    assert all(plan(SHORT_EXTENT).seed_of(load) == plan().seed_of(load) for load in SHORT)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": -1}, "--seed must be 0 or more"),
        ({"seed": SEEDS_APART}, "--seed must be below"),
        ({"port": 0}, "--port must lie between"),
        ({"extent": replace(SHORT_EXTENT, requests=2)}, "--requests must be at least"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Plan(Path("out"), **changes)  # type: ignore[arg-type]


def test_a_plan_that_was_written_down_is_read_again() -> None:
    written = plan(SHORT_EXTENT).as_plain()
    assert loads_in(written) == list(SHORT)
    assert modes_in(written) == list(MODES)
    assert written["calibrations"]["calibration-static-2"] == plan().calibration_seed("static", 1)
