"""The command writes what its page can be made of alone, and refuses what cannot be."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from analysis.document import Heading, Picture, to_markdown
from analysis.planning import command, study
from analysis.planning.page import blocks
from tests.analysis.planning.fleets import LADDER, PLACES, write_config
from tests.analysis.synthetic_demo import CONFIG, cost_table

DEMAND = ("--rate", "9", "--slo-p95", "0.9", "--min-quality", "0.985")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Short runs, and few engines in place of many."""
    monkeypatch.setattr("analysis.planning.trials.JOBS_MIN", 100)
    monkeypatch.setattr("analysis.planning.trials.JOBS_PER_PLACE_CHECKED", 12)
    monkeypatch.setattr("analysis.planning.sizing.RATE_STEPS", 3)
    for module in ("answers", "study", "sweeps"):
        monkeypatch.setattr(f"analysis.planning.{module}.SMALL_ENGINES", 3)
    monkeypatch.setattr("analysis.planning.answers.CHECK_ENGINES", 20)
    monkeypatch.setattr("analysis.planning.sweeps.CHECK_SIZE", 6)
    monkeypatch.setattr("analysis.planning.sweeps.CURVE_POINTS", 3)
    cost_table(PLACES).save(tmp_path / "costs.json")
    write_config(tmp_path)
    return tmp_path


def run(folder: Path, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    known = ("--config", str(folder / "server.yaml"), "--costs", str(folder / "costs.json"))
    return command.run(parser.parse_args([*known, *arguments]))


def printed(small: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(small, *arguments, "--json") == 0
    return dict(json.loads(capsys.readouterr().out))


def test_a_plan_answers_every_mode(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = printed(small, capsys, *DEMAND, "--price-per-hour", "3")
    modes = results["plans"][0]["modes"]
    assert list(modes) == ["full", "at_start", "in_flight"]
    for one in modes.values():
        assert one["engines"] >= one["bound"] >= 1
        assert one["engines"] <= modes["full"]["engines"]
        assert one["figures"]["p95_s"] <= 0.9
        assert one["figures"]["score"] >= 0.985
        assert one["breaks_at_per_s"] >= 9
        assert one["cost"]["per_hour"] == 3 * one["engines"]
        assert one["cost"]["per_1000_pictures"] == pytest.approx(one["engines"] * 3 / 32.4)
    assert modes["full"]["thresholds"] is None
    assert "sweep" not in results


def test_the_same_seed_plans_the_same(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, again = (printed(small, capsys, *DEMAND)["plans"] for _ in range(2))
    assert first == again


def test_a_label_is_kept_by_every_picture(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = printed(small, capsys, *DEMAND[:4], "--min-quality", "medium")
    assert [rung["rung"] for rung in results["ladder"]] == ["full@25", "full@10"]
    modes = results["plans"][0]["modes"]
    assert all(len(m["thresholds"]["enter"]) == 1 for m in modes.values() if m["thresholds"])
    assert all(10 <= one["figures"]["mean_steps"] <= 25 for one in modes.values())


def test_a_burst_is_planned_for_and_calm_hours_are_told(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demand = *DEMAND[:4], "--min-quality", "medium"
    calm = printed(small, capsys, *demand)["plans"][0]["modes"]
    peak = printed(small, capsys, *demand, "--burst", "2")["plans"][0]["modes"]
    for name in calm:
        assert peak[name]["engines"] >= calm[name]["engines"]
        assert peak[name]["at_mean"]["score"] >= peak[name]["figures"]["score"]
        assert calm[name]["at_mean"] is None
    assert peak["full"]["engines"] > calm["full"]["engines"]


def test_slower_engines_are_more_engines(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full_only = *DEMAND[:4], "--min-quality", "high"
    results = printed(small, capsys, *full_only, "--slower", "1.5")
    faster = printed(small, capsys, *full_only)
    assert results["engine"]["capacity_per_s"] < faster["engine"]["capacity_per_s"]
    needed = [one["plans"][0]["modes"]["full"]["engines"] for one in (results, faster)]
    assert needed[0] > needed[1]


def test_a_plan_with_out_has_sweeps_and_a_page_from_its_json(small: Path) -> None:
    out = small / "new" / "plan"
    assert run(small, *DEMAND, "--out", str(out)) == 0
    results = json.loads(out.with_suffix(".json").read_text())
    shown = blocks(results)
    assert shown[0] == Heading("How many engines, and what early exit saves", 1)
    assert out.with_suffix(".md").read_text() == to_markdown(shown)
    assert "<svg" in out.with_suffix(".svg").read_text()
    assert [block.name for block in shown if isinstance(block, Picture)] == ["plan"]
    rows = results["sweep"]["steps"]
    assert all(row["early_up_to_per_s"] >= row["full_up_to_per_s"] for row in rows)
    knee = results["sweep"]["knee"]
    assert knee["rate_per_s"] == rows[knee["engines"] - 1]["full_up_to_per_s"]
    assert knee["at_the_top"]["score"] <= knee["there"]["score"] < 1


@pytest.mark.slow
def test_the_study_has_every_rate_with_dispatchers(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "STUDY_RATES_PER_S", (9.0, 90.0, 9_000.0))
    monkeypatch.setattr(study, "LOSS_SHARDS", (1, 4))
    out = small / "plan"
    assert run(small, "--study", "--min-quality", "0.985", "--out", str(out)) == 0
    results = json.loads(out.with_suffix(".json").read_text())
    assert [plan["whole"]["rate_per_s"] for plan in results["plans"]] == [9.0, 90.0, 9_000.0]
    largest = results["plans"][-1]
    assert largest["shards"] > 1
    for plan in results["plans"]:
        for one in plan["modes"].values():
            assert one["engines_in_all"] == one["engines"] * plan["shards"]
            assert one["engines_in_all"] <= plan["modes"]["full"]["engines_in_all"]
            assert one["engines"] <= results["dispatcher"]["engines"]
    assert largest["modes"]["full"]["engines_in_all"] >= largest["one_queue_engines"]
    page = out.with_suffix(".md").read_text()
    for title in ("The table on paper", "Planned for a peak", "What dividing", "The chain beside"):
        assert f"## {title}" in page


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--slo-p95", "1", "--min-quality", "0.9"), "--rate is missing"),
        (("--rate", "1", "--min-quality", "0.9"), "--slo-p95 is missing"),
        (("--rate", "1", "--slo-p95", "1"), "--min-quality is missing"),
        (("--rate", "0", *DEMAND[2:]), "--rate 0"),
        ((*DEMAND[:4], "--min-quality", "1.5"), "--min-quality 1.5"),
        ((*DEMAND[:2], "--slo-p95", "0.2", "--min-quality", "0.9"), "cannot be held"),
        ((*DEMAND, "--overheads", "1,2"), "three numbers of seconds"),
        ((*DEMAND, "--slower", "0"), "--slower 0"),
        ((*DEMAND, "--price-per-hour", "-1"), "--price-per-hour -1"),
        ((*DEMAND, "--study"), "leave --rate out"),
        ((*DEMAND, "--seed", "-1"), "seed -1"),
    ],
)
def test_bad_input_is_one_sentence(small: Path, arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        run(small, *arguments)


def test_two_pools_are_refused(small: Path) -> None:
    (engine,) = CONFIG["engines"]
    write_config(small, ladder=LADDER, engines=[engine, {**engine, "name": "other"}])
    with pytest.raises(ValueError, match="one pool"):
        run(small, *DEMAND)
