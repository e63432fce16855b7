"""Capacities, and simulations that agree with themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.prediction import (
    SPREAD,
    TabulatedCosts,
    a_priori,
    capacity_per_s,
    figures_of,
    full_step_rates_per_s,
    replay,
    trace_driven,
    trace_of,
)
from analysis.runs import Outcome, read_run
from policies.costs import completion_rates_per_s
from policies.nouns import Rung
from tests.analysis.synthetic_demo import cost_table, request, settings, world, write_run


def test_capacity_is_that_of_full_batches_over_all_engines(tmp_path: Path) -> None:
    table = cost_table()
    one = settings(tmp_path, "static")
    rates = completion_rates_per_s(table, Rung("full", 25, "high"), 4)
    assert full_step_rates_per_s(one, table) == pytest.approx(rates)
    two = settings(
        tmp_path,
        "static",
        engines=[{"name": "m", "variants": ["full", "turbo"], "max_batch": 4, "replicas": 2}],
    )
    spread = full_step_rates_per_s(two, table)
    assert len(spread) == 8
    assert spread[1] == pytest.approx(2 * rates[0])
    assert capacity_per_s(two, table) == pytest.approx(2 * rates[-1])


def test_an_engine_without_the_best_variant_adds_no_capacity(tmp_path: Path) -> None:
    apart = [
        {"name": "a", "variants": ["full"], "max_batch": 4},
        {"name": "b", "variants": ["turbo"], "max_batch": 4},
    ]
    found = settings(tmp_path, "static", engines=apart)
    assert found.batches_of_best() == [4]


def test_degraded_counts_fewer_steps_and_other_variants(tmp_path: Path) -> None:
    outcomes = [
        Outcome(1.0, "full", 25, 0.5),
        Outcome(2.0, "full", 19, 0.5),
        Outcome(3.0, "turbo", 4, 0.5),
        Outcome(4.0, "full", 25, 0.5),
    ]
    figures = figures_of(outcomes, 6, 2, settings(tmp_path, "controlled"))
    assert figures.degraded_share == 0.5
    assert figures.mean_steps == pytest.approx(18.25)
    assert figures.mean_s == 2.5
    assert (figures.n, figures.rejected) == (6, 2)
    assert np.isnan(figures_of([], 1, 1, settings(tmp_path, "controlled")).mean_s)


def test_a_picture_with_less_guidance_than_full_service_is_degraded(tmp_path: Path) -> None:
    outcomes = [Outcome(1.0, "full", 25, 0.5), Outcome(1.0, "full", 25, 0.5, cut_steps=5)]
    assert figures_of(outcomes, 2, 0, settings(tmp_path, "controlled")).degraded_share == 0.5


def test_a_slower_engine_is_slower_at_steps_with_little_guidance_too() -> None:
    class RowCosts:
        def encode_s(self, variant: str) -> float:
            return 0.0

        def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
            return float(batch + (batch if guided is None else guided))

        def decode_s(self, variant: str, batch: int) -> float:
            return 0.0

    slow = TabulatedCosts(RowCosts(), ["full"], 4, factor=2.0)
    assert [slow.step_s("full", 4, guided) for guided in (None, 4, 1, 0)] == [16, 16, 10, 8]


def test_replaying_a_simulated_run_gives_it_back(tmp_path: Path) -> None:
    server = world(tmp_path, "controlled")
    rate_per_s = 1.5 * capacity_per_s(server.settings, server.costs)
    write_run(tmp_path / "run", server, rate_per_s, 10.0, 5)
    run = read_run(tmp_path / "run")
    outcomes, figures = trace_driven(server, trace_of(run.requests))
    measured = figures_of(run.outcomes, len(run.requests), 0, server.settings)
    assert figures.p95_s == pytest.approx(measured.p95_s, abs=2e-6)
    assert figures.mean_steps == measured.mean_steps
    assert len(outcomes) == len(run.outcomes)
    late = trace_of([replace(r, received_s=(r.received_s or 0) + 1.0) for r in run.requests])
    _, shifted = trace_driven(server, late)
    assert shifted.mean_s == pytest.approx(measured.mean_s + 1.0, abs=2e-6)


def test_a_replay_of_a_controlled_server_is_an_average_over_like_speeds(tmp_path: Path) -> None:
    server = world(tmp_path, "controlled")
    rate_per_s = 1.5 * capacity_per_s(server.settings, server.costs)
    write_run(tmp_path / "run", server, rate_per_s, 10.0, 5)
    run = read_run(tmp_path / "run")
    trace = trace_of(run.requests)
    outcomes, figures = replay(server, trace)
    singles = [trace_driven(server.slower(factor), trace)[1].mean_s for factor in SPREAD]
    assert len(outcomes) == len(SPREAD) * len(run.outcomes)
    assert figures.mean_s == pytest.approx(np.mean(singles))


def test_a_trace_encodes_each_prompt_once() -> None:
    requests = [request(i, prompt=prompt) for i, prompt in enumerate("abab")]
    assert trace_of(requests).encodes == (True, True, False, False)


def test_a_priori_bands_hold_the_runs_and_are_seeded(tmp_path: Path) -> None:
    server = world(tmp_path, "controlled")
    found = a_priori(server, 5.0, 8.0, replications=6)
    again = a_priori(server, 5.0, 8.0, replications=6)
    assert found.figures == again.figures
    for name in ("mean_s", "p95_s"):
        assert getattr(found.figures, name) in found.bands[name]
    assert (np.diff(found.latencies_s) >= 0).all()


def test_control_is_predicted_to_beat_none_in_overload(tmp_path: Path) -> None:
    rate_per_s = 1.5 * capacity_per_s(settings(tmp_path, "static"), cost_table())
    without = a_priori(world(tmp_path, "static"), rate_per_s, 15.0, replications=4)
    with_control = a_priori(world(tmp_path, "controlled"), rate_per_s, 15.0, replications=4)
    assert with_control.figures.p95_s < 0.6 * without.figures.p95_s
    assert with_control.figures.degraded_share > 0.5
    assert without.figures.degraded_share == 0.0
