"""Confidences: the law that they are drawn from, and the pictures that the study measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis.solvers.confidences import (
    Judged,
    beta_of,
    draw_confidences,
    draw_judged,
    measured_pictures,
)
from policies.nouns import Rung

STUDY = Path(__file__).parents[3] / "analysis" / "benchmarks" / "quality" / "quality.json"
CHEAP, FULL = Rung("turbo", 4, "low", replannable=False), Rung("full", 25, "high")


@pytest.mark.parametrize("auc", [0.5, 0.65, 0.8, 0.95, 0.995])
def test_a_right_picture_is_trusted_more_with_the_given_probability(auc: float) -> None:
    judged = draw_judged(20_000, 0.7, auc, seed=3)
    right = judged.cheap == 1
    pairs = right.sum() * (~right).sum()
    ranked = stats.mannwhitneyu(judged.confidence[right], judged.confidence[~right]).statistic
    assert ranked / pairs == pytest.approx(auc, abs=0.015)
    assert right.mean() == pytest.approx(0.7, abs=0.015)
    assert 0 <= judged.confidence.min() <= judged.confidence.max() <= 1


def test_a_seed_gives_the_same_confidences_again() -> None:
    first, again, other = (draw_confidences(50, 0.8, 0.8, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_the_law_of_the_right_moves_up_with_the_discriminator() -> None:
    assert beta_of(0.5) == 3.0
    assert 3.0 < beta_of(0.7) < beta_of(0.9) < 6.0


def test_what_is_delivered_is_cheap_above_the_threshold_and_full_below() -> None:
    judged = Judged(np.array([0.1, 0.5, 0.9]), np.array([0.0, 1.0, 1.0]), np.full(3, 0.9))
    assert judged.redone_share(0.5) == pytest.approx(1 / 3)
    assert judged.mean_score(0.5) == pytest.approx(2.9 / 3)
    assert judged.kept_score(0.5) == 1.0
    assert (judged.redone_share(0.0), judged.mean_score(0.0)) == (0.0, pytest.approx(2 / 3))
    assert np.isnan(judged.kept_score(1.0))


def test_the_studys_pictures_are_paired_by_prompt() -> None:
    judged = measured_pictures(STUDY, CHEAP, FULL, auc=0.8, seed=1)
    points = json.loads(STUDY.read_text())["points"]
    names = {("turbo", 4): "cheap", ("full", 25): "full"}
    for point in points:
        setting = point["setting"]
        name = names.get((setting["variant"], setting["steps"]))
        if setting["strategy"] == "steps" and name:
            accuracy = [one["value"] for one in point["accuracy"].values()]
            assert getattr(judged, name).mean() == pytest.approx(np.mean(accuracy))
    assert judged.confidence.size == 160
    assert set(np.unique(judged.full)) <= {0.0, 1.0}


def test_studies_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        measured_pictures(tmp_path / "none.json", CHEAP, FULL, 0.8, 1)
    with pytest.raises(ValueError, match="160 of full@25; measure turbo@7"):
        measured_pictures(STUDY, Rung("turbo", 7, "low"), FULL, 0.8, 1)
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(ValueError, match="no quality study"):
        measured_pictures(other, CHEAP, FULL, 0.8, 1)


def test_laws_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"auc 0\.4"):
        beta_of(0.4)
    with pytest.raises(ValueError, match="share_right"):
        draw_judged(10, 1.5, 0.8, 1)
    with pytest.raises(ValueError, match="n 0"):
        draw_confidences(0, 0.5, 0.8, 1)
    with pytest.raises(ValueError, match="as many confidences"):
        Judged(np.zeros(2), np.zeros(2), np.zeros(3))
