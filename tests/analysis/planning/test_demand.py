"""What is asked, what cannot be had, and the bound that no arrangement beats."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from analysis.planning.demand import Demand, Fleet, Setting, quality_asked
from analysis.simulation_inputs import Overheads
from analysis.simulator import Arrival, Template, simulate
from tests.analysis.planning.fleets import LADDER, fleet
from tests.analysis.synthetic_demo import CONFIG


def test_a_picture_alone_takes_what_the_simulator_says(tmp_path: Path) -> None:
    like = fleet(tmp_path, Overheads(0.004, 0.002, 0.006))
    result = simulate([Arrival(1.0, Template(2))], like.server(Setting(1, "full")))
    assert like.unloaded_s() == pytest.approx(result.records[0].latency_s, abs=1e-9)


@pytest.mark.parametrize(
    ("rate", "slo", "score", "burst", "sentence"),
    [
        (0.0, 1.0, None, 1.0, "--rate 0"),
        (float("nan"), 1.0, None, 1.0, "--rate nan"),
        (1.0, -1.0, None, 1.0, "--slo-p95 -1"),
        (1.0, 1.0, 1.2, 1.0, "--min-quality 1.2"),
        (1.0, 1.0, None, 0.5, "--burst 0.5"),
    ],
)
def test_what_no_server_can_be_asked_is_refused(
    rate: float, slo: float, score: float | None, burst: float, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Demand(rate, slo, score, burst)


def test_a_promise_below_the_unloaded_response_names_a_ladder_that_could_keep_it(
    tmp_path: Path,
) -> None:
    like = fleet(tmp_path)
    with pytest.raises(ValueError, match=r"0\.382 s at full service.*begins at full@10"):
        like.check(Demand(1.0, 0.3, 0.9))
    with pytest.raises(ValueError, match="engines themselves would have to be faster"):
        like.check(Demand(1.0, 0.01, 0.9))
    like.check(Demand(1.0, 0.4, 0.9))


def test_a_score_above_that_of_full_service_is_refused(tmp_path: Path) -> None:
    ladder = [{**LADDER[0], "score": 0.995}, *LADDER[1:]]
    with pytest.raises(ValueError, match=r"above the 0\.995 of full service"):
        fleet(tmp_path, ladder=ladder).check(Demand(1.0, 1.0, 0.999))


def test_a_mean_score_needs_a_ladder_with_scores(tmp_path: Path) -> None:
    like = fleet(tmp_path, ladder=CONFIG["ladder"])
    assert not like.has_scores
    with pytest.raises(ValueError, match="has no score"):
        like.check(Demand(1.0, 1.0, 0.9))
    like.check(Demand(1.0, 1.0, None))


def test_a_label_cuts_the_ladder(tmp_path: Path) -> None:
    like = fleet(tmp_path)
    assert [str(rung) for rung in like.cut_at("medium").ladder.rungs] == ["full@25", "full@10"]
    assert len(like.cut_at("high").ladder) == 1
    assert len(like.cut_at("auto").ladder) == 3
    with pytest.raises(ValueError, match="no rung offers quality 'max'"):
        like.cut_at("max")


def test_quality_is_a_label_or_a_number() -> None:
    assert quality_asked("medium") == ("medium", None)
    assert quality_asked("0.97") == (None, 0.97)
    with pytest.raises(ValueError, match="neither a mean score"):
        quality_asked("best")


def test_unlike_engines_are_refused(tmp_path: Path) -> None:
    like = fleet(tmp_path)
    pool = like.pool
    with pytest.raises(ValueError, match="2 pools"):
        Fleet(replace(like.settings, pools=(pool, pool)), like.costs, like.overheads)
    part = replace(pool, variants=("full",))
    with pytest.raises(ValueError, match="do not host turbo"):
        Fleet(replace(like.settings, pools=(part,)), like.costs, like.overheads)


def test_the_cheapest_mixture_is_the_best_of_all_mixtures(tmp_path: Path) -> None:
    like = fleet(tmp_path)
    costs = [like.least_engine_s(rung) for rung in like.ladder.rungs]
    scores = like.ladder.scores()
    for asked in (0.9, 0.93, 0.985, 0.995, 1.0):
        parts = range(101)
        mixtures = [
            (a / 100, b / 100, 1 - (a + b) / 100) for a, b in product(parts, parts) if a + b <= 100
        ]
        allowed = [
            sum(share * cost for share, cost in zip(mixture, costs, strict=True))
            for mixture in mixtures
            if sum(share * score for share, score in zip(mixture, scores, strict=True))
            >= asked - 1e-9
        ]
        assert like.least_mean_engine_s("in_flight", asked) == pytest.approx(min(allowed), rel=0.02)
        assert like.least_mean_engine_s("in_flight", asked) <= min(allowed) + 1e-9


def test_no_simulated_engine_makes_a_picture_in_less_than_the_bound(tmp_path: Path) -> None:
    like = fleet(tmp_path)
    together = [Arrival(0.0, Template(0)) for _ in range(40)]
    result = simulate(together, like.server(Setting(1, "full")))
    busy_s = sum(result.busy_s.values())
    assert like.least_engine_s(like.ladder.best) <= busy_s / 40
    assert like.least_engine_s(like.ladder.best) == pytest.approx(busy_s / 40, rel=0.02)
