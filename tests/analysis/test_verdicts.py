"""Every verdict comes out both ways, by what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.runs import Quality, Run
from analysis.verdicts import (
    accuracy_kept,
    controlled_p95,
    loads_valid,
    nothing_refused,
    queue_growth,
    same_quality,
    static_queue_grows,
)
from tests.analysis.synthetic_demo import request, run


def queue(arrivals_per_s: float, served_per_s: float, seconds: float = 100.0) -> Run:
    """A fluid queue: requests that start one after the other at the rate of service."""
    requests = []
    free_s = 0.0
    for index in range(int(arrivals_per_s * seconds)):
        came_s = index / arrivals_per_s
        free_s = max(free_s, came_s) + 1 / served_per_s
        times = {"scheduled_s": came_s, "received_s": came_s, "queue_s": free_s - came_s}
        requests.append(request(index, **times))
    return run(requests, duration_s=seconds)


def judged(right: float, pictures: int = 1000) -> Run:
    quality = Quality(pictures, right, {"shape": right}, {"full@25": (pictures, right)})
    return run([request(0)], quality=quality)


def test_a_growing_queue_is_seen_with_its_rate() -> None:
    verdict = static_queue_grows(queue(3.0, 2.0), 1.0)
    assert verdict.holds
    assert verdict.sure
    assert queue_growth(queue(3.0, 2.0)).per_s == pytest.approx(1.0, abs=0.05)
    assert "inside that interval" in verdict.detail


def test_a_queue_that_is_served_does_not_count_as_growing() -> None:
    verdict = static_queue_grows(queue(2.0, 3.0), 1.0)
    assert not verdict.holds
    assert "outside that interval" in verdict.detail


def test_a_queue_that_grew_only_at_first_does_not_count_as_growing_without_bound() -> None:
    stuck = {"queue_s": None, "status": None}
    both = run([request(i, **stuck) for i in range(50)], duration_s=100.0)
    assert queue_growth(both).per_s > 0
    assert not static_queue_grows(both, 1.0).holds


@pytest.mark.parametrize(("slow_s", "holds", "sure"), [(0.9, True, True), (2.0, False, True)])
def test_p95_is_held_against_three_times_unloaded(slow_s: float, holds: bool, sure: bool) -> None:
    rng = np.random.default_rng(1)
    latencies_s = rng.uniform(0.5 * slow_s, slow_s, 400)
    verdict = controlled_p95(run([request(i, v) for i, v in enumerate(latencies_s)]), 0.4)
    assert (verdict.holds, verdict.sure) == (holds, sure)


def test_p95_near_the_limit_is_not_beyond_chance() -> None:
    latencies_s = np.random.default_rng(1).exponential(0.4, 400)
    p95_s = float(np.percentile(latencies_s, 95))
    measured = run([request(i, v) for i, v in enumerate(latencies_s)])
    verdict = controlled_p95(measured, 1.01 * p95_s / 3)
    assert verdict.holds
    assert not verdict.sure
    assert verdict.word == "holds, not beyond chance"


def test_p95_of_a_short_correlated_run_is_called_short() -> None:
    latencies_s = np.linspace(0.1, 0.5, 60)
    verdict = controlled_p95(run([request(i, v) for i, v in enumerate(latencies_s)]), 1.0)
    assert verdict.holds
    assert not verdict.sure
    assert "short" in verdict.detail


def test_p95_of_nothing_fails() -> None:
    lost = run([request(0, status=429, variant=None)])
    assert controlled_p95(lost, 0.4).word == "NOT SHOWN"


def test_one_refusal_or_one_lost_request_is_too_many() -> None:
    fine = [request(i) for i in range(5)]
    assert nothing_refused(run(fine)).holds
    refused = request(5, status=429, variant=None)
    verdict = nothing_refused(run([*fine, refused]))
    assert not verdict.holds
    assert "1 of 6" in verdict.detail
    lost = request(5, status=None, variant=None)
    assert not nothing_refused(run([*fine, lost])).holds


def test_accuracy_is_kept_within_five_points_and_lost_beyond() -> None:
    kept = accuracy_kept(judged(0.90), judged(0.89))
    assert (kept.holds, kept.sure) == (True, True)
    unsure = accuracy_kept(judged(0.90), judged(0.86))
    assert (unsure.holds, unsure.sure) == (True, False)
    lost = accuracy_kept(judged(0.90), judged(0.70))
    assert (lost.holds, lost.sure) == (False, True)
    assert "20.0 points" in lost.detail


def test_equal_quality_needs_an_interval_with_zero_and_pictures_enough() -> None:
    assert same_quality(judged(0.90), judged(0.91)).word == "holds"
    assert same_quality(judged(0.90), judged(0.80)).word == "FAILS"
    assert not same_quality(judged(0.9, 20), judged(0.8, 20)).sure


def test_pictures_that_nobody_judged_prove_nothing() -> None:
    unjudged = run([request(0)])
    assert not accuracy_kept(unjudged, judged(0.9)).holds
    assert accuracy_kept(unjudged, judged(0.9)).word == "NOT SHOWN"
    assert not same_quality(judged(0.9), unjudged).holds


def test_an_invalid_load_is_told_with_its_reason() -> None:
    good, bad = run([]), run([], valid=False, reasons=("3 of 9 were not sent.",), name="x")
    assert loads_valid([good]).holds
    verdict = loads_valid([good, bad])
    assert not verdict.holds
    assert "x: 3 of 9" in verdict.detail
