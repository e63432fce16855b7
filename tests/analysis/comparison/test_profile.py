"""What other runs tell beforehand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from analysis.comparison.evidence import Evidence, read_evidence
from analysis.comparison.lags import Lags
from analysis.comparison.profile import Profile, profile_from_table, profile_of
from analysis.comparison.replays import Pace
from analysis.runs import DataError
from analysis.server_config import ServerSettings
from analysis.simulator import Overheads
from tests.analysis.comparison.synthetic_runs import POOL, Truth, counted, write_measured
from tests.analysis.synthetic_demo import OVERHEADS, cost_table, settings


@pytest.fixture
def static(tmp_path: Path) -> ServerSettings:
    return settings(tmp_path, "static")


def evidence(folder: Path, truth: Truth, **how: object) -> Evidence:
    write_measured(folder, truth, load=0.8, seconds=20.0, seed=2, **how)  # type: ignore[arg-type]
    return read_evidence(folder, truth.settings)


def test_costs_and_ways_of_other_runs_are_found(tmp_path: Path, static: ServerSettings) -> None:
    ways = Overheads(0.004, 0.030, 0.020)
    truth = Truth(static, slowness=1.2, overheads=ways)
    found = profile_of(
        [evidence(tmp_path / "run", truth)],
        Overheads(0.004, 0.010, 0.006),
        "a run",
    )
    (table,) = found.tables(static).values()
    assert table.step_s("full", 4) == pytest.approx(1.2 * cost_table().step_s("full", 4))
    assert found.lags.arrival_s == pytest.approx(0.030, abs=0.004)
    assert found.response_s == pytest.approx(0.020, abs=0.001)
    assert (found.network_s, found.rung_s) == (0.004, 0.010)


def test_paces_tell_how_runs_differ_from_their_common_mean(
    tmp_path: Path, static: ServerSettings
) -> None:
    runs = [
        evidence(tmp_path / str(slowness), Truth(static, slowness=slowness))
        for slowness in (0.8, 1.2)
    ]
    found = profile_of(runs, OVERHEADS, "two runs")
    levels = [pace.at(5.0) for pace in found.paces]
    assert levels == pytest.approx([0.8, 1.2], abs=0.01)


def profile_with(paces: tuple[Pace, ...]) -> Profile:
    return Profile({POOL: counted(cost_table())}, Lags(0.0, 0.0), 0.0, 0.0, 0.0, paces, "runs")


def steady_pace(level: float) -> Pace:
    seconds = tuple(float(second) for second in range(20))
    return Pace((-math.inf, *seconds), (1.0, *([level] * 20)))


def test_drawn_paces_differ_as_much_as_new_runs_would() -> None:
    found = profile_with((steady_pace(0.9), steady_pace(1.0), steady_pace(1.1)))
    rng = np.random.default_rng(1)
    levels = [found.drawn_pace(10.0, rng).at(5.0) for _ in range(3000)]
    assert np.mean(levels) == pytest.approx(1.0, abs=0.01)
    # Sample deviation 0.1; a new run's distance from the mean of three has (1 + 1/3) its variance.
    assert np.std(levels) == pytest.approx(0.1 * math.sqrt(4 / 3), rel=0.05)


def test_seconds_are_drawn_in_blocks() -> None:
    times = tuple(1.0 + 0.01 * (second % 16) for second in range(64))
    pace = Pace((-math.inf, *(float(s) for s in range(64))), (1.0, *times))
    drawn = profile_with((pace,)).drawn_pace(40.0, np.random.default_rng(3))
    path = np.array([drawn.at(second + 0.5) for second in range(40)])
    rises = np.isclose(np.diff(path), 0.01, atol=2e-3)
    assert rises.mean() > 0.7
    assert len(drawn.times) == 41


def test_without_runs_the_speed_is_steady() -> None:
    assert profile_with(()).drawn_pace(10.0, np.random.default_rng(1)) == Pace()


def test_a_table_and_an_idle_server_make_a_profile(static: ServerSettings) -> None:
    found = profile_from_table(cost_table(), OVERHEADS)
    (table,) = found.tables(static).values()
    assert table.step_s("full", 3) == pytest.approx(cost_table().step_s("full", 3))
    assert (found.lags.place_s, found.rung_s, found.paces) == (0.002, 0.002, ())
    assert found.overheads == Overheads(0.004, 0.002, 0.006, 0.002)


def test_runs_without_costs_make_no_profile(tmp_path: Path, static: ServerSettings) -> None:
    silent = evidence(tmp_path / "run", Truth(static), costs=False)
    with pytest.raises(DataError, match="none of the calibration runs has a"):
        profile_of([silent], OVERHEADS, "a run")
