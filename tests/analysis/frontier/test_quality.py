"""The ladder under test and what pictures score."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from analysis.frontier.quality import (
    FinishLaw,
    PictureLaw,
    Point,
    Scoring,
    hull_ladder,
    read_points,
    rungs_named,
)
from analysis.records import Record
from policies.costs import completion_rate_per_s
from policies.nouns import Rung
from tests.analysis.simulated_servers import Fixed

STUDY = Path("analysis/benchmarks/quality/quality.json")


def point(variant: str, steps: int, ssim: float, **fields: object) -> Point:
    usual = Point("steps", variant, steps, 1.0, None, None, ssim, ssim - 0.002, ssim + 0.002, 160)
    return replace(usual, **fields)  # type: ignore[arg-type]


def picture(rung: int, run: int, planned: int, early_exit: str = "none") -> Record:
    return Record(
        0,
        "ok",
        0.0,
        0.0,
        1.0,
        1.0,
        1.0,
        steps_planned=planned,
        steps_run=run,
        rung_delivered=rung,
        early_exit=early_exit,  # type: ignore[arg-type]
    )


def test_the_study_gives_every_kind_of_setting() -> None:
    points, fixed = read_points(STUDY)
    assert fixed == {"turbo"}
    assert {p.strategy for p in points} >= {"steps", "sampler", "guidance", "replan", "finish"}
    assert all(p.low <= p.ssim + 1e-9 and 0 < p.ssim <= 1 for p in points)


def test_a_file_that_is_no_study_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "quality.json"
    path.write_text('{"points": [{}], "fixed_schedules": []}', encoding="utf-8")
    with pytest.raises(ValueError, match="no quality study"):
        read_points(path)


def test_the_ladder_is_the_upper_concave_hull_of_score_against_time() -> None:
    points, fixed = read_points(STUDY)
    ladder = hull_ladder(points, fixed, Fixed(), 4)
    assert str(ladder.best) == "full@25"
    assert ladder.best.score == pytest.approx(1.0)
    assert not ladder[ladder.last].replannable
    time_s = [1 / completion_rate_per_s(Fixed(), rung, 4) for rung in ladder.rungs]
    scores = ladder.scores()
    slopes = [
        (s0 - s1) / (t0 - t1) for (t0, s0), (t1, s1) in pairwise(zip(time_s, scores, strict=True))
    ]
    assert all(flat < steep for flat, steep in pairwise(slopes))
    for one in points:
        if one.strategy == "steps":
            own_s = 1 / completion_rate_per_s(Fixed(), Rung(one.variant, one.steps, "high"), 4)
            reached = np.interp(own_s, time_s[::-1], scores[::-1])
            assert one.ssim <= reached + 1e-9 or own_s < time_s[-1]


def test_a_setting_below_the_chord_of_its_neighbours_is_left_out() -> None:
    points = [point("full", 25, 1.0), point("full", 12, 0.91), point("full", 10, 0.9)]
    points += [point("full", 5, 0.6), point("full", 4, 0.58)]
    ladder = hull_ladder(points, frozenset(), Fixed(), 4)
    # From 10 to 25 steps a line gives 12 of them 0.913; 4 steps are the cheapest there are.
    assert [rung.steps for rung in ladder.rungs] == [25, 10, 4]


def test_rungs_can_be_named_and_must_have_been_measured() -> None:
    points, fixed = read_points(STUDY)
    ladder = rungs_named(("full@25", "small@25", "turbo@4"), points, fixed)
    assert [rung.replannable for rung in ladder.rungs] == [True, True, False]
    with pytest.raises(ValueError, match="full@7 was not measured"):
        rungs_named(("full@7",), points, fixed)


def test_a_picture_finished_early_scores_what_was_measured_there() -> None:
    points = [
        point("full", 25, 0.97, strategy="finish", exit_after=15),
        point("full", 25, 0.99, strategy="finish", exit_after=20),
        point("full", 15, 0.5, strategy="finish", exit_after=9),
    ]
    law = FinishLaw.of(points)
    assert law.score(0.6) == pytest.approx(0.97)
    assert law.score(0.7) == pytest.approx(0.98)
    assert law.score(1.0) == 1.0
    with pytest.raises(ValueError, match="finish_from"):
        law.score(0.5)
    with pytest.raises(ValueError, match="finished no picture"):
        FinishLaw.of([point("full", 25, 1.0)])


def test_single_pictures_spread_as_the_interval_of_the_mean_says() -> None:
    law = PictureLaw.of(point("turbo", 1, 0.965, low=0.9626, high=0.9674))
    scores = np.array(law.scores(((np.arange(4000) + 0.5) / 4000).tolist()))
    assert scores.mean() == pytest.approx(0.965, abs=1e-4)
    half = 1.96 * scores.std() / 160**0.5
    assert half == pytest.approx(0.0024, rel=0.02)
    assert (np.diff(scores) > 0).all()


def test_a_re_planned_picture_counts_as_its_new_rung_and_a_finished_one_as_the_worse() -> None:
    scoring = Scoring((1.0, 0.998, 0.9), FinishLaw((0.6, 0.8, 1.0), (0.96, 0.99, 1.0)), 0.8)
    assert scoring.of(picture(0, 25, 25), None) == 1.0
    assert scoring.of(picture(1, 19, 25, "replan"), None) == 0.998
    assert scoring.of(picture(1, 20, 25, "finish"), None) == pytest.approx(0.99)
    assert scoring.of(picture(2, 24, 25, "finish"), None) == 0.9
    # Re-planned first and finished then: no less than the share from which a run may be finished.
    assert scoring.of(picture(1, 10, 25, "finish"), None) == pytest.approx(0.99)


def test_a_cascades_cheap_picture_counts_with_its_own_score() -> None:
    law = FinishLaw((0.6, 1.0), (0.96, 1.0))
    assert Scoring((1.0, 0.9), law, 0.8, cheap_rung=1).of(picture(1, 4, 4), 0.93) == 0.93
    assert Scoring((1.0, 0.9), law, 0.8, cheap_rung=1).of(picture(0, 25, 25), 0.93) == 1.0
    assert Scoring((1.0, 0.9), law, 0.8).of(picture(1, 4, 4), 0.93) == 0.9


def test_what_has_no_picture_has_no_score() -> None:
    refused = Record(7, "rejected", 0.0, None, None, 0.0, 0.0)
    with pytest.raises(ValueError, match="request 7 has no picture"):
        Scoring((1.0,), FinishLaw((0.6, 1.0), (0.96, 1.0)), 0.8).of(refused, None)
