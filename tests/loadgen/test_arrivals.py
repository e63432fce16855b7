"""Schedules: Poisson in mean, gaps and counts; equal by seed; split by thinning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import arrivals


@pytest.mark.parametrize("kind", ["poisson", "deterministic", "bursty", "diurnal"])
@given(
    rate_per_s=st.floats(0.1, 50.0),
    duration_s=st.floats(0.5, 100.0),
    seed=st.integers(0, 2**32),
)
def test_times_are_sorted_within_the_duration_and_equal_by_seed(
    kind: str, rate_per_s: float, duration_s: float, seed: int
) -> None:
    first = arrivals.make(kind, rate_per_s=rate_per_s, duration_s=duration_s, seed=seed)
    again = arrivals.make(kind, rate_per_s=rate_per_s, duration_s=duration_s, seed=seed)
    assert np.array_equal(first.times_s, again.times_s)
    assert np.all(np.diff(first.times_s) >= 0.0)
    assert not len(first) or (first.times_s[0] >= 0.0 and first.times_s[-1] < duration_s)


def test_seeds_give_different_schedules() -> None:
    assert not np.array_equal(arrivals.poisson(5.0, 10.0, 1), arrivals.poisson(5.0, 10.0, 2))


def test_a_longer_poisson_run_of_a_seed_begins_like_the_shorter_one() -> None:
    # So that a run can be prolonged without changing what has been seen.
    short, long = arrivals.poisson(20.0, 10.0, 7), arrivals.poisson(20.0, 30.0, 7)
    assert np.allclose(short, long[: len(short)])


def test_poisson_has_the_mean_gap_cv_and_dispersion_of_a_poisson_process() -> None:
    times = arrivals.poisson(50.0, 2000.0, 11)
    expected = 100_000
    assert abs(len(times) - expected) < 4.0 * expected**0.5
    assert arrivals.gap_cv(times) == pytest.approx(1.0, abs=0.015)
    assert arrivals.dispersion_index(times, 2000.0, 2000) == pytest.approx(1.0, abs=0.13)
    gaps = np.diff(times)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.015
    assert np.quantile(gaps, 0.5) == pytest.approx(np.log(2.0) / 50.0, rel=0.03)


def test_counts_over_many_seeds_have_poisson_variance() -> None:
    counts = np.array([len(arrivals.poisson(3.0, 10.0, seed)) for seed in range(3000)])
    assert counts.mean() == pytest.approx(30.0, abs=0.4)
    assert counts.var() == pytest.approx(30.0, rel=0.12)


def test_deterministic_has_equal_gaps_and_the_exact_number() -> None:
    times = arrivals.deterministic(10.0, 2.0)
    assert len(times) == 20
    assert arrivals.gap_cv(times) == pytest.approx(0.0, abs=1e-9)


def test_bursty_keeps_its_mean_rate_and_its_known_dispersion() -> None:
    burst = arrivals.Burst(factor=4.0, share=0.2, mean_s=2.0)
    duration_s = 40_000.0
    times = arrivals.bursty(5.0, duration_s, 3, burst)
    assert len(times) / duration_s == pytest.approx(5.0, rel=0.05)
    # Windows of 200 s are long against the switching time of 1.6 s.
    measured = arrivals.dispersion_index(times, duration_s, 200)
    assert measured == pytest.approx(burst.dispersion_limit(5.0), rel=0.35)
    assert arrivals.gap_cv(times) > 1.1


def test_bursts_of_nine_times_the_mean_rate_reach_it() -> None:
    # The peak over mean of a public text-to-image trace (Alibaba): hours at nine times the mean.
    burst = arrivals.Burst(factor=9.0, share=0.1, mean_s=20.0)
    times = arrivals.bursty(10.0, 8_000.0, 4, burst)
    counts = arrivals.window_counts(times, 8_000.0, 8_000)
    assert counts.mean() == pytest.approx(10.0, rel=0.2)
    busy = counts[counts > 50]
    assert busy.mean() == pytest.approx(90.0, rel=0.05)
    assert counts[counts <= 50].mean() == pytest.approx(10.0 / 9.0, rel=0.4)


def test_a_day_keeps_its_mean_rate_and_follows_its_curve() -> None:
    day = arrivals.Day()
    duration_s = 2_400.0
    times = arrivals.diurnal(50.0, duration_s, 5, day)
    assert len(times) == pytest.approx(50.0 * duration_s, abs=4.0 * (50.0 * duration_s) ** 0.5)
    measured = arrivals.window_counts(times, duration_s, 24) / (50.0 * duration_s / 24)
    shares = (np.arange(24) + 0.5) / 24
    assert measured == pytest.approx([day.rate_factor(share) for share in shares], abs=0.07)


def test_a_day_has_the_peaks_and_the_trough_that_it_tells() -> None:
    day = arrivals.Day()
    curve = [day.rate_factor(share) for share in np.linspace(0.0, 1.0, 3001)]
    assert (max(curve), min(curve)) == pytest.approx((1.45, 0.1))
    assert (day.peak_factor, day.trough_factor) == pytest.approx((1.45, 0.1))
    assert day.rate_factor(1 / 3) == pytest.approx(1.45)
    one_peak = arrivals.Day(swing=0.8, second=0.0)
    assert (one_peak.peak_factor, one_peak.trough_factor) == pytest.approx((1.8, 0.2))
    assert one_peak.rate_factor(0.5) == pytest.approx(1.8)


def test_a_day_is_poisson_once_its_clock_is_straightened() -> None:
    day = arrivals.Day(period_s=500.0)
    times = arrivals.diurnal(20.0, 2_000.0, 6, day)
    # By hours it is far from Poisson; run at the cumulative rate, it is Poisson again.
    assert arrivals.dispersion_index(times, 2_000.0, 96) > 20.0
    straight = day.cumulative(times / 500.0)
    assert arrivals.dispersion_index(straight, 4.0, 2_000) == pytest.approx(1.0, abs=0.13)
    assert arrivals.gap_cv(straight) == pytest.approx(1.0, abs=0.02)


def test_days_repeat_and_the_schedule_says_its_shape() -> None:
    day = arrivals.Day(period_s=100.0)
    made = arrivals.make("diurnal", rate_per_s=200.0, duration_s=250.0, seed=1, day=day)
    assert made.parameters == {"day_s": 100.0, "day_swing": 0.6, "day_second": 0.3}
    counts = arrivals.window_counts(made.times_s, 250.0, 25)
    nights = counts[[0, 9, 10, 19, 20]]
    assert nights.max() < 0.4 * counts.mean()
    whole = arrivals.make("diurnal", rate_per_s=200.0, duration_s=250.0, seed=1)
    assert whole.parameters["day_s"] == 250.0


def test_thinning_is_a_partition_whose_parts_are_poisson() -> None:
    times = arrivals.poisson(40.0, 1000.0, 5)
    owners = arrivals.thin(len(times), 4, 5)
    assert np.array_equal(owners, arrivals.thin(len(times), 4, 5))
    assert set(owners.tolist()) == {0, 1, 2, 3}
    for worker in range(4):
        part = times[owners == worker]
        assert len(part) == pytest.approx(10_000, rel=0.05)
        # Dealing out in turn would give a CV of 0.5 here.
        assert arrivals.gap_cv(part) == pytest.approx(1.0, abs=0.04)


def test_replay_reads_times_with_comments_and_cuts_at_the_duration(tmp_path: Path) -> None:
    path = tmp_path / "times.txt"
    path.write_text("# seconds\n0.5\n1.0  # second\n\n4.25\n", encoding="utf-8")
    whole = arrivals.make("replay", rate_per_s=None, duration_s=None, seed=1, times_file=path)
    assert whole.times_s.tolist() == [0.5, 1.0, 4.25]
    assert whole.times_s[-1] < whole.duration_s
    cut = arrivals.make("replay", rate_per_s=None, duration_s=4.0, seed=1, times_file=path)
    assert cut.times_s.tolist() == [0.5, 1.0]
    assert cut.rate_per_s == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("text", "told"),
    [("1\nx\n", "line 2: 'x'"), ("2\n1\n", "earlier"), ("-1\n", "0 or more"), ("# none\n", "no")],
)
def test_replay_names_the_line_at_fault(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "times.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=told):
        arrivals.replay(path)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_or_duration_that_is_not_positive_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        arrivals.poisson(bad, 1.0, 0)
    with pytest.raises(ValueError, match="duration"):
        arrivals.poisson(1.0, bad, 0)


def test_make_refuses_what_does_not_fit_together(tmp_path: Path) -> None:
    times_file = tmp_path / "t"
    with pytest.raises(ValueError, match="unknown arrivals"):
        arrivals.make("closed", rate_per_s=1.0, duration_s=1.0, seed=0)
    with pytest.raises(ValueError, match="need a rate"):
        arrivals.make("poisson", rate_per_s=None, duration_s=1.0, seed=0)
    with pytest.raises(ValueError, match="need a file"):
        arrivals.make("replay", rate_per_s=None, duration_s=1.0, seed=0)
    with pytest.raises(ValueError, match="leave the rate out"):
        arrivals.make("replay", rate_per_s=1.0, duration_s=1.0, seed=0, times_file=times_file)
    with pytest.raises(ValueError, match="for replay"):
        arrivals.make("poisson", rate_per_s=1.0, duration_s=1.0, seed=0, times_file=times_file)
    with pytest.raises(ValueError, match="at least one worker"):
        arrivals.thin(3, 0, 0)


@pytest.mark.parametrize(
    "fields", [{"share": 1.0}, {"mean_s": 0.0}, {"factor": 11.0}, {"factor": 1.0}]
)
def test_a_burst_that_cannot_be_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="burst"):
        arrivals.Burst(**fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"swing": 0.8, "second": 0.3}, "negative rate"),
        ({"swing": -0.1}, "0 or more"),
        ({"swing": float("nan")}, "0 or more"),
        ({"period_s": 0.0}, "positive number of seconds"),
    ],
)
def test_a_day_that_cannot_be_is_refused(fields: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        arrivals.Day(**fields)


def test_schedules_records_and_audit_import_without_gevent() -> None:
    # The simulator imports arrivals; gevent's patching must never reach it.
    code = (
        "import sys, loadgen, loadgen.arrivals, loadgen.records, loadgen.audit, loadgen.cli; "
        "sys.exit(any(name in sys.modules for name in ('gevent', 'locust', 'torch', 'ray')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
