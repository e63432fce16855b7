"""Replications are independent, repeatable, and told with intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.replications import Seeds, figures_of_run, replicated, spawned
from analysis.simulator import Arrival, EngineSpec, Template, simulate
from policies.controllers import Static
from policies.nouns import Ladder, Rung
from tests.analysis.simulated_servers import ANY, server


def test_seeds_come_from_one_and_are_all_different() -> None:
    once, again = list(spawned(1, 40)), list(spawned(1, 40))
    assert once == again
    drawn = [seed for seeds in once for seed in (seeds.arrivals, seeds.policy)]
    assert len(set(drawn)) == 80
    assert list(spawned(2, 40)) != once


def test_a_longer_series_begins_with_the_shorter_one() -> None:
    assert list(spawned(7, 30))[:5] == list(spawned(7, 5))


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    def draw(seeds: Seeds) -> dict[str, float]:
        return {"x": float(np.random.default_rng(seeds.arrivals).exponential(2.0, 200).mean())}

    covered = sum(2.0 in replicated(draw, seed, 8, level=0.9)["x"] for seed in range(400))
    assert covered / 400 == pytest.approx(0.9, abs=0.05)


def test_every_figure_has_its_interval() -> None:
    found = replicated(lambda seeds: {"a": 1.0, "b": float(seeds.arrivals % 2)}, 1, 6)
    assert found.keys() == {"a", "b"}
    assert (found["a"].mean, found["a"].half_width, found["a"].replications) == (1.0, 0.0, 6)
    assert found["b"].half_width > 0


def test_replications_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 replications"):
        replicated(lambda seeds: {}, 1, 1)
    with pytest.raises(ValueError, match="must not be negative"):
        list(spawned(-1, 3))
    names = iter(["a", "b"])
    with pytest.raises(ValueError, match="other figures"):
        replicated(lambda seeds: {next(names): 1.0}, 1, 2)


SCORED = Ladder((Rung("full", 25, "high", score=1.0), Rung("full", 10, "medium", score=0.8)))


def test_the_figures_of_a_run_can_be_added_up_by_hand() -> None:
    alone_s = 0.004 + 25 * 0.015 + 0.006
    what = server(ladder=SCORED, batch=1, max_waiting=1)
    what = replace(what, engines=(EngineSpec("e", 1, price_per_s=2.0),))
    hurried = Template(0, deadline_after_s=0.5 * alone_s)
    result = simulate([Arrival(0.0, hurried)] * 3, what)
    figures = figures_of_run(result, SCORED, duration_s=4 * alone_s)
    # The first is served too late, the second expires in line, the third is refused.
    assert figures["mean_s"] == pytest.approx(alone_s)
    assert figures["refused_share"] == pytest.approx(2 / 3)
    assert figures["late_share"] == pytest.approx(2 / 3)
    assert figures["busy_share"] == pytest.approx(1 / 4)
    assert figures["engine_s_per_picture"] == pytest.approx(alone_s)
    assert figures["price_per_picture"] == pytest.approx(2 * alone_s)
    assert (figures["peak_waiting"], figures["score"], figures["degraded_share"]) == (1, 1.0, 0)


def test_the_score_is_the_mean_of_what_was_delivered() -> None:
    result = simulate([Arrival(0.0, ANY)], server(Static(1), ladder=SCORED))
    assert figures_of_run(result, SCORED, 1.0)["score"] == pytest.approx(0.8)


def test_warm_up_is_left_out() -> None:
    result = simulate([Arrival(0.0, ANY), Arrival(0.1, ANY), Arrival(9.0, ANY)], server())
    later = figures_of_run(result, SCORED, 9.0, warm_up_s=5.0)
    assert later["mean_s"] == pytest.approx(result.records[2].latency_s)
    with pytest.raises(ValueError, match="no request got a picture"):
        figures_of_run(result, SCORED, 9.0, warm_up_s=50.0)
