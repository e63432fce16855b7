"""A whole demonstration, good or bad, is judged by its data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.runs import DataError
from analysis.study import (
    HIGH,
    LOW,
    Study,
    as_json,
    read_study,
    unloaded_from,
)
from pipelines.costs import CostTable, Measurement
from tests.analysis.synthetic_demo import OVERHEADS, request, write_demo

REPLICATIONS = 4


def by_claim(study: Study, words: str) -> bool:
    return next(verdict.holds for verdict in study.verdicts if words in verdict.claim)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_demo(tmp_path_factory.mktemp("good")), REPLICATIONS)


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Study:
    accuracy = {"static-0.6": 0.9, "controlled-0.6": 0.6, "static-1.5": 0.9, "controlled-1.5": 0.7}
    folder = write_demo(
        tmp_path_factory.mktemp("bad"), slowness=1.4, accuracy=accuracy, controller_works=False
    )
    run = json.loads((folder / "static-0.6" / "run.json").read_text())
    run["audit"] = {"valid": False, "reasons": ["it was a closed loop."]}
    (folder / "static-0.6" / "run.json").write_text(json.dumps(run))
    return read_study(folder, REPLICATIONS)


def test_a_demonstration_that_works_passes(good: Study) -> None:
    assert by_claim(good, "grows without bound")
    assert by_claim(good, "rejects nothing")
    assert by_claim(good, "loses at most 5 points")
    assert by_claim(good, "agree in quality")
    assert by_claim(good, "open-loop Poisson")


def test_a_demonstration_that_fails_is_told_so(bad: Study) -> None:
    assert not by_claim(bad, "holds p95")
    assert not by_claim(bad, "loses at most 5 points")
    assert not by_claim(bad, "agree in quality")
    assert not by_claim(bad, "open-loop Poisson")
    assert not by_claim(bad, "within 10 %")


def test_the_unloaded_latency_is_taken_apart(good: Study) -> None:
    unloaded = good.unloaded["static"]
    assert unloaded.requests == 5
    assert unloaded.overhead_s == pytest.approx(0.012, abs=1e-6)
    assert unloaded.overheads.grant_s == pytest.approx(OVERHEADS.grant_s, abs=1e-6)
    assert unloaded.latency_s == pytest.approx(0.012 + unloaded.service_s[0], abs=1e-6)


def test_each_run_is_predicted_by_its_own_model(good: Study) -> None:
    models = {c.run.name: c.model for c in good.comparisons}
    assert models == {
        "static-0.6": "queueing model",
        "static-1.5": "simulator",
        "controlled-0.6": "queueing model",
        "controlled-1.5": "queueing model",
    }
    overloaded = good.comparison("static", HIGH).found
    assert overloaded.queueing is None
    assert "no steady state" in overloaded.queueing_method


def test_replays_of_simulated_runs_are_close(good: Study) -> None:
    for load in (LOW, HIGH):
        c = good.comparison("static", load)
        replayed = c.found.trace_driven.figures
        assert replayed.mean_s == pytest.approx(c.measured.mean_s, rel=0.05)


def test_few_requests_are_called_few(good: Study) -> None:
    notes = good.comparison("controlled", LOW).notes
    assert any("few for a p99" in note for note in notes)


def test_results_are_plain_json(good: Study) -> None:
    document = json.loads(json.dumps(as_json(good), allow_nan=False))
    assert len(document["runs"]) == 4
    assert document["runs"][0]["predicted"]["n"] is None  # a steady state has no number
    run = document["runs"][0]
    whole = run["measured"]["p95_s"] - run["predicted"]["p95_s"]
    assert sum(run["causes"]["effects"]["p95_s"].values()) == pytest.approx(whole)
    assert {verdict["word"] for verdict in document["verdicts"]}


def test_a_demo_whose_pictures_were_not_judged_can_be_read(tmp_path: Path) -> None:
    folder = write_demo(tmp_path / "d", accuracy={}, seconds=6.0)
    study = read_study(folder, 2)
    assert study.comparisons[0].accuracy is None
    assert not by_claim(study, "agree in quality")


def test_a_profile_that_the_server_does_not_keep_is_told(tmp_path: Path) -> None:
    folder = write_demo(tmp_path / "d", seconds=6.0)
    assert read_study(folder, 2).meta["problems"] == []
    table = CostTable.load(folder / "costs.json")
    full = table.variants["full"]
    twice = {b: Measurement.exactly(2 * one.median_s) for b, one in full.step_s.items()}
    variants = {**table.variants, "full": replace(full, step_s=twice)}
    replace(table, variants=variants).save(folder / "costs.json")
    problems = read_study(folder, 2).meta["problems"]
    assert "alone, a picture took" in problems[0]


def test_missing_and_damaged_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no demo\.json"):
        read_study(tmp_path)
    (tmp_path / "demo.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        read_study(tmp_path)
    (tmp_path / "demo.json").write_text("[]")
    with pytest.raises(DataError, match="damaged"):
        read_study(tmp_path)


def test_an_idle_server_that_refuses_is_an_error() -> None:
    with pytest.raises(DataError, match="idle server"):
        unloaded_from([request(0, status=500)])
    with pytest.raises(DataError, match="idle server"):
        unloaded_from([])
