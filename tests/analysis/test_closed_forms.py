"""The right queueing model for each server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.closed_forms import closed_form, with_measured_service
from analysis.models.lines import mgc
from analysis.prediction import World, capacity_per_s, figures_of
from analysis.runs import read_run
from analysis.service_times import Empirical
from tests.analysis.synthetic_demo import OVERHEADS, world, write_run

ONE_AT_A_TIME = [{"name": "main", "variants": ["full", "turbo"], "max_batch": 1}]
THREE_ENGINES = [{**ONE_AT_A_TIME[0], "replicas": 3}]
SERVICE_S = [0.38, 0.40, 0.42]


def static(tmp_path: Path, **changes: object) -> World:
    return world(tmp_path, "static", **changes)


def test_one_engine_that_runs_one_job_is_an_m_g_1(tmp_path: Path) -> None:
    found = closed_form(static(tmp_path, engines=ONE_AT_A_TIME), 1.5, SERVICE_S)
    assert found is not None
    assert found.model == "M/G/1"
    busy_s = np.array(SERVICE_S) + OVERHEADS.grant_s
    theory = mgc(1.5, Empirical(busy_s), 1)
    outside_s = OVERHEADS.network_s + OVERHEADS.response_s
    assert found.figures is not None
    assert found.figures.mean_s == pytest.approx(theory.mean_response_s + outside_s)
    assert found.figures.p95_s == pytest.approx(theory.p95_s + outside_s)


def test_several_engines_that_run_one_job_each_are_an_m_g_c(tmp_path: Path) -> None:
    found = closed_form(static(tmp_path, engines=THREE_ENGINES), 4.5, SERVICE_S)
    assert found is not None
    assert found.model == "M/G/c"
    assert "M/G/3" in found.method


def test_a_batching_engine_is_a_birth_death_chain(tmp_path: Path) -> None:
    server = static(tmp_path)
    found = closed_form(server, 0.6 * capacity_per_s(server.settings, server.costs), SERVICE_S)
    assert found is not None
    assert found.model == "birth-death chain"
    assert found.figures is not None
    assert found.figures.degraded_share == 0.0


def test_a_batching_engine_with_known_service_times_is_an_m_g_c_of_its_places(
    tmp_path: Path,
) -> None:
    server = static(tmp_path)
    rate_per_s = 0.6 * capacity_per_s(server.settings, server.costs)
    write_run(tmp_path / "run", server, rate_per_s, 40.0, 5)
    run = read_run(tmp_path / "run")
    service_s = [outcome.service_s for outcome in run.outcomes]
    found = with_measured_service(server, rate_per_s, service_s)
    assert found is not None
    assert found.figures is not None
    assert "M/G/4" in found.method
    measured = figures_of(run.outcomes, len(run.requests), 0, server.settings)
    assert found.figures.mean_s == pytest.approx(measured.mean_s, rel=0.1)
    assert found.figures.p95_s == pytest.approx(measured.p95_s, rel=0.15)
    assert with_measured_service(server, 3 * rate_per_s, service_s) is None
    assert with_measured_service(world(tmp_path, "controlled"), rate_per_s, service_s) is None
    alone = static(tmp_path, engines=ONE_AT_A_TIME)
    assert with_measured_service(alone, 0.1, service_s) is None


def test_overload_has_no_steady_state_and_says_how_fast_the_queue_grows(tmp_path: Path) -> None:
    server = static(tmp_path)
    capacity = capacity_per_s(server.settings, server.costs)
    found = closed_form(server, 1.5 * capacity, SERVICE_S)
    assert found is not None
    assert found.figures is None
    assert found.growth_per_s == pytest.approx(0.5 * capacity)
    assert "no steady state" in found.method


def test_a_controlled_server_has_no_closed_form(tmp_path: Path) -> None:
    assert closed_form(world(tmp_path, "controlled"), 1.0, SERVICE_S) is None
