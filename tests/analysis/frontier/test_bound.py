"""The bound is of the jobs that are counted, and of all replications together."""

from __future__ import annotations

import pytest

from analysis.frontier.bound import trace_of
from analysis.frontier.dominance import Outcome
from analysis.frontier.schedules import WARM_UP_S, Schedule
from analysis.frontier.study import run_race
from policies.controllers import DeadlineAware, Static
from tests.analysis.frontier.races import LADDER, contender, race


def test_the_trace_holds_every_counted_job_once_and_replications_do_not_meet() -> None:
    small = race()
    trace = trace_of(small, 0)
    counted = sum(
        one.scheduled_s >= WARM_UP_S
        for replication in range(small.replications)
        for one in small.load(0, replication).arrivals
    )
    assert len(trace.arrivals_s) == counted
    gaps = [b - a for a, b in zip(trace.arrivals_s, trace.arrivals_s[1:], strict=False)]
    assert min(gaps) >= 0
    assert sum(gap > max(trace.deadlines_after_s) for gap in gaps) >= small.replications - 1


@pytest.mark.parametrize("load", [1.5, 3.0])
def test_no_runner_has_fewer_violations_than_the_bound_at_its_quality(load: float) -> None:
    policies = (Static(0), Static(2), DeadlineAware(LADDER.last, 1.0, share=0.4))
    small = race(contender("all", "ours", *policies), loads=(Schedule("poisson", load, 16.0),))
    trace = trace_of(small, 0)
    for runner in run_race(small, 1, lambda _: None):
        found = Outcome.of("", runner[0])
        least = trace.least_violations(found.quality)
        assert least is not None
        assert found.share >= least - 1e-9
