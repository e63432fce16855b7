"""Replays with given costs, ways and paces."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.comparison.lags import Lags
from analysis.comparison.replays import (
    Conditions,
    Pace,
    Trace,
    pace_of,
    replay,
    trace_of,
)
from analysis.comparison.sums import Window
from analysis.server_config import ServerSettings
from pipelines.costs import CostTable, Measurement
from pipelines.service_costs import CostSums
from policies.controllers import Split, SplitBand
from policies.routing import LeastCompletion
from tests.analysis.comparison.synthetic_runs import POOL, counted
from tests.analysis.synthetic_demo import cost_table, request, settings

ALONE_S = 0.003 + 25 * 0.015 + 0.004
"""One full picture with the synthetic table: encoding, steps, decoding."""


@pytest.fixture
def static(tmp_path: Path) -> ServerSettings:
    return settings(tmp_path, "static")


def given(
    table: CostTable | None = None, lags: Lags | None = None, pace: Pace | None = None
) -> Conditions:
    return Conditions(
        {POOL: cost_table() if table is None else table},
        Lags(0.0, 0.0) if lags is None else lags,
        response_s=0.020,
        rung_s=0.0,
        pace=Pace() if pace is None else pace,
    )


def test_a_lonely_picture_takes_its_costs_and_the_ways_there_and_back(
    static: ServerSettings,
) -> None:
    ways = given(lags=Lags(arrival_s=0.004, place_s=0.010))
    found = replay(static, ways, Trace((3.0, 9.0), (0.001, 0.002)), draw=0)
    first, second = found.outcomes
    assert first.latency_s == pytest.approx(0.001 + 0.004 + ALONE_S + 0.020)
    assert second.latency_s == pytest.approx(0.002 + 0.004 + ALONE_S + 0.020)
    assert found.stays[0] == pytest.approx((3.0, 3.004, 3.004 + ALONE_S))
    assert (found.requests, found.rejected) == (2, 0)


def test_who_waits_starts_the_way_of_a_place_after_an_end(static: ServerSettings) -> None:
    ways = given(lags=Lags(arrival_s=0.004, place_s=0.100))
    found = replay(static, ways, Trace((0.0, 0.0, 0.0, 0.0, 0.0), (0.0,) * 5), draw=0)
    last = max(stay.started_s for stay in found.stays)
    first_end = min(stay.ended_s for stay in found.stays)
    assert last == pytest.approx(first_end + 0.100)


def test_an_arrival_at_the_very_start_is_no_earlier_than_the_start(static: ServerSettings) -> None:
    ways = given(lags=Lags(arrival_s=0.004, place_s=0.010))
    (stay,) = replay(static, ways, Trace((0.0,), (0.0,)), draw=0).stays
    assert stay.started_s == pytest.approx(0.004)


def test_costs_vary_about_their_mean(static: ServerSettings) -> None:
    table = cost_table()
    full = table.variants["full"]
    step_s = {b: Measurement(o.median_s, 0.0, 2 * o.median_s, 9) for b, o in full.step_s.items()}
    uneven = replace(table, variants={**table.variants, "full": replace(full, step_s=step_s)})
    trace = Trace(tuple(float(k) for k in range(400)), (0.0,) * 400)
    found = replay(static, given(uneven), trace, draw=0)
    service_s = np.array([outcome.service_s for outcome in found.outcomes])
    assert service_s.mean() == pytest.approx(ALONE_S, rel=0.03)
    # 25 independent steps of 15 ms, of which 90 % take less than 30 ms
    assert service_s.std() == pytest.approx(math.sqrt(25) * 0.015 / 1.2816, rel=0.15)
    again = replay(static, given(uneven), trace, draw=0)
    other = replay(static, given(uneven), trace, draw=1)
    assert again == found
    assert other != found


def test_costs_follow_the_pace(static: ServerSettings) -> None:
    pace = Pace((-math.inf, 5.0), (1.0, 2.0))
    found = replay(static, given(pace=pace), Trace((1.0, 9.0), (0.0, 0.0)), draw=0)
    before, after = (outcome.service_s for outcome in found.outcomes)
    assert (before, after) == pytest.approx((ALONE_S, 2 * ALONE_S))


def test_a_policy_that_cannot_tell_the_time_has_no_pace(static: ServerSettings) -> None:
    split = Split((SplitBand(math.inf, (1.0, 0.0, 0.0)),))
    drawn = replace(static, policy=replace(static.policy, controller=split))
    with pytest.raises(ValueError, match="replay without a pace"):
        replay(drawn, given(pace=Pace((-math.inf, 5.0), (1.0, 2.0))), Trace((1.0,), (0.0,)), 0)


def test_a_policy_that_goes_by_costs_sees_their_means(static: ServerSettings) -> None:
    table = cost_table()
    full = table.variants["full"]
    step_s = {b: Measurement(o.median_s, 0.0, 2 * o.median_s, 9) for b, o in full.step_s.items()}
    uneven = replace(table, variants={**table.variants, "full": replace(full, step_s=step_s)})
    policy = replace(static.policy, routing=LeastCompletion())
    found = replay(replace(static, policy=policy), given(uneven), Trace((1.0,), (0.0,)), draw=0)
    assert found.outcomes[0].service_s == pytest.approx(ALONE_S)


def test_the_pace_is_that_of_the_same_work_at_the_run_s_means() -> None:
    table = cost_table()
    slow = counted(table, slowness=3.0)
    snapshots = [CostSums(), counted(table), counted(table).plus(slow)]
    window = Window(tuple((100.0 + k, {POOL: one}) for k, one in enumerate(snapshots)))
    pace = pace_of(window, started_unix_s=100.5)
    found = pace.at(-0.4), pace.at(0.4), pace.at(0.6)
    assert found == pytest.approx((0.5, 0.5, 1.5), abs=0.02)


def test_idle_seconds_say_nothing_of_the_pace() -> None:
    one = counted(cost_table())
    window = Window(tuple((100.0 + k, {POOL: one}) for k in range(3)))
    pace = pace_of(window, 100.0)
    assert [pace.at(float(second)) for second in range(-1, 3)] == [1.0] * 4


def test_a_part_with_little_work_says_little() -> None:
    table = cost_table()
    little = counted(table, calls=1, slowness=5.0)
    usual = counted(table).plus(counted(table, calls=1))
    snapshots = [CostSums(), usual, usual.plus(little)]
    window = Window(tuple((100.0 + k, {POOL: one}) for k, one in enumerate(snapshots)))
    took_s, expected_s = little.total_s, little.total_s / 5
    assert 1 < pace_of(window, 100.0).at(1.5) < 0.8 * took_s / expected_s


def test_the_trace_is_in_the_order_of_receipt() -> None:
    requests = [request(0, received_s=0.9), request(1, received_s=1.1), request(2, received_s=None)]
    late = replace(requests[0], received_s=1.2)
    found = trace_of([late, *requests[1:]])
    assert found.received_s == (1.1, 1.2)
    assert found.late_s == pytest.approx((0.1, 1.2))
