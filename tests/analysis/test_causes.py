"""A planted cause is found, named and measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.causes import OUTSIDE, SPEED, deviation, fit_speed, seconds_per_step
from analysis.prediction import World, capacity_per_s, trace_of
from analysis.runs import Run, read_run
from analysis.study import Comparison, compare
from tests.analysis.synthetic_demo import world, write_run


def compared(tmp_path: Path, controller: str, load: float, served_by: World) -> Comparison:
    """A run by a server that is not the one that the models know."""
    known = world(tmp_path, controller)
    rate_per_s = load * capacity_per_s(known.settings, known.costs)
    write_run(tmp_path / "run", served_by, rate_per_s, 12.0, 5)
    return compare(read_run(tmp_path / "run"), controller, load, known, [0.4], replications=4)


@pytest.mark.parametrize("controller", ["static", "controlled"])
def test_a_slower_engine_is_found_out(tmp_path: Path, controller: str) -> None:
    slow = world(tmp_path, controller).slower(1.3)
    found = compared(tmp_path, controller, 1.5, slow)
    assert found.causes is not None
    assert found.causes.slowness == pytest.approx(1.3, rel=0.02)
    effects = found.causes.effects["mean_s"]
    own = {name: effects[name] for name in (SPEED, OUTSIDE)}
    assert max(own, key=lambda name: abs(own[name])) == SPEED
    assert found.causes.calibrated.mean_s == pytest.approx(found.measured.mean_s, rel=0.1)


def test_time_outside_the_engine_is_found_out(tmp_path: Path) -> None:
    honest = world(tmp_path, "controlled")
    slow_answers = replace(honest, overheads=replace(honest.overheads, response_s=0.5))
    found = compared(tmp_path, "controlled", 0.6, slow_answers)
    assert found.causes is not None
    assert found.causes.outside_s == pytest.approx(0.5, abs=0.01)
    assert found.causes.slowness == pytest.approx(1.0, rel=0.01)
    mean = found.explanations[0]
    assert mean.headline.startswith("mean: ")
    assert f"Largest cause: {OUTSIDE}" in mean.headline
    assert "chance alone cannot" in mean.detail


def test_effects_sum_up_to_the_whole_gap(tmp_path: Path) -> None:
    found = compared(tmp_path, "static", 0.6, world(tmp_path, "static").slower(1.2))
    assert found.causes is not None
    assert found.model == "birth-death chain"
    for name, effects in found.causes.effects.items():
        gap_s = getattr(found.measured, name) - getattr(found.predicted, name)
        assert sum(effects.values()) == pytest.approx(gap_s)


def test_a_prediction_within_a_tenth_needs_no_words() -> None:
    assert deviation(1.0, 1.05) == pytest.approx(0.05)
    assert deviation(0.0, 1.0) is None
    assert deviation(float("nan"), 1.0) is None


def test_speed_without_served_requests_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no request was served"):
        seconds_per_step([])
    server = world(tmp_path, "static")
    write_run(tmp_path / "run", server, 3.0, 8.0, 1)
    run: Run = read_run(tmp_path / "run")
    assert fit_speed(server, trace_of(run.requests), run.outcomes) == pytest.approx(1.0, rel=0.01)
    assert np.isfinite(seconds_per_step(run.outcomes))
