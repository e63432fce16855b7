"""The queueing model of a configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.comparison.queueing import queueing_model, solvable, stage_server
from analysis.models.stages import stage_chain
from analysis.prediction import capacity_per_s, full_step_rates_per_s
from policies.controllers import Static
from tests.analysis.synthetic_demo import OVERHEADS, cost_table, settings


def test_a_static_server_is_a_chain_with_the_ways_added(tmp_path: Path) -> None:
    server, table = settings(tmp_path, "static"), cost_table()
    rate_per_s = 0.6 * capacity_per_s(server, table)
    found = queueing_model(server, table, OVERHEADS, rate_per_s)
    assert found.server is not None
    assert found.server.rates_per_s == pytest.approx(full_step_rates_per_s(server, table))
    assert found.modelled is not None
    bare = stage_chain(rate_per_s, solvable(found.server))
    assert found.modelled.figures.mean_s == pytest.approx(bare.mean_response_s + 0.012)
    assert found.modelled.figures.p95_s == pytest.approx(bare.p95_s + 0.012)
    assert solvable(found.server).stages < found.server.stages == 25
    assert (found.modelled.figures.mean_steps, found.modelled.figures.degraded_share) == (25, 0)


def test_a_controlled_server_has_its_rungs_work_and_thresholds(tmp_path: Path) -> None:
    server, _ = stage_server(settings(tmp_path, "controlled"), cost_table())
    assert server is not None
    assert (server.enter, server.leave, server.in_flight) == ((2, 6), (0, 2), True)
    # Full batches: 25 steps of 30 ms for four, encoding 3 ms and decoding 4 ms each.
    full_s = 25 * 0.030 / 4 + 0.007
    works = (1.0, (10 * 0.030 / 4 + 0.007) / full_s, (4 * 0.015 / 4 + 0.007) / full_s)
    assert server.work == pytest.approx(works, rel=0.02)


def test_overload_grows(tmp_path: Path) -> None:
    server, table = settings(tmp_path, "static"), cost_table()
    capacity = capacity_per_s(server, table)
    found = queueing_model(server, table, OVERHEADS, 1.5 * capacity)
    assert found.modelled is None
    assert f"grows by {0.5 * capacity:.2f} jobs a second" in found.method


def test_other_controllers_are_not_in_the_chain(tmp_path: Path) -> None:
    server = settings(tmp_path, "controlled")
    other = replace(server, policy=replace(server.policy, controller=Static(1)))
    found = queueing_model(other, cost_table(), OVERHEADS, 1.0)
    assert found.modelled is None
    assert "no controller of the kind Static" in found.method
