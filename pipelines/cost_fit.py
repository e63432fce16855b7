"""The time of a step as a function of the rows of its model call, fitted and checked.

Three forms are tried: a line (a fixed part for dispatch, a part for each row), a line with a floor
(small calls that do not fill an accelerator all take the same), and a power of the rows (work that
grows faster or slower than its rows). Every form is fitted without each row count in turn and asked
for it; the form with the smallest error there is kept, with that error. Standard library only.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Form = Literal["affine", "floor", "power"]

TRUSTED_CV_ERROR = 0.10
"""A form whose relative error at left-out row counts is larger must not be used."""

_ROW_COUNTS_MIN: Mapping[Form, int] = {"affine": 2, "floor": 4, "power": 3}
_BETTER_BY = 0.9  # a form with more parameters must bring the error down to this share
_MODEL_ERROR = 0.02  # no form is nearer to the truth than this: very sharp medians weigh no more
_HUBER = 1.345  # residuals beyond this many scales count linearly (95 % efficiency, Huber 1964)
_ROUNDS = 20
_POWERS = tuple(0.3 + 0.05 * k for k in range(35))  # 0.3 to 2


@dataclass(frozen=True, slots=True)
class Point:
    """A measured step: rows of the model call, median seconds, standard error of the median."""

    rows: int
    median_s: float
    error_s: float = 0.0

    def __post_init__(self) -> None:
        if self.rows < 1 or not self.median_s > 0 or not self.error_s >= 0:
            raise ValueError(f"A step has at least one row and takes time, unlike {self}.")


@dataclass(frozen=True, slots=True)
class StepFit:
    """Seconds of a step of r rows: max(floor_s, fixed_s + per_row_s * r ** power).

    `cv_error` and `cv_worst` are the mean and the largest relative error at the row counts that
    were left out of the fit in turn.
    """

    form: Form
    fixed_s: float
    per_row_s: float
    floor_s: float = 0.0
    power: float = 1.0
    cv_error: float = math.inf
    cv_worst: float = math.inf

    @property
    def trusted(self) -> bool:
        """Whether the form may be used between measured row counts: its mean error is small."""
        return self.cv_error <= TRUSTED_CV_ERROR

    @property
    def trusted_beyond(self) -> bool:
        """Whether it may be used beyond them: no left-out row count, the last included, was off."""
        return self.cv_worst <= TRUSTED_CV_ERROR

    def seconds(self, rows: float) -> float:
        """Seconds of a step whose model call has `rows` rows; never falls as rows grow."""
        return max(self.floor_s, self.fixed_s + self.per_row_s * rows**self.power)


def fit_steps(points: Sequence[Point]) -> StepFit | None:
    """The best checked form, or None with fewer than three different row counts.

    Robust to single bad medians: Huber's loss of residuals scaled by each median's own error. Fixed
    and per-row parts are never negative, so every form is monotone.
    """
    checked = []
    for form in _ROW_COUNTS_MIN:
        errors = _left_out_errors(form, points)
        if errors:
            fitted = _FITTERS[form](points)
            mean, worst = statistics.fmean(errors), max(errors)
            checked.append(replace(fitted, cv_error=mean, cv_worst=worst))
    if not checked:
        return None
    best = checked[0]
    for fit in checked[1:]:
        if fit.cv_error < _BETTER_BY * best.cv_error:
            best = fit
    return best


def _left_out_errors(form: Form, points: Sequence[Point]) -> list[float]:
    """Relative errors at each row count in turn; empty if the rest cannot carry the form."""
    row_counts = {point.rows for point in points}
    if len(row_counts) - 1 < _ROW_COUNTS_MIN[form]:
        return []
    errors = []
    for rows in sorted(row_counts):
        fitted = _FITTERS[form]([point for point in points if point.rows != rows])
        own = [point.median_s for point in points if point.rows == rows]
        errors += [abs(fitted.seconds(rows) - median_s) / median_s for median_s in own]
    return errors


def _scales(points: Sequence[Point]) -> list[float]:
    """Seconds by which a fair form may miss each median."""
    return [math.hypot(_MODEL_ERROR * point.median_s, point.error_s) for point in points]


def _residuals(fit: StepFit, points: Sequence[Point]) -> list[float]:
    pairs = zip(points, _scales(points), strict=True)
    return [(fit.seconds(point.rows) - point.median_s) / scale for point, scale in pairs]


def _loss(fit: StepFit, points: Sequence[Point]) -> float:
    sizes = [abs(residual) for residual in _residuals(fit, points)]
    return sum(z * z / 2 if z <= _HUBER else _HUBER * (z - _HUBER / 2) for z in sizes)


def _reweighted(
    points: Sequence[Point], solve: Callable[[Sequence[float]], StepFit]
) -> tuple[float, StepFit]:
    """Iteratively reweighted least squares; the loss and the fit of the best round."""
    base = [scale**-2 for scale in _scales(points)]
    weights = base
    best: tuple[float, StepFit] | None = None
    for _ in range(_ROUNDS):
        fit = solve(weights)
        loss = _loss(fit, points)
        if best is not None and loss >= best[0] * (1 - 1e-9):
            break
        best = loss, fit
        sizes = [max(abs(z), 1e-12) for z in _residuals(fit, points)]
        weights = [w * min(1.0, _HUBER / z) for w, z in zip(base, sizes, strict=True)]
    assert best is not None  # there is at least one round
    return best


def _least_squares(
    x: Sequence[float], y: Sequence[float], weights: Sequence[float]
) -> tuple[float, float]:
    """The weighted line a + b x with a, b >= 0 (active sets tried one by one)."""
    total = sum(weights)
    mean_x = sum(w * u for w, u in zip(weights, x, strict=True)) / total
    mean_y = sum(w * v for w, v in zip(weights, y, strict=True)) / total
    spread = sum(w * (u - mean_x) ** 2 for w, u in zip(weights, x, strict=True))
    along = sum(w * (u - mean_x) * v for w, u, v in zip(weights, x, y, strict=True))
    slope = max(0.0, along / spread) if spread > 0 else 0.0
    fixed = mean_y - slope * mean_x
    if fixed >= 0:
        return fixed, slope
    squares = sum(w * u * u for w, u in zip(weights, x, strict=True))
    products = sum(w * u * v for w, u, v in zip(weights, x, y, strict=True))
    return 0.0, products / squares


def _fit_power(
    points: Sequence[Point], power: float, form: Form = "power"
) -> tuple[float, StepFit]:
    x = [point.rows**power for point in points]
    y = [point.median_s for point in points]

    def solve(weights: Sequence[float]) -> StepFit:
        return StepFit(form, *_least_squares(x, y, weights), power=power)

    return _reweighted(points, solve)


def _affine(points: Sequence[Point]) -> StepFit:
    return _fit_power(points, 1.0, "affine")[1]


def _power(points: Sequence[Point]) -> StepFit:
    _, coarse = min((_fit_power(points, power) for power in _POWERS), key=lambda found: found[0])
    near = [coarse.power + 0.005 * k for k in range(-9, 10)]
    return min((_fit_power(points, power) for power in near), key=lambda found: found[0])[1]


def _floor(points: Sequence[Point]) -> StepFit:
    """The floor under the smallest calls, at least two row counts; a line through the others."""
    row_counts = sorted({point.rows for point in points})

    def fit_from(first: int) -> tuple[float, StepFit]:
        low = [point for point in points if point.rows < first]
        high = [point for point in points if point.rows >= first]
        floor_s = statistics.median(point.median_s for point in low)
        _, line = _fit_power(high, 1.0, "floor")
        fit = replace(line, floor_s=floor_s)
        return _loss(fit, points), fit

    return min((fit_from(first) for first in row_counts[2:-1]), key=lambda found: found[0])[1]


_FITTERS: Mapping[Form, Callable[[Sequence[Point]], StepFit]] = {
    "affine": _affine,
    "floor": _floor,
    "power": _power,
}
