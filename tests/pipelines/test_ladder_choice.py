"""Ladders chosen from a Pareto file: what serve's configuration takes, labelled by what was measured."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from pipelines.ladder_choice import choose_ladder, label_of, score_of, yaml_of
from pipelines.quality_study.pareto import pareto, save
from pipelines.quality_study.results import MeanSteps, Study, price
from pipelines.quality_study.settings import Setting
from policies.nouns import quality_index
from serve.config import DEFAULT_CONFIG, parse_config
from tests.pipelines.quality_study.synthetic import point, study


def written(folder: Path, measured: Study | None = None) -> Path:
    measured = measured or study()
    save(pareto(measured, price(measured)), folder / "pareto.json")
    return folder / "pareto.json"


@pytest.mark.parametrize("rungs", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("by", ["accuracy", "ssim"])
def test_the_section_is_one_that_serve_accepts(tmp_path: Path, rungs: int, by: str) -> None:
    choice = choose_ladder(written(tmp_path), rungs, by=by)  # type: ignore[arg-type]
    content = yaml.safe_load(DEFAULT_CONFIG.read_text())
    content["ladder"] = yaml.safe_load(yaml_of(choice))["ladder"]
    used = {rung["variant"] for rung in content["ladder"]}
    content["variants"] = {name: one for name, one in content["variants"].items() if name in used}
    content["engines"][0]["variants"] = sorted(used)
    content["controller"] = {"kind": "static"}
    config = parse_config(content, DEFAULT_CONFIG)
    assert config.build_ladder() == choice.ladder
    assert len(choice.ladder) == rungs


def test_the_reference_comes_first_and_costs_and_labels_fall(tmp_path: Path) -> None:
    choice = choose_ladder(written(tmp_path), 5)
    assert str(choice.ladder.best) == "full@25"
    for high, low in pairwise(choice.offers):
        assert low.cost_share < high.cost_share
        assert quality_index(label_of(low)) <= quality_index(label_of(high))
    assert [rung.quality for rung in choice.ladder.rungs] == [label_of(o) for o in choice.offers]


def test_labels_follow_the_accuracy_lost(tmp_path: Path) -> None:
    rungs = choose_ladder(written(tmp_path), 6).ladder.rungs
    assert {str(rung): rung.quality for rung in rungs} == {
        "full@25": "high",
        "full@15": "high",
        "full@10": "high",
        "full@6": "medium",
        "full@6/guided 50 %": "medium",
        "turbo@2": "low",
    }


def test_the_score_of_a_rung_is_its_likeness_to_the_full_pictures(tmp_path: Path) -> None:
    choice = choose_ladder(written(tmp_path), 5)
    scores = [rung["score"] for rung in yaml.safe_load(yaml_of(choice))["ladder"]]
    assert scores[0] == 1.0
    assert scores == [round(offer.ssim, 4) for offer in choice.offers]
    assert tuple(scores) == choice.ladder.scores()


@pytest.mark.parametrize(("ssim", "score"), [(0.99999999, 1.0), (1.0001, 1.0), (-0.1, 0.0)])
def test_a_score_lies_between_0_and_1(tmp_path: Path, ssim: float, score: float) -> None:
    reference = choose_ladder(written(tmp_path), 1).offers[0]
    assert score_of(replace(reference, ssim=ssim)) == score


def test_no_rung_loses_more_than_allowed(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert choose_ladder(path, 3, drop=3).offers[-1].name == "full@6"
    assert choose_ladder(path, 3, drop=9).offers[-1].name == "turbo@2"
    with pytest.raises(ValueError, match="no ladder of 5 rungs that lose at most 1 points"):
        choose_ladder(path, 5, drop=1)


def test_costs_fall_evenly(tmp_path: Path) -> None:
    names = [offer.name for offer in choose_ladder(written(tmp_path), 3).offers]
    # Cost shares 1, 0.18 and 0.04: of all rungs, half the guidance of six steps is nearest to 0.2.
    assert names == ["full@25", "full@6 guided 50%", "turbo@2"]


def test_a_label_never_rises_down_the_ladder(tmp_path: Path) -> None:
    better = point(
        Setting("steps", "turbo", 1), lost=0.0, ssim=0.9, steps={"turbo": MeanSteps(0.0, 1.0)}
    )
    choice = choose_ladder(written(tmp_path, study(better)), 3)
    assert [offer.name for offer in choice.offers][-1] == "turbo@1"
    assert all(rung.quality == "high" for rung in choice.ladder.rungs)


def test_guidance_never_rises_down_the_ladder(tmp_path: Path) -> None:
    between = point(
        Setting("guidance", "full", 10, guidance_share=0.4),
        lost=0.006,
        ssim=0.99,
        steps={"full": MeanSteps(4.0, 6.0)},
    )
    for rungs in (3, 4, 5):
        shares = [
            rung.guidance_share
            for rung in choose_ladder(written(tmp_path, study(between)), rungs).ladder.rungs
            if rung.variant == "full"
        ]
        assert shares == sorted(shares, reverse=True)


def test_what_is_dearer_and_worse_is_never_chosen(tmp_path: Path) -> None:
    worse = point(Setting("steps", "full", 20), lost=0.06, ssim=0.9)
    choice = choose_ladder(written(tmp_path, study(worse)), 6)
    assert "full@20" not in [offer.name for offer in choice.offers]


def test_it_says_from_where_on_pictures_may_be_finished_at_once(tmp_path: Path) -> None:
    said = yaml_of(choose_ladder(written(tmp_path), 6))
    assert "abc1234" in said
    assert "finish_from is 0.8 or more, for full@15" in said
    assert "finish_from is 0.6 or more, for full@6 guided 50%" in said


def test_it_says_where_no_picture_may_be_finished_at_once(tmp_path: Path) -> None:
    early = replace(study(), points=study().points[:8])  # finishing after 10 and 15 of 25 only
    said = yaml_of(choose_ladder(written(tmp_path, early), 6))
    assert "no share is late enough for full@15" in said
    assert "finish_from is 0.6 or more, for full@6 guided 50%" in said


@pytest.mark.parametrize("rungs", [0, 9])
def test_a_ladder_of_no_or_too_many_rungs_is_refused(tmp_path: Path, rungs: int) -> None:
    with pytest.raises(ValueError, match="--rungs must be 1 to 8"):
        choose_ladder(written(tmp_path), rungs)


def test_a_file_that_is_no_pareto_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pareto.json"
    with pytest.raises(ValueError, match="No such file"):
        choose_ladder(path, 2)
    path.write_text("no JSON")
    with pytest.raises(ValueError, match="is not JSON"):
        choose_ladder(path, 2)
    path.write_text(json.dumps({"rungs": []}))
    with pytest.raises(ValueError, match="is not usable"):
        choose_ladder(path, 2)
