"""The simulated tables: pairs of like arrivals, one factor at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.improvement.measures import simulated_values
from analysis.improvement.simulated import (
    AT_START,
    BATCHES,
    CACHE,
    FACTORS,
    IN_FLIGHT,
    ORDER,
    TOGETHER,
    Inputs,
    factors_table,
    systems_table,
    with_factor,
)
from analysis.records import Record
from analysis.server_config import Mode, read_settings, write_modes
from policies.orders import Fifo, ShortestWork
from policies.routing import ShortestQueue, Uniform
from tests.analysis.improvement.synthetic_servers import VARIANTS
from tests.analysis.synthetic_demo import OVERHEADS, cost_table, write_config

CAPACITY_PER_S = 4.6


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    place = tmp_path_factory.mktemp("simulated")
    modes: tuple[Mode, ...] = ("static", "at_start", "in_flight")
    written = write_modes(write_config(place, variants=VARIANTS), place, modes)
    settings = {str(mode): read_settings(path) for mode, path in written.items()}
    return Inputs(settings, {"main": cost_table()}, OVERHEADS, CAPACITY_PER_S, 0.003, 0.003)


def test_early_exit_changes_nothing_in_idle_times_and_much_under_overload(inputs: Inputs) -> None:
    rows = systems_table(inputs, "static", 3, 20.0, loads=(0.1, 2.0))
    assert [(row["load"], row["system"]) for row in rows] == [
        (load, system) for load in (0.1, 2.0) for system in ("at_start", "in_flight")
    ]
    calm, busy = rows[1]["measures"], rows[3]["measures"]
    assert abs(calm["mean_s"]["value"]) < 2.0
    assert calm["within_2s"]["value"] == 0.0
    assert busy["mean_s"]["value"] > 50.0
    assert busy["engine_s"]["value"] > 20.0
    assert busy["steps"]["value"] < -20.0
    assert busy["within_2s"]["told_in"] == "points"
    assert all(one["rounds"] == 3 for one in busy.values())
    assert "all_right" not in busy


def test_a_system_against_its_like_gains_exactly_nothing(inputs: Inputs) -> None:
    static = inputs.settings["static"]
    twins = replace(inputs, settings={"static": static, "twin": static})
    for row in systems_table(twins, "static", 2, 6.0, loads=(1.2,)):
        assert all(one["value"] == 0.0 for one in row["measures"].values())


def test_every_factor_is_told_alone_and_all_together(inputs: Inputs) -> None:
    dear = replace(inputs, new_s=0.05)
    rows = factors_table(dear, "static", "in_flight", 2, 12.0, loads=(1.5,))
    assert [row["factor"] for row in rows] == [BATCHES, *FACTORS]
    gains = {row["factor"]: row["measures"]["mean_s"]["value"] for row in rows}
    assert gains[BATCHES] > 10.0
    assert gains[CACHE] > 10.0
    assert gains[ORDER] > 2.0
    assert gains[TOGETHER] >= max(gains[IN_FLIGHT], gains[CACHE], gains[ORDER])


def test_a_cache_that_saves_nothing_gains_nothing(inputs: Inputs) -> None:
    rows = factors_table(inputs, "static", "in_flight", 2, 6.0, loads=(0.8,))
    saved = next(row for row in rows if row["factor"] == CACHE)["measures"]["mean_s"]
    assert saved["value"] == pytest.approx(0.0, abs=0.5)


def test_a_factor_changes_one_decision_only(inputs: Inputs) -> None:
    policy = inputs.settings["static"].policy
    plain = with_factor(policy, "")
    assert (plain.order, plain.routing) == (Fifo(), Uniform())
    ordered = with_factor(policy, ORDER)
    assert (ordered.order, ordered.routing) == (ShortestWork(), Uniform())
    together = with_factor(policy, TOGETHER)
    assert (together.order, together.routing) == (ShortestWork(), ShortestQueue())


def test_factors_of_a_system_that_was_not_measured_are_left_out(inputs: Inputs) -> None:
    fewer = {name: inputs.settings[name] for name in ("static", "in_flight")}
    two = replace(inputs, settings=fewer)
    rows = factors_table(two, "static", "in_flight", 2, 6.0, loads=(0.8,))
    assert [row["factor"] for row in rows] == [BATCHES, *(f for f in FACTORS if f != AT_START)]


def record(index: int, latency_s: float, status: str = "ok") -> Record:
    return Record(
        index,
        "ok" if status == "ok" else "rejected",
        float(index),
        float(index),
        index + latency_s,
        index + latency_s,
        latency_s,
        steps_run=20,
        engine_s=0.3,
    )


def test_goodput_counts_the_refused_and_throughput_only_what_came_in_time() -> None:
    records = [record(0, 0.5), record(1, 1.5), record(2, 4.5), record(3, 0.0, "rejected")]
    found = simulated_values(records, 4.0)
    assert found["within_1s"] == 0.25
    assert found["within_2s"] == 0.5
    assert found["pictures_per_s"] == 0.5
    assert found["mean_s"] == pytest.approx(6.5 / 3)
    assert found["engine_s"] == pytest.approx(0.3)
    with pytest.raises(ValueError, match="served no request"):
        simulated_values([record(3, 0.0, "rejected")], 4.0)
