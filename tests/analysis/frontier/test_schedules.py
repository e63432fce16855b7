"""Schedules of the study: the same jobs for the same seed, two classes of deadlines."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.frontier.schedules import DEADLINES, FULL, WARM_UP_S, Schedule, draw, shortened
from loadgen.arrivals import window_counts


@pytest.mark.parametrize("schedule", FULL, ids=lambda one: one.name)
def test_a_seed_gives_the_same_jobs_again_at_the_load_asked_for(schedule: Schedule) -> None:
    first = draw(schedule, 50.0, 0.5, 3, 11)
    assert first == draw(schedule, 50.0, 0.5, 3, 11)
    assert first != draw(schedule, 50.0, 0.5, 3, 12)
    expected = schedule.load * 50.0 * schedule.duration_s
    assert len(first.arrivals) == pytest.approx(
        expected, rel=0.9 if schedule.kind == "bursty" else 0.1
    )
    assert {one.template.floor for one in first.arrivals} == {3}


def test_half_of_the_jobs_have_each_deadline_and_ranks_are_uniform() -> None:
    load = draw(Schedule("poisson", 1.0, 100.0), 50.0, 0.5, 3, 1)
    after_s = np.array([one.template.deadline_after_s for one in load.arrivals])
    assert set(after_s.tolist()) == {0.5 * factor for factor in DEADLINES}
    assert (after_s == 0.5 * DEADLINES[0]).mean() == pytest.approx(0.5, abs=0.03)
    assert np.quantile(load.ranks, (0.25, 0.5, 0.75)) == pytest.approx((0.25, 0.5, 0.75), abs=0.03)
    assert [one.confidence for one in load.arrivals] == list(load.ranks)


def test_the_schedules_are_the_issues() -> None:
    loads = {one.kind: [s.load for s in FULL if s.kind == one.kind] for one in FULL}
    assert loads["poisson"] == [0.5, 1.0, 1.5, 2.0, 3.0]
    assert set(loads) == {"poisson", "bursty", "diurnal"}
    assert all(one.duration_s > 2 * WARM_UP_S for one in FULL)


def test_a_shortened_day_is_still_a_day() -> None:
    (day,) = shortened([Schedule("diurnal", 1.0, 100.0)], 0.5)
    assert day.duration_s == 50.0
    counts = window_counts(day.times_s(200.0, 1), 50.0, 10)
    assert counts[0] < 0.5 * counts.mean()
    assert counts[-1] < 0.5 * counts.mean()


def test_a_kind_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no schedule of kind 'weekly'"):
        Schedule("weekly", 1.0, 10.0).times_s(1.0, 0)
