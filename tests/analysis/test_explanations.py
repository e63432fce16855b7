"""A planted cause is found and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis.comparison.profile import profile_from_table
from analysis.comparison.worlds import COSTS, RESPONSE
from analysis.explanations import deviation, effects_of
from analysis.prediction import World, capacity_per_s
from analysis.study import Comparison, compare
from tests.analysis.synthetic_demo import OVERHEADS, cost_table, world, write_costs, write_run


def compared(tmp_path: Path, controller: str, load: float, served_by: World) -> Comparison:
    """A run by a server that is not the one that the models know."""
    known = world(tmp_path, controller)
    rate_per_s = load * capacity_per_s(known.settings, known.costs)
    write_run(tmp_path / "run", served_by, rate_per_s, 12.0, 5)
    write_costs(tmp_path / "run", served_by, 12.0)
    profile = profile_from_table(cost_table(), OVERHEADS)
    return compare(tmp_path / "run", controller, load, known.settings, profile, replications=4)


def test_a_slower_engine_is_found_out(tmp_path: Path) -> None:
    slow = world(tmp_path, "static").slower(1.4)
    found = compared(tmp_path, "static", 1.5, slow)
    effects = effects_of(found.found, "mean_s")
    assert max(effects, key=lambda name: abs(effects[name])) == COSTS
    mean = found.explanations[0]
    assert mean.headline.startswith("mean: the simulation says")
    assert f"Largest cause: {COSTS}" in mean.headline
    assert "chance alone cannot" in mean.detail


def test_time_outside_the_engine_is_found_out(tmp_path: Path) -> None:
    honest = world(tmp_path, "controlled")
    slow_answers = replace(honest, overheads=replace(honest.overheads, response_s=0.5))
    found = compared(tmp_path, "controlled", 0.6, slow_answers)
    mean = found.explanations[0]
    assert mean.headline.startswith("mean: the queueing model says")
    assert f"Largest cause: {RESPONSE}" in mean.headline


def test_a_prediction_within_a_tenth_needs_no_words() -> None:
    assert deviation(1.0, 1.05) == pytest.approx(0.05)
    assert deviation(0.0, 1.0) is None
    assert deviation(float("nan"), 1.0) is None
