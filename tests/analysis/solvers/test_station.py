"""Completion rates of several like engines."""

from __future__ import annotations

import pytest

from analysis.solvers.station import Station
from policies.costs import completion_rate_per_s
from policies.nouns import Ladder, Rung
from tests.analysis.solvers.stations import BATCHING

LADDER = Ladder((Rung("full", 20, "high", score=0.9), Rung("full", 10, "low", score=0.7)))


class Costs:
    def encode_s(self, variant: str) -> float:
        return 0.004

    def step_s(self, variant: str, batch: int, guided: int | None = None) -> float:
        return 0.010 + 0.005 * batch

    def decode_s(self, variant: str, batch: int) -> float:
        return 0.006 * batch


def test_jobs_are_spread_evenly_over_the_engines() -> None:
    station = Station.of(Costs(), LADDER, engines=2, max_batch=2)
    one, two = (completion_rate_per_s(Costs(), LADDER[0], batch) for batch in (1, 2))
    assert station.places == 4
    assert station.rates_per_s[0] == pytest.approx((one, 2 * one, one + two, 2 * two))
    assert station.capacity_per_s[0] == pytest.approx(2 * two)


def test_scores_and_steps_come_from_the_ladder_unless_given() -> None:
    station = Station.of(Costs(), LADDER, 1, 2)
    assert (station.scores, station.steps) == ((0.9, 0.7), (20, 10))
    assert Station.of(Costs(), LADDER, 1, 2, scores=(0.8, 0.1)).scores == (0.8, 0.1)


def test_more_jobs_than_places_finish_no_faster_and_none_not_at_all() -> None:
    assert BATCHING.completion_per_s(9, 1) == BATCHING.completion_per_s(3, 1) == 3.6
    assert BATCHING.completion_per_s(0, 1) == 0.0
    assert BATCHING.fastest == 2


@pytest.mark.parametrize(
    ("rates", "scores", "steps", "says"),
    [
        (((1.0,),), (1.0, 0.5), (20,), "one of each per rung"),
        (((1.0,), (1.0, 2.0)), (1.0, 0.5), (20, 10), "for each number"),
        (((0.0,),), (1.0,), (20,), "above 0"),
        (((1.0,),), (1.5,), (20,), "between 0 and 1"),
        (((1.0,),), (1.0,), (0,), "steps"),
    ],
)
def test_stations_that_cannot_be_are_refused(
    rates: tuple[tuple[float, ...], ...],
    scores: tuple[float, ...],
    steps: tuple[int, ...],
    says: str,
) -> None:
    with pytest.raises(ValueError, match=says):
        Station(rates, scores, steps)


def test_a_station_needs_an_engine_and_scores() -> None:
    with pytest.raises(ValueError, match="engines 0"):
        Station.of(Costs(), LADDER, 0, 2)
    with pytest.raises(ValueError, match="no score"):
        Station.of(Costs(), Ladder((Rung("full", 20, "high"),)), 1, 2)
