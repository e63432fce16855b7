"""Sections on other programs' results: every sentence follows from the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.document import Block, Bullets, Heading, Picture, Table
from analysis.provenance import ROOT
from analysis.report.studies import demo, engine, frontier, quality, speeds, textbook, validation
from analysis.study import RESULTS_FILE, Study
from tests.analysis.validation.documents import document

COMMITTED = ROOT / "analysis" / "benchmarks"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((COMMITTED / name).read_text(encoding="utf-8"))
    return found


def tables(blocks: list[Block]) -> list[Table]:
    return [block for block in blocks if isinstance(block, Table)]


def validated() -> dict[str, Any]:
    """A validation whose error budgets know p95 as well."""
    results = document()
    for load in results["loads"]:
        budget = load["comparison"]["budget"]
        for milestone, value in zip(budget["milestones"], (1.9, 2.0), strict=True):
            milestone["figures"]["p95_s"] = value
        for entry in budget["entries"]:
            entry["effects"]["p95_s"] = 2 * entry["effects"]["mean_s"]
            entry["standard_errors"] = {"mean_s": 0.001, "p95_s": 0.004}
    return results


def test_a_validation_tells_its_hits_and_its_misses() -> None:
    results = validated()
    found = validation.findings(results)
    assert found[0].startswith("Predicted trace-driven: mean within 3 % at 1 of 2 loads")
    assert "(or inside the finite-run band: 2) of 2 loads" in found[1]
    missed = validation.shortfalls(results)
    assert any(one.startswith("in-flight 2.5 misses: trace-driven mean by") for one in missed)
    assert "in-flight 2.5: the load generator's audit calls the run invalid." in missed
    assert "at_start-0.8 was not measured." in missed
    assert not any(one.startswith("static 0.6") for one in missed)


def test_a_validation_tells_the_error_budget_of_p95() -> None:
    budget = next(one for one in tables(validation.blocks(validated())) if "p95" in one.caption)
    assert budget.rows[0] == ("predicted (a priori)", "1900", "")
    assert ("its costs", "\N{MINUS SIGN}100", "4") in budget.rows
    assert budget.rows[-1] == ("measured", "2000", "")


def test_a_demonstration_shows_every_run_and_what_failed(written: tuple[Study, Path]) -> None:
    results = json.loads((written[1].parent / RESULTS_FILE).read_text(encoding="utf-8"))
    blocks = demo.blocks(results)
    shown = {row[0] for row in tables(blocks)[1].rows}
    assert {run["name"] for run in results["runs"]} <= shown
    assert len([block for block in blocks if isinstance(block, Picture)]) == 1
    (sentence,) = demo.findings(results)
    worst = max(results["runs"], key=lambda run: (run["load"], run["controller"] == "static"))
    assert f"{worst['measured']['p95_s']:.3f} s" in sentence
    failed = [one for one in results["verdicts"] if not (one["holds"] and one["sure"])]
    assert len(demo.shortfalls(results)) == len(failed)


def test_the_effects_of_a_run_are_those_of_its_causes(written: tuple[Study, Path]) -> None:
    results = json.loads((written[1].parent / RESULTS_FILE).read_text(encoding="utf-8"))
    found = tables(demo.blocks(results))[2]
    for n, run in enumerate(results["runs"], start=1):
        effects = (run["causes"] or {"effects": {}})["effects"].get("p95_s", {})
        told = [float(row[n].replace("\N{MINUS SIGN}", "-")) for row in found.rows if row[n]]
        assert told == pytest.approx(list(effects.values()), abs=6e-4)


def test_the_frontier_counts_all_levels_and_names_where_ours_do_not_dominate() -> None:
    results = read("frontier.json")
    counts = tables(frontier.blocks(results))[0]
    levels = sum(len(schedule["at_quality"]) for schedule in results["schedules"])
    assert sum(int(row[1]) for row in counts.rows) == levels
    lost = [one for one in results["schedules"] if not one["holds"]]
    assert len(frontier.shortfalls(results)) == len(lost)
    held = len(results["schedules"]) - len(lost)
    assert f"on {held} of {len(results['schedules'])}" in frontier.findings(results)[0]


def test_quality_that_never_changed_is_not_told_as_certain() -> None:
    results = read("quality/pareto.json")
    (sentence,) = quality.findings(results)
    assert "0 of them changed; up to" in sentence
    for one in results["rungs"]:
        one["lost"] = {"value": 0.002, "low": -0.001, "high": 0.005}
    (sentence,) = quality.findings(results)
    assert "loses 0.2 points of prompt accuracy" in sentence
    for one in results["rungs"]:
        one["lost"] = {"value": 0.1, "low": 0.05, "high": 0.2}
    assert quality.findings(results) == []


def test_hand_over_that_pays_is_no_shortfall() -> None:
    results = read("quality/pareto.json")
    results["recommendations"]["hand_over"]["recommended"] = ["one"]
    assert quality.shortfalls(results) == []


def test_unsure_failed_and_unmeasured_claims_of_the_engine_are_limits() -> None:
    results = read("engine.json")
    holding = dict(results["claims"][0], verdict="holds", is_sure=True)
    unsure = dict(holding, is_sure=False, name="unsure")
    absent = dict(holding, verdict="not measured", figure=None, is_sure=False, note="no card")
    results["claims"] = [holding, unsure, absent]
    told = engine.shortfalls(results)
    assert len(told) == 2
    assert "unsure" in told[0]
    assert "no card" in told[1]
    assert len(tables(engine.gpu_blocks(results))[0].rows) == 3


def test_every_measured_batch_is_a_row_of_the_costs() -> None:
    results = read("costs.json")
    rows = tables(engine.cost_blocks(results))[0].rows
    steps = [v["step_s"] for table in results["tables"] for v in table["variants"].values()]
    assert len(rows) == sum(len(step) for step in steps)
    assert rows[0][3] == f"{1000 * steps[0]['1']['median_s']:.1f}"


def test_every_form_of_the_cost_study_is_a_row() -> None:
    results = read("cost_study.json")
    rows = tables(engine.transfer_blocks(results))[0].rows
    forms = results["report"]["forms"]
    assert [(row[0], row[1]) for row in rows] == [(f, w) for f in forms for w in forms[f]]


def test_a_reference_value_outside_its_interval_is_a_limit() -> None:
    results = read("textbook.json")
    inside = sum(one["inside"] for one in results["values"])
    assert f"{inside} of {len(results['values'])}" in textbook.findings(results)[0]
    results["values"][0]["inside"] = False
    assert len(textbook.shortfalls(results)) == len(results["values"]) - inside + 1
    assert textbook.blocks(results)


def test_the_slowest_policies_are_shown_first_and_slow_cases_are_limits() -> None:
    timed = read("dispatcher.json")
    rows = tables(speeds.dispatcher_blocks(timed))[0].rows
    slowest = max(one["mean_us"] for one in timed["timed"])
    assert rows[0][4] == f"{slowest:.0f}"
    assert f"{slowest:.0f} µs" in speeds.dispatcher_findings(timed)[0]
    cases = read("simulator.json")
    cases["timed"] = [dict(one, jobs_per_s=20_000.0) for one in cases["timed"]]
    assert speeds.simulator_shortfalls(cases) == []
    cases["timed"][0]["jobs_per_s"] = 9_000.0
    assert "9,000 jobs/s" in speeds.simulator_shortfalls(cases)[0]
    assert [row[5] for row in tables(speeds.simulator_blocks(cases))[0].rows][:2] == ["no", "yes"]


@pytest.mark.parametrize(
    ("module", "name"),
    [(frontier, "frontier.json"), (quality, "quality/pareto.json"), (textbook, "textbook.json")],
)
def test_a_section_begins_with_its_title(module: Any, name: str) -> None:
    blocks = module.blocks(read(name))
    assert blocks[0].level == 1
    assert all(block.items for block in blocks if isinstance(block, Bullets))
    assert [block for block in blocks[1:] if isinstance(block, Heading) and block.level == 1] == []
