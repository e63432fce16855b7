"""From a folder of raw data to verdicts: simulated servers stand in for real ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from analysis.faults import MeasurementError
from analysis.validation.measure import measure
from analysis.validation.study import compute, steps_of
from analysis.validation.verdicts import A_PRIORI, TRACE_DRIVEN
from tests.analysis.synthetic_demo import OVERHEADS
from tests.analysis.validation.conftest import SLOW_RUN, plan_in
from tests.analysis.validation.synthetic_servers import Processes

pytestmark = pytest.mark.slow


def load(results: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = [one for one in results["loads"] if one["name"] == name]
    return dict(one)


def verdict(results: dict[str, Any], name: str, method: str, figure: str) -> dict[str, Any]:
    verdicts = load(results, name)["verdicts"]
    (one,) = [v for v in verdicts if (v["method"], v["figure"]) == (method, figure)]
    return dict(one)


def test_runs_that_the_simulator_served_are_found_again_by_their_replays(
    results: dict[str, Any],
) -> None:
    for one in results["loads"]:
        for figure in ("mean_s", "p95_s", "p99_s", "degraded_share"):
            assert verdict(results, one["name"], TRACE_DRIVEN, figure)["within"], one["name"]


def test_a_run_on_a_slower_machine_is_missed_by_what_was_known_beforehand(
    results: dict[str, Any],
) -> None:
    slow = verdict(results, SLOW_RUN, A_PRIORI, "mean_s")
    assert slow["off"] < -0.15
    assert not slow["within"]


def test_the_profile_knows_the_calibrations_and_none_of_the_loads(results: dict[str, Any]) -> None:
    profile = results["profile"]
    assert set(profile["runs"]) == {
        f"{what}-{mode}-{which}"
        for mode in ("static", "in_flight")
        for what, which in (
            ("probe", "full"),
            ("probe", "turbo"),
            ("calibration", "1"),
            ("calibration", "2"),
        )
    }
    assert profile["network_s"] == pytest.approx(OVERHEADS.network_s)
    assert profile["arrival_lag_s"] == pytest.approx(OVERHEADS.grant_s, abs=0.002)
    # The run on the slower machine would have shown in the costs.
    assert list(profile["runs"].values()) == pytest.approx([1.0] * 8, abs=0.01)


def test_loads_come_with_what_a_reader_has_to_know(results: dict[str, Any], folder: Path) -> None:
    one = load(results, "in_flight-1.6")
    assert (one["mode"], one["share"], one["valid"], one["notes"]) == ("in_flight", 1.6, True, [])
    assert 0 < one["effective"] <= one["requests"]
    assert results["missing"] == []
    assert json.loads(json.dumps(results, allow_nan=False))["measured"]["capacity_per_s"] > 0


def test_progress_is_told_as_often_as_announced(
    results: dict[str, Any], folder: Path, told: list[str]
) -> None:
    assert len(told) == steps_of(folder)


def test_two_processes_find_what_one_finds(
    folder: Path, tmp_path: Path, results: dict[str, Any]
) -> None:
    part = tmp_path / "part"
    shutil.copytree(folder, part)
    shutil.rmtree(part / "in_flight-1.6")
    found = compute(part, workers=2)
    assert found["missing"] == ["in_flight-1.6"]
    mine, theirs = (load(one, SLOW_RUN)["comparison"] for one in (found, results))
    assert mine["measured"] == theirs["measured"]


def test_costs_that_are_incomplete_are_noted(folder: Path, tmp_path: Path, few_draws: None) -> None:
    part = tmp_path / "part"
    shutil.copytree(folder, part)
    shutil.rmtree(part / SLOW_RUN)
    costs = part / "in_flight-1.6" / "costs.jsonl"
    lines = [json.loads(line) for line in costs.read_text().splitlines()]
    for row in lines[-1]["engines"]["one"]["sums"]["decode"]:
        row[-3] = 1
    costs.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (note,) = load(compute(part, workers=1), "in_flight-1.6")["notes"]
    assert note.startswith("the server's costs are incomplete: it counts 20 pictures of")


def test_a_load_that_nobody_was_served_in_does_not_cost_the_others(
    folder: Path, tmp_path: Path, few_draws: None
) -> None:
    part = tmp_path / "part"
    shutil.copytree(folder, part)
    requests = part / SLOW_RUN / "requests.jsonl"
    lines = [json.loads(line) for line in requests.read_text().splitlines()]
    refused = {"status": 429, "serving": None}
    requests.write_text("".join(json.dumps(line | refused) + "\n" for line in lines))
    found = compute(part, workers=1)
    assert [one["name"] for one in found["loads"]] == ["in_flight-1.6"]
    assert "was served" in found["refused"][SLOW_RUN]
    assert found["counts"][A_PRIORI]["mean_s"]["verdicts"] == 1
    shutil.rmtree(part / "in_flight-1.6")
    with pytest.raises(MeasurementError, match="can be compared; no request"):
        compute(part, workers=1)


def test_a_folder_without_loads_or_calibrations_is_refused(
    tmp_path: Path, processes: Processes
) -> None:
    with pytest.raises(MeasurementError, match="holds no validation"):
        compute(tmp_path)
    processes.fails_at = "calibration-static-1"
    with pytest.raises(MeasurementError, match="calibration-static-1 failed"):
        measure(plan_in(tmp_path))
    with pytest.raises(MeasurementError, match="holds no calibration"):
        compute(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    processes.fails_at = "static-0.6"
    with pytest.raises(MeasurementError, match=r"static-0\.6 failed"):
        measure(plan_in(tmp_path))
    with pytest.raises(MeasurementError, match="no load in"):
        compute(tmp_path / "out")
