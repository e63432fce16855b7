"""The fitted form of a step's time: it finds known forms, never falls, and states its error honestly."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cost_fit import TRUSTED_CV_ERROR, Point, StepFit, fit_steps

BATCHES = (1, 2, 3, 4, 6, 8, 12, 16)


def measured(
    truth: Callable[[int], float], rows: tuple[int, ...], noise: float, seed: int
) -> list[Point]:
    draw = random.Random(seed)
    return [Point(r, truth(r) * draw.gauss(1, noise), noise * truth(r)) for r in rows]


def fitted(
    truth: Callable[[int], float],
    rows: tuple[int, ...] = BATCHES,
    noise: float = 0.01,
    seed: int = 0,
) -> StepFit:
    fit = fit_steps(measured(truth, rows, noise, seed))
    assert fit is not None
    return fit


@pytest.mark.parametrize(
    ("form", "truth"),
    [
        ("affine", lambda rows: 0.008 + 0.0016 * rows),
        ("floor", lambda rows: max(0.030, 0.002 + 0.004 * rows)),
        ("power", lambda rows: 0.004 + 0.002 * rows**1.5),
        ("power", lambda rows: 0.004 + 0.002 * rows**0.5),
    ],
)
def test_known_forms_are_found_in_noise(form: str, truth: Callable[[int], float]) -> None:
    found = [fitted(truth, seed=seed) for seed in range(5)]
    assert [fit.form for fit in found].count(form) >= 4
    for fit in found:
        for rows in (1, 5, 10, 24, 32):  # between the measured ones and twice as far
            assert fit.seconds(rows) == pytest.approx(truth(rows), rel=0.08)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 64), st.floats(1e-4, 1.0), st.floats(0.0, 0.1)),
        min_size=3,
        max_size=9,
        unique_by=lambda point: point[0],
    )
)
def test_no_measurement_makes_a_form_that_falls_or_is_not_positive(
    raw: list[tuple[int, float, float]],
) -> None:
    fit = fit_steps([Point(rows, median, error) for rows, median, error in raw])
    assert fit is not None
    times = [fit.seconds(rows) for rows in range(1, 129)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] > 0
    assert fit.cv_worst >= fit.cv_error >= 0


@settings(max_examples=20, deadline=None)
@given(st.floats(0.001, 0.05), st.floats(0.0005, 0.01))
def test_an_exact_line_is_found_exactly(fixed_s: float, per_row_s: float) -> None:
    fit = fitted(lambda rows: fixed_s + per_row_s * rows, rows=(1, 2, 4, 8), noise=0.0)
    assert fit.form == "affine"
    assert fit.cv_error < 1e-9
    assert fit.seconds(16) == pytest.approx(fixed_s + 16 * per_row_s)


def test_one_bad_median_bends_the_line_little() -> None:
    points = measured(lambda rows: 0.01 + 0.002 * rows, BATCHES, 0.002, 1)
    spoiled = [*points[:3], Point(4, 3 * points[3].median_s, 1e-4), *points[4:]]
    fit = fit_steps(spoiled)
    assert fit is not None
    assert fit.seconds(6) == pytest.approx(0.022, rel=0.06)
    assert fit.cv_worst > 0.5  # and the check tells that a point is off


def test_the_stated_error_is_that_of_row_counts_never_seen() -> None:
    def truth(rows: int) -> float:  # none of the three forms
        return 0.005 + 0.001 * rows * (2 if rows > 6 else 1.3)

    fits = [fitted(truth, noise=0.03, seed=seed) for seed in range(30)]
    unseen = (5, 7, 10, 14)
    really = statistics.fmean(
        abs(fit.seconds(rows) / truth(rows) - 1) for fit in fits for rows in unseen
    )
    assert statistics.fmean(fit.cv_error for fit in fits) >= 0.8 * really


def test_what_the_check_does_not_confirm_is_not_trusted() -> None:
    def stairs(rows: int) -> float:
        return {1: 0.01, 2: 0.05, 4: 0.051, 8: 0.3}[rows]

    fit = fitted(stairs, rows=(1, 2, 4, 8), noise=0.0)
    assert fit.cv_error > TRUSTED_CV_ERROR
    assert not fit.trusted
    assert not fit.trusted_beyond


def test_rows_measured_twice_are_left_out_together() -> None:
    """Otherwise the same row count, with and without guidance, would vouch for itself."""
    once = [Point(1, 0.010), Point(2, 0.012), Point(4, 0.03)]
    alone = fit_steps(once)
    twice = fit_steps([*once, *once])
    assert alone is not None
    assert twice is not None
    assert twice.cv_error == pytest.approx(alone.cv_error, rel=0.05)


def test_two_row_counts_make_no_form() -> None:
    assert fit_steps([Point(1, 0.01), Point(2, 0.02), Point(2, 0.02)]) is None


@pytest.mark.parametrize("point", [(0, 1.0, 0.0), (1, 0.0, 0.0), (1, 1.0, -1.0)])
def test_impossible_points_are_refused(point: tuple[int, float, float]) -> None:
    with pytest.raises(ValueError, match="at least one row"):
        Point(*point)
