"""Step-batched engines as chains of stages agree with the models they contain and with SimPy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.models.erlang_servers import mekc
from analysis.models.lps import lps
from analysis.models.stages import StageServer, stage_chain, with_quick_stages
from analysis.models.steady import Prediction, Unstable
from analysis.records import Interval, confidence_interval
from tests.analysis.models.simpy_engine import FIGURES, Engine

RATES = (1.0, 1.6, 2.0, 2.2)
STATIC = StageServer(RATES)
HALVED = StageServer(RATES, work=(1.0, 0.5), enter=(5,), leave=(2,))
LADDER = StageServer(RATES, 3, (1.0, 0.75, 0.5, 0.35), (2, 4, 4), (0, 1, 3), in_flight=True)


def same(one: Prediction, other: Prediction, rel: float) -> None:
    for figure in FIGURES[:-1]:
        value = getattr(other, figure)
        assert getattr(one, figure) == pytest.approx(value, rel=rel), figure


def test_one_stage_is_the_exponential_chain() -> None:
    for rates in (RATES, (1.0, 0.7), (1.0,)):
        same(stage_chain(0.6, StageServer(rates, 1)), lps(0.6, rates), rel=1e-6)


@pytest.mark.parametrize("stages", [2, 3, 5])
def test_one_place_is_a_server_of_erlang_services(stages: int) -> None:
    same(stage_chain(0.8, StageServer((1.0,), stages)), mekc(0.8, 1.0, stages, 1), rel=1e-6)


def test_several_places_as_fast_as_they_are_many_are_servers() -> None:
    said = stage_chain(2.4, StageServer((1.0, 2.0, 3.0), 2))
    servers = mekc(2.4, 1.0, 2, 3)
    assert said.utilisation > servers.utilisation  # any job counts, not the share of places taken
    same(said, replace(servers, utilisation=said.utilisation), rel=1e-6)


def test_thresholds_that_are_never_reached_change_nothing() -> None:
    for in_flight in (False, True):
        far = replace(HALVED, stages=2, enter=(60,), leave=(0,), in_flight=in_flight)
        said = stage_chain(0.9, far)
        same(said, stage_chain(0.9, replace(STATIC, stages=2)), rel=1e-6)
        assert said.degraded_share == pytest.approx(0, abs=1e-9)
    assert stage_chain(0.9, replace(STATIC, stages=2)).degraded_share is None


def test_full_steps_for_nobody_but_the_first_are_the_lower_rung_throughout() -> None:
    soon = StageServer((1.0,), 2, (1.0, 0.5), (1,), (0,))
    shares = [stage_chain(rate, soon).degraded_share for rate in (0.01, 1.0, 1.9)]
    assert shares[0] == pytest.approx(0, abs=1e-3)
    assert shares == sorted(shares)  # type: ignore[type-var]
    assert 0.8 < (shares[-1] or 0) < 1


def test_a_rung_in_flight_is_felt_sooner_and_by_more() -> None:
    bound, flying = (
        stage_chain(2.6, replace(HALVED, in_flight=in_flight)) for in_flight in (False, True)
    )
    assert flying.mean_response_s < bound.mean_response_s
    assert (flying.degraded_share or 0) > (bound.degraded_share or 0)


def simulated(rate_per_s: float, server: StageServer, jobs: int, runs: int) -> list[Interval]:
    figures = [Engine(rate_per_s, server, seed).run(jobs, jobs // 10) for seed in range(runs)]
    return [confidence_interval(column, 0.9995) for column in zip(*figures, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate_per_s", "server"),
    [
        (1.7, STATIC),
        (2.6, HALVED),
        (2.6, replace(HALVED, in_flight=True)),
        (2.9, LADDER),
        (1.1, StageServer((1.0, 1.3), 5, (1.0, 0.7, 0.4), (2, 3), (0, 1))),
    ],
    ids=["static", "at start", "in flight", "ladder in flight", "ladder at start"],
)
def test_the_chain_lies_within_the_intervals_of_an_engine_in_simpy(
    rate_per_s: float, server: StageServer
) -> None:
    said, found = stage_chain(rate_per_s, server), simulated(rate_per_s, server, 9_000, 8)
    for figure, interval in zip(FIGURES, found, strict=True):
        value = getattr(said, figure)
        assert value is None or value in interval, figure


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate_per_s", "server"),
    [(1.3, STATIC), (2.6, HALVED), (2.6, replace(HALVED, in_flight=True))],
    ids=["static", "at start", "in flight"],
)
def test_carried_on_to_many_steps_it_errs_by_less_than_it_says(
    rate_per_s: float, server: StageServer
) -> None:
    said = stage_chain(rate_per_s, replace(server, stages=5, steps=25))
    few = stage_chain(rate_per_s, replace(server, stages=5))
    found = simulated(rate_per_s, replace(server, stages=25), 4_000, 4)
    error = said.error_estimate
    assert error is not None
    for figure, interval in list(zip(FIGURES, found, strict=True))[1:]:
        value = getattr(said, figure)
        if value is None:
            continue
        assert value == pytest.approx(
            interval.mean, abs=interval.half_width + error * interval.mean
        )
    assert abs(said.p99_s - found[4].mean) < abs(few.p99_s - found[4].mean)


def test_what_changes_too_much_from_stage_to_stage_is_not_carried_on() -> None:
    deep = StageServer((1.0, 1.3), 2, (1.0, 0.1), (2,), (0,), in_flight=True)
    assert stage_chain(2.2, deep).mean_response_s > 0
    with pytest.raises(ValueError, match=r"too far from 25 steps: .*; take more stages"):
        stage_chain(2.2, replace(deep, steps=25))


def test_fewer_stages_are_chosen_where_many_cost_too_much() -> None:
    assert with_quick_stages(STATIC).stages == 5
    assert with_quick_stages(replace(STATIC, stages=3, steps=4)).stages == 4
    assert with_quick_stages(StageServer((1.0,) * 12)).stages < 5
    with pytest.raises(ValueError, match="states a level, more than"):
        stage_chain(0.5, StageServer((1.0,) * 12, 8))


def test_a_load_that_the_last_rung_cannot_carry_is_refused() -> None:
    with pytest.raises(Unstable, match=r"utilisation 1\.136"):
        stage_chain(2.5, STATIC)
    with pytest.raises(Unstable, match=r"utilisation 1\.136"):
        stage_chain(5.0, HALVED)
    with pytest.raises(ValueError, match="take more stages"):
        stage_chain(4.0, StageServer((1.0,), 2, (1.0, 0.2), (5,), (2,)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rates_per_s": ()}, "must be given"),
        ({"rates_per_s": (1.0, float("nan"))}, "above 0"),
        ({"stages": 0}, "stages 0 must be at least 1"),
        ({"steps": 3}, "steps 3 must be at least the 4 stages"),
        ({"work": (0.9, 0.5)}, "must begin with 1"),
        ({"work": (1.0, 1.0)}, "must fall"),
        ({"work": (1.0,)}, "1 rungs of work need 0 enter"),
        ({"leave": (5,)}, "below its enter threshold"),
    ],
)
def test_a_server_that_cannot_be_is_refused_in_one_line(
    change: dict[str, object], says: str
) -> None:
    with pytest.raises(ValueError, match=says) as refusal:
        replace(HALVED, **change)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)


def test_a_rate_must_be_a_finite_number() -> None:
    with pytest.raises(ValueError, match="rate_per_s nan"):
        stage_chain(float("nan"), STATIC)
