"""What has become of jobs: counts, tenants, delivered scores, and when to come back."""

from __future__ import annotations

from policies import Counts, Job
from policies.ledger import RECENT_SHARE, RETRY_AFTER_MAX_S, RETRY_AFTER_MIN_S, Ledger

SCORES = (1.0, 0.5)
WINDOW_S = 10.0


def job(name: str, tenant: str) -> Job:
    return Job(name, 0.0, 0, tenant=tenant)


def test_counts_are_those_that_were_kept_and_the_line_and_places_that_are_told() -> None:
    ledger = Ledger(WINDOW_S, SCORES)
    ledger.admitted, ledger.cancelled, ledger.redone = 5, 2, 1
    ledger.delivered(1.0, 0)
    assert ledger.counts(1, 1) == Counts(
        admitted=5, cancelled=2, redone=1, finished=1, waiting=1, running=1
    )


def test_jobs_of_a_tenant_are_counted_until_they_leave() -> None:
    ledger = Ledger(WINDOW_S, None)
    first, second, other = job("1", "a"), job("2", "a"), job("3", "b")
    for one in (first, second, other):
        ledger.enters(one)
    assert (ledger.of_tenant("a"), ledger.of_tenant("b"), ledger.of_tenant("c")) == (2, 1, 0)
    ledger.leaves(first)
    assert ledger.of_tenant("a") == 1


def test_tenants_without_jobs_are_forgotten() -> None:
    ledger = Ledger(WINDOW_S, None)
    for number in range(100):
        one = job(str(number), f"tenant{number}")
        ledger.enters(one)
        ledger.leaves(one)
    assert not ledger._in_system


def test_delivered_scores_add_up_where_the_rung_and_its_score_are_known() -> None:
    ledger = Ledger(WINDOW_S, SCORES)
    for rung in (0, 1, None, 1):
        ledger.delivered(1.0, rung)
    assert (ledger.score_sum, ledger.scored, ledger.finished) == (2.0, 3, 4)
    unscored = Ledger(WINDOW_S, None)
    unscored.delivered(1.0, 0)
    assert (unscored.score_sum, unscored.scored, unscored.finished) == (0.0, 0, 1)


def test_the_recent_rate_sees_a_burst_before_the_rate_does() -> None:
    ledger = Ledger(WINDOW_S, None)
    for second in range(21):
        ledger.arrived(float(second))
    for _ in range(10):
        ledger.arrived(20.5)
    assert ledger.recent.per_second(20.5) == 12 / (RECENT_SHARE * WINDOW_S)
    assert ledger.arrivals.per_second(20.5) == 20 / WINDOW_S


def test_the_time_to_come_back_is_that_of_draining_the_line_within_bounds() -> None:
    ledger = Ledger(WINDOW_S, None)
    assert ledger.retry_after_s(1000, 0.0) == RETRY_AFTER_MIN_S  # nothing is known yet
    for second in range(20):
        ledger.delivered(float(second), None)
    assert ledger.retry_after_s(5, 19.0) == 5.0  # 11 in 10 s make 4.5 s, in whole seconds
    assert ledger.retry_after_s(0, 19.0) == RETRY_AFTER_MIN_S
    assert ledger.retry_after_s(1000, 19.0) == RETRY_AFTER_MAX_S
