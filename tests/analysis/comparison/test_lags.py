"""Ways to the engine, found by comparison."""

from __future__ import annotations

import pytest

from analysis.comparison.lags import (
    STARTS_MIN,
    Lags,
    StartLags,
    Stay,
    find_lags,
    start_lags,
    stays_of,
)
from tests.analysis.synthetic_demo import request


def test_a_start_is_held_up_by_the_arrival_or_by_the_place_whichever_is_later() -> None:
    stays = [Stay(0.0, 0.1, 2.0), Stay(0.5, 0.7, 3.0), Stay(1.0, 2.3, 4.0), Stay(3.5, 3.6, 5.0)]
    found = start_lags(stays, places=2)
    assert found.arrivals == pytest.approx((0.1, 0.2, 0.1))
    assert found.places == pytest.approx((0.3,))


def test_only_served_requests_stay_anywhere() -> None:
    refused = request(1, status=429, queue_s=None, service_s=None)
    (stay,) = stays_of([request(0, latency_s=0.5), refused])
    assert stay == pytest.approx((0.0, 0.2, 0.5))


def test_the_ways_are_those_with_which_simulated_starts_lag_as_the_measured() -> None:
    def simulated(lags: Lags) -> StartLags:
        # Every start also waits for the end of a boundary, 5 ms on the average.
        arrival_s, place_s = lags.arrival_s + 0.005, lags.place_s + 0.005
        return StartLags((arrival_s,) * STARTS_MIN, (place_s,) * STARTS_MIN)

    measured = StartLags((0.015,) * STARTS_MIN, (0.035,) * STARTS_MIN)
    found = find_lags(measured, simulated, Lags(0.001, 0.001))
    assert found.arrival_s == pytest.approx(0.010)
    assert found.place_s == pytest.approx(0.030)


def test_too_few_starts_leave_a_way_as_it_was() -> None:
    def simulated(lags: Lags) -> StartLags:
        return StartLags((lags.arrival_s,) * STARTS_MIN, (lags.place_s,) * STARTS_MIN)

    measured = StartLags((0.015,) * STARTS_MIN, (0.035,) * (STARTS_MIN - 1))
    found = find_lags(measured, simulated, Lags(0.001, 0.002))
    assert found == Lags(pytest.approx(0.015), 0.002)
