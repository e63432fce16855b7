"""Steps along the rate, and the knee where early exit saves the first engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.planning.demand import Demand
from analysis.planning.sweeps import knee, needed
from analysis.planning.trials import Trials
from tests.analysis.planning.fleets import fleet

THRESHOLDS = {"enter": (2, 4), "leave": (0, 1)}


def row(engines: int, full: float, early: float) -> dict[str, Any]:
    return {
        "engines": engines,
        "full_up_to_per_s": full,
        "early_up_to_per_s": early,
        "thresholds": THRESHOLDS,
    }


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trials:
    monkeypatch.setattr("analysis.planning.trials.JOBS_MIN", 300)
    return Trials(fleet(tmp_path), 1)


def test_engines_are_read_from_the_steps() -> None:
    rows = [row(1, 3.0, 8.0), row(2, 7.0, 18.0)]
    assert needed(rows, "full_up_to_per_s", 2.9) == 1
    assert needed(rows, "full_up_to_per_s", 3.1) == 2
    assert needed(rows, "early_up_to_per_s", 3.1) == 1
    assert needed(rows, "full_up_to_per_s", 7.1) is None


def test_the_knee_is_the_first_rate_at_which_an_engine_is_saved(trials: Trials) -> None:
    rows = [row(1, 3.0, 3.0), row(2, 7.0, 18.0)]
    found = knee(trials, Demand(5.0, 0.9, 0.9), rows)
    assert found is not None
    assert (found["rate_per_s"], found["engines"], found["up_to_per_s"]) == (7.0, 2, 18.0)
    assert found["at_the_top"]["score"] < found["there"]["score"]
    assert found["peak"]["from"] == pytest.approx(1.4)
    assert found["peak"]["up_to"] == pytest.approx(3.6)


def test_without_a_saving_there_is_no_knee(trials: Trials) -> None:
    assert knee(trials, Demand(5.0, 0.9, 1.0), [row(1, 3.0, 3.0), row(2, 7.0, 7.05)]) is None
