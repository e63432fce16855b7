"""Capacities, and the figures of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.prediction import (
    TabulatedCosts,
    capacity_per_s,
    figures_of,
    full_step_rates_per_s,
)
from analysis.runs import Outcome
from policies.costs import completion_rates_per_s
from policies.nouns import Rung
from tests.analysis.synthetic_demo import cost_table, settings


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
    assert np.isnan(figures.utilisation)
    busy = figures_of(outcomes, 6, 2, settings(tmp_path, "controlled"), 0.7)
    assert busy.utilisation == 0.7
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
