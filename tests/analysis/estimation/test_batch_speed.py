"""The line that made the calls is found with honest intervals, and a bend is seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analysis.estimation.batch_speed import Look, fit_curve, looks_at
from pipelines.service_costs import Sums

FIXED_S, PER_JOB_S = 0.010, 0.005
BATCHES = (1, 2, 3, 4, 6, 8)


def line(n: float) -> float:
    return FIXED_S + PER_JOB_S * n


def looks(
    seconds: Callable[[float], float], seed: int, *, parts: int = 40, pace: float = 0.03
) -> list[Look]:
    """Each part has a pace of its own, which all its calls share, as on a machine with neighbours."""
    rng = np.random.default_rng(seed)
    found = []
    for part in range(parts):
        slow = 1 + pace * rng.standard_normal()
        for batch in BATCHES:
            calls = int(rng.integers(0, 20))
            if calls:
                noise = 1 + 0.05 * rng.standard_normal() / np.sqrt(calls)
                found.append(Look(part, batch, calls, seconds(batch) * slow * noise))
    return found


def test_the_line_is_covered_although_calls_of_a_second_are_alike() -> None:
    fixed = per_job = limit = speed_up = near_full = 0
    for seed in range(80):
        curve = fit_curve(looks(line, seed))
        assert curve.limit_per_s is not None
        assert curve.near_full_batch is not None
        fixed += FIXED_S in curve.fixed_s.band
        per_job += PER_JOB_S in curve.per_job_s.band
        limit += 200.0 in curve.limit_per_s.band
        speed_up += 8 * 0.015 / 0.05 in curve.speed_up.band
        near_full += 18.0 in curve.near_full_batch.band
    assert min(fixed, per_job, limit, speed_up, near_full) >= 69


def test_a_line_is_seldom_called_bent() -> None:
    curves = [fit_curve(looks(line, seed)) for seed in range(40)]
    assert sum(float(curve.misfit_p or 0) < 0.05 for curve in curves) <= 6
    exponents = [curve.power.exponent for curve in curves if curve.power is not None]
    assert len(exponents) >= 33
    assert sum(1.0 in one.band for one in exponents) >= 0.85 * len(exponents)


@pytest.mark.parametrize("exponent", [0.5, 2.0])
def test_a_saturating_and_a_steepening_curve_are_told_from_a_line(exponent: float) -> None:
    covered = 0
    for seed in range(20):
        curve = fit_curve(looks(lambda n: 0.002 + 0.010 * n**exponent, seed))
        assert curve.misfit_p is not None
        assert curve.misfit_p < 0.01
        assert curve.power is not None
        band = curve.power.exponent.band
        assert (band.high < 1) if exponent < 1 else (band.low > 1)
        covered += exponent in band
    assert covered >= 17


def test_where_a_job_costs_nothing_no_end_of_throughput_is_told() -> None:
    curve = fit_curve(looks(lambda n: 0.02, 3))
    assert curve.limit_per_s is None
    assert curve.near_full_batch is None
    assert 8.0 in curve.speed_up.band


def test_calls_without_noise_are_no_trouble() -> None:
    exact = [Look(part, n, 5, line(n) * (1 + part / 100)) for part in range(10) for n in BATCHES]
    curve = fit_curve(exact)
    assert curve.per_job_s.value / curve.fixed_s.value == pytest.approx(PER_JOB_S / FIXED_S)
    assert curve.speed_up.band.half_width < 1e-3


def test_two_batches_lie_on_a_line_and_tell_no_misfit() -> None:
    curve = fit_curve([look for look in looks(line, 4) if look.batch in (1, 4)])
    assert curve.misfit_p is None
    assert curve.power is None
    assert [point.batch for point in curve.points] == [1, 4]
    assert curve.points[1].line_s == pytest.approx(curve.points[1].mean_s.value, rel=1e-6)


def test_a_batch_of_few_parts_is_left_out() -> None:
    seldom = [*looks(line, 5), Look(0, 16, 1, 9.0), Look(1, 16, 1, 9.0)]
    assert fit_curve(seldom).points[-1].batch == 8


def test_a_run_without_a_curve_says_so() -> None:
    with pytest.raises(ValueError, match="batches of 1 alone"):
        fit_curve([look for look in looks(line, 6) if look.batch == 1])
    with pytest.raises(ValueError, match="no batch"):
        fit_curve([])
    with pytest.raises(ValueError, match="4 parts"):
        fit_curve(looks(line, 7, parts=4))


def test_looks_are_means_by_part_and_batch_of_the_kind_asked_for() -> None:
    parts = [
        {("full", 2, 2): Sums(4, 0.4, 0.05), ("full", 2, 0): Sums(9, 9.0, 9.0)},
        {("full", 2, 2): Sums(1, 0.2, 0.04), ("full", 3, 3): Sums(2, 0.6, 0.2)},
    ]
    found = looks_at(parts, lambda key: key[1] if key[1] == key[2] else None)
    assert [(look.part, look.batch, look.calls) for look in found] == [
        (0, 2, 4),
        (1, 2, 1),
        (1, 3, 2),
    ]
    assert [look.mean_s for look in found] == pytest.approx([0.1, 0.2, 0.3])
