"""The comparison of runs with their replays."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.faults import MeasurementError
from analysis.intervals import Band
from analysis.prediction import Figures
from analysis.sim_check.check import (
    DEGRADED_LIMIT,
    MEAN_LIMIT,
    OTHERS,
    OWN,
    OWN_COSTS,
    OWN_LAGS,
    OWN_PACE,
    OWN_RESPONSE,
    P95_LIMIT,
    REPLAYS_TOLD,
    Check,
    Comparison,
    Deviation,
    Simulated,
    check,
    deviation_of,
)
from tests.analysis.sim_check.conftest import SLOW_RUN
from tests.analysis.synthetic_demo import OVERHEADS


def by_name(comparisons: tuple[Comparison, ...]) -> dict[str, Comparison]:
    return {one.name: one for one in comparisons}


def test_runs_that_the_simulator_served_are_found_again(checked: Check) -> None:
    for name, one in by_name(checked.runs).items():
        if name != SLOW_RUN:
            assert one.simulated[OWN].deviation.within, name
    assert abs(by_name(checked.runs)["static-0.6-1"].simulated[OWN].deviation.mean) < 0.005


def test_a_run_on_a_slower_machine_needs_its_own_costs(checked: Check) -> None:
    slow = by_name(checked.runs)[SLOW_RUN]
    assert slow.predicted.deviation.mean < -0.15
    assert abs(slow.simulated[OWN_COSTS].deviation.mean) < MEAN_LIMIT
    assert abs(slow.simulated[OWN].deviation.mean) < 0.01
    for other in (OWN_LAGS, OWN_RESPONSE):
        assert slow.simulated[other].deviation.mean < -0.15


def test_the_slow_run_slows_the_predictions_of_the_others_a_little(checked: Check) -> None:
    for name, one in by_name(checked.runs).items():
        if name != SLOW_RUN:
            assert one.predicted.deviation.mean > 0, name


def test_an_even_speed_changes_nothing(checked: Check) -> None:
    for one in checked.runs:
        even, own = one.simulated[OWN_PACE].figures, one.simulated[OWN].figures
        assert even.mean_s == pytest.approx(own.mean_s)


def test_the_ways_outside_the_engine_are_found_again(checked: Check) -> None:
    for name, lags in checked.lags.items():
        assert lags.arrival_s == pytest.approx(OVERHEADS.grant_s, abs=0.002), name
    assert checked.response_s["static-0.6-1"] == pytest.approx(OVERHEADS.response_s, abs=0.002)


def test_loads_hold_both_rounds(checked: Check) -> None:
    loads, runs = by_name(checked.loads), by_name(checked.runs)
    assert list(loads) == ["static-0.6", "controlled-0.8", "controlled-1.2", "controlled-1.6"]
    for name, one in loads.items():
        assert one.runs == (f"{name}-1", f"{name}-2")
        assert one.measured.n == sum(runs[run].measured.n for run in one.runs)
        simulated = [runs[run].simulated[OWN].figures.mean_s for run in one.runs]
        assert min(simulated) <= one.simulated[OWN].figures.mean_s <= max(simulated)


def test_progress_is_told_as_often_as_announced(checked: Check, told: list[str]) -> None:
    assert len(told) == REPLAYS_TOLD


def test_a_measurement_that_did_not_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="no measurement that came to its end"):
        check(tmp_path)


def figures(mean_s: float, p95_s: float, degraded_share: float) -> Figures:
    return Figures(100, mean_s, mean_s, p95_s, p95_s, 20.0, degraded_share, 0)


def test_deviations_are_shares_of_the_measurement_and_points_of_the_degraded_share() -> None:
    off = deviation_of(figures(1.02, 1.9, 0.45), figures(1.0, 2.0, 0.5))
    assert (off.mean, off.p95, off.degraded) == pytest.approx((0.02, -0.05, -0.05))


@pytest.mark.parametrize("sign", [-1, 1])
def test_every_limit_counts(sign: int) -> None:
    just = Deviation(sign * MEAN_LIMIT, sign * P95_LIMIT, sign * DEGRADED_LIMIT)
    assert just.within
    for name in ("mean", "p95", "degraded"):
        values = {n: getattr(just, n) for n in ("mean", "p95", "degraded")}
        values[name] *= 1.01
        assert not Deviation(**values).within


def compared(off: Deviation, far: bool) -> Comparison:
    measured = figures(1.0, 2.0, 0.5)
    reach = 0.001 if far else 0.5
    bands = {
        name: Band(getattr(measured, name) + 0.1 * far - reach, getattr(measured, name) + 0.5)
        for name in ("mean_s", "p95_s", "degraded_share")
    }
    return Comparison("one", ("one",), measured, {OWN: Simulated(measured, bands, off)})


def test_what_is_beyond_a_limit_may_be_chance_if_single_replays_reach_the_measurement() -> None:
    beyond = Deviation(0.0, 2 * P95_LIMIT, 0.0)
    assert compared(beyond, far=False).by_chance(OWN)
    assert not compared(beyond, far=True).by_chance(OWN)
    assert not compared(Deviation(0.0, 0.0, 0.0), far=False).by_chance(OWN)


def test_the_prediction_takes_nothing_from_the_run_but_its_arrivals(checked: Check) -> None:
    for one in checked.runs:
        assert one.predicted is one.simulated[OTHERS]
