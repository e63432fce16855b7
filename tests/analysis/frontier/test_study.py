"""The race: the same jobs for everybody, and what is counted."""

from __future__ import annotations

import pytest

from analysis.frontier.schedules import WARM_UP_S, Schedule
from analysis.frontier.study import Race, Tally, run_race
from policies.controllers import Cascade, CascadeBand, Static
from tests.analysis.frontier.races import LADDER, contender, race


def total(tallies: list[Tally]) -> tuple[int, int]:
    return sum(one.jobs for one in tallies), sum(one.violations for one in tallies)


def test_everybody_gets_the_same_jobs_and_each_is_counted_once() -> None:
    small = race()
    told: list[int] = []
    tallies = run_race(small, 1, told.append)
    for schedule in range(len(small.schedules)):
        for replication in range(small.replications):
            load = small.load(schedule, replication)
            counted = sum(one.scheduled_s >= WARM_UP_S for one in load.arrivals)
            of_all = [runner[schedule][replication] for runner in tallies]
            assert {one.jobs for one in of_all} == {counted}
            assert all(one.delivered + one.violations == counted for one in of_all)
    assert sum(told) == sum(t.jobs for runner in tallies for one in runner for t in one)


def test_processes_change_nothing() -> None:
    small = race(replications=2)
    assert run_race(small, 2, lambda _: None) == run_race(small, 1, lambda _: None)


def test_overload_makes_full_runs_late_and_cheap_ones_keep_their_score() -> None:
    small = race(contender("full", "baseline", Static(0)), contender("cheap", "ours", Static(3)))
    full, cheap = (runner[0] for runner in run_race(small, 1, lambda _: None))
    jobs, violations = total(full)
    assert violations > 0.2 * jobs
    assert {cause for one in full for cause in one.lost} <= {"late", "expired"}
    assert total(cheap)[1] == 0
    assert all(one.score_sum == pytest.approx(0.965 * one.jobs) for one in cheap)


def test_a_perfect_discriminator_keeps_the_cheap_pictures_that_are_above_the_mean() -> None:
    half = Cascade(LADDER.last, 0, (CascadeBand(float("inf"), 0.5),))
    calm = (Schedule("poisson", 0.2, 40.0),)
    small = race(contender("cascade", "baseline", half, judged=True), loads=calm)
    (cascade,) = (runner[0] for runner in run_race(small, 1, lambda _: None))
    assert total(cascade)[1] == 0
    mean = sum(one.score_sum for one in cascade) / total(cascade)[0]
    # Half is made again and scores 1; the kept half is better than 0.965.
    assert mean > (1.0 + 0.965) / 2 + 0.003


def test_load_one_is_the_capacity_of_full_runs() -> None:
    small = race()
    # A batch of four: 25 steps of 30 ms and four encodings and decodings.
    assert small.capacity_per_s == pytest.approx(4 / (25 * 0.03 + 4 * (0.004 + 0.006)))
    lengths = sum(one.load * one.duration_s for one in small.schedules)
    assert small.jobs_expected == pytest.approx(small.capacity_per_s * lengths * 3 * 3)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"contenders": ()}, "needs contenders"),
        ({"schedules": ()}, "needs contenders and schedules"),
        ({"schedules": (Schedule("poisson", 1.0, WARM_UP_S),)}, "longer than its warm-up"),
        ({"replications": 1}, "at least 2"),
    ],
)
def test_a_race_that_cannot_be_is_refused(fields: dict[str, object], told: str) -> None:
    usual = race()
    given = {
        name: getattr(usual, name)
        for name in Race.__dataclass_fields__
        if Race.__dataclass_fields__[name].init
    }
    with pytest.raises(ValueError, match=told):
        Race(**(given | fields))  # type: ignore[arg-type]


def test_no_process_is_no_race() -> None:
    with pytest.raises(ValueError, match="processes 0"):
        run_race(race(), 0, lambda _: None)
