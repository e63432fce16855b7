"""A run's folder becomes estimates, and what it cannot tell becomes a sentence."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.comparison.sums import Window
from analysis.estimation.estimating import (
    TOPICS,
    Material,
    estimate,
    levels,
    plain,
    read_material,
)
from analysis.runs import DataError
from analysis.server_config import read_settings
from tests.analysis.estimation.conftest import FIXED_S, PER_JOB_S, RATE_PER_S, SECONDS
from tests.analysis.synthetic_demo import OVERHEADS, request, run


def material(folder: Path) -> Material:
    return read_material(folder, read_settings(folder.parent / "static.yaml"))


def test_what_the_simulator_put_in_comes_out(results: dict[str, Any]) -> None:
    assert not [name for name, topic in results.items() if "cannot" in topic]
    arrivals = results["arrivals"]
    assert arrivals["poisson"]
    assert arrivals["rate_band"]["low"] < RATE_PER_S < arrivals["rate_band"]["high"]
    (curve,) = (one for one in results["batch_speed"]["curves"] if one["call"] == "step")
    assert curve["fixed_s"]["band"]["low"] < FIXED_S < curve["fixed_s"]["band"]["high"]
    assert curve["per_job_s"]["band"]["low"] < PER_JOB_S < curve["per_job_s"]["band"]["high"]
    parts = {part["name"]: part["mean_s"]["value"] for part in results["overheads"]["parts"]}
    assert parts["schedule to receipt"] == pytest.approx(OVERHEADS.network_s)
    assert parts["end of decoding to answer"] == pytest.approx(OVERHEADS.response_s)
    assert results["littles_law"]["balance"]["window_s"] >= SECONDS * 0.9
    assert abs(results["littles_law"]["residual"]) < 1e-9
    assert results["littles_law"]["holds"]


def test_each_topic_is_told_as_it_begins(run_folder: Path) -> None:
    told: list[str] = []
    estimate(material(run_folder), told.append, power_draws=0)
    assert len(told) == TOPICS
    assert told[-1] == "littles law"


def test_curves_that_a_run_cannot_tell_are_named(results: dict[str, Any]) -> None:
    (left_out,) = results["batch_speed"]["left_out"]
    assert left_out.startswith("decode of full, 64x64: batches of 1 alone")


def test_a_run_without_sums_says_so_and_tells_the_rest(run_folder: Path) -> None:
    found = estimate(replace(material(run_folder), window=Window()), power_draws=0)
    assert "no costs.jsonl" in found["batch_speed"]["cannot"]
    assert found["littles_law"]["pictures"] is None
    assert "cannot" not in found["service"]


def test_a_short_run_tells_only_what_it_can() -> None:
    short = run([request(index) for index in range(15)], duration_s=15.0)
    found = estimate(Material(short, Window(), None, places=1), power_draws=0)
    assert found["arrivals"]["cannot"].startswith("15 arrivals are too few")
    assert found["service"]["cannot"].startswith("15 service times are too few")
    assert found["warm_up"]["cannot"].startswith("15 values are too few")
    assert found["steady_state"]["cannot"].startswith("15 values are too few")
    assert found["overheads"]["latency"]["n"] == 15
    assert found["littles_law"]["balance"]["arrivals"] == 15


def test_a_server_without_stamps_is_judged_by_the_schedule() -> None:
    rng = np.random.default_rng(1)
    at_s = np.sort(rng.uniform(0, 200, 100)).tolist()
    lines = [
        request(k, scheduled_s=t, received_s=None, queue_s=None, answered_s=t + 0.5)
        for k, t in enumerate(at_s)
    ]
    found = estimate(
        Material(run(lines, duration_s=200.0), Window(), None, places=1), power_draws=0
    )
    assert "the server stamped none" in found["arrivals"]["where"]
    assert "stamps" in found["littles_law"]["cannot"]
    assert found["service"]["chosen"] == "deterministic"


def test_a_run_without_served_requests_is_refused(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    lines = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    refused = [{**line, "status": 429, "serving": None} for line in lines]
    (folder / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in refused))
    settings = read_settings(run_folder.parent / "static.yaml")
    with pytest.raises(DataError, match="no served request"):
        read_material(folder, settings)
    with pytest.raises(DataError, match="cannot be read"):
        read_material(tmp_path / "nowhere", settings)


def test_lines_missing_at_the_end_of_a_log_are_missed(run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    lines = (folder / "requests.jsonl").read_text().splitlines(keepends=True)
    content = json.loads((folder / "run.json").read_text())
    content["audit"]["facts"] = {"scheduled": len(lines)}
    (folder / "run.json").write_text(json.dumps(content))
    (folder / "requests.jsonl").write_text("".join(lines[:-2]))
    settings = read_settings(run_folder.parent / "static.yaml")
    found = estimate(read_material(folder, settings), power_draws=0)["littles_law"]
    missing = [one["index"] for one in found["suspicious"]]
    assert missing == [len(lines) - 2, len(lines) - 1]
    assert found["holds"] is False  # the engines made two pictures more


def test_levels_keep_a_short_sample_and_shorten_a_long_one() -> None:
    assert levels(np.array([3.0, 1.0, 2.0])) == [1.0, 2.0, 3.0]
    kept = levels(np.arange(100_001.0))
    assert len(kept) == 200
    assert kept[0] == pytest.approx(250.0)


def test_what_is_no_number_becomes_null() -> None:
    assert plain({"a": (math.nan, math.inf, 1.5, "x", None)}) == {"a": [None, None, 1.5, "x", None]}
