"""Time of a call against the number of jobs in it: the curve that decides what batching is worth.

From the sums that engines keep in service (`pipelines.service_costs`). Calls of one second are alike
(a machine's speed changes), so a thousand calls are not a thousand independent looks at it. The run is
therefore taken second by second: each part gives one mean for each batch, weighted by its calls, and
the errors of the fit allow any correlation within a part (clustered errors: Liang, Zeger 1986).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import optimize, stats

from analysis.estimation.service_law import Estimate
from analysis.intervals import Band
from pipelines.service_costs import Sums

Array = NDArray[np.float64]
K = TypeVar("K", bound=Hashable)

BATCH_PARTS_MIN = 3
"""A batch that came up in fewer parts of the run is left out: its own error cannot be told."""
PARTS_MIN = 5
"""Fewer parts tell no errors."""
DRAWS = 4000
NEAR_FULL = 0.9
POWER_BOUNDS = (0.1, 4.0)


@dataclass(frozen=True, slots=True)
class Look:
    """`calls` calls of `batch` jobs, all in one part of the run, with their mean in seconds."""

    part: int
    batch: int
    calls: int
    mean_s: float


@dataclass(frozen=True, slots=True)
class Point:
    """Mean of all calls of one batch, with its interval, and the line through all batches there."""

    batch: int
    calls: int
    mean_s: Estimate
    line_s: float


@dataclass(frozen=True, slots=True)
class Power:
    """The alternative fixed_s + per_job_s * batch ** exponent: concave with an exponent below 1,
    convex above; a line if the exponent's interval holds 1."""

    fixed_s: float
    per_job_s: float
    exponent: Estimate


@dataclass(frozen=True, slots=True)
class BatchCurve:
    """Seconds of a call of n jobs: fixed_s + per_job_s * n.

    `misfit_p`: chance of means as far off a line, if it is one; None with two batches, which always
    lie on a line, or hardly more parts than batches. `power`: None likewise, or where no exponent
    from 0.1 to 4 fits best. `speed_up`: jobs per second at the largest batch seen over those of
    single jobs. `limit_per_s`: jobs per second of ever larger batches; `near_full_batch`: the batch
    that reaches 90 % of that; both None where a job may cost nothing, so that no end is in sight.
    """

    points: tuple[Point, ...]
    parts: int
    fixed_s: Estimate
    per_job_s: Estimate
    misfit_p: float | None
    power: Power | None
    speed_up: Estimate
    limit_per_s: Estimate | None
    near_full_batch: Estimate | None


def looks_at(parts: Sequence[Mapping[K, Sums]], batch_of: Callable[[K], int | None]) -> list[Look]:
    """The looks in parts of a run; `batch_of` a key tells its jobs, None for calls of other kinds."""
    looks = []
    for number, part in enumerate(parts):
        together: dict[int, tuple[int, float]] = {}
        for key, sums in part.items():
            batch = batch_of(key)
            if batch is not None:
                calls, seconds = together.get(batch, (0, 0.0))
                together[batch] = calls + sums.calls, seconds + sums.seconds
        looks += [Look(number, batch, calls, s / calls) for batch, (calls, s) in together.items()]
    return looks


def fit_curve(looks: Sequence[Look], *, seed: int = 1) -> BatchCurve:
    """The line by weighted least squares, and what it says of throughput.

    ValueError for fewer than two batches, or fewer than five parts of the run.
    """
    seen = sorted({look.batch for look in looks})
    often = [n for n in seen if sum(look.batch == n for look in looks) >= BATCH_PARTS_MIN]
    data = _Data([look for look in looks if look.batch in often], often)
    if len(often) < 2:
        what = f"batches of {often[0]} alone" if often else "no batch"
        raise ValueError(f"{what} came up in {BATCH_PARTS_MIN} parts of the run: a curve needs two")
    if data.parts < PARTS_MIN:
        raise ValueError(
            f"{data.parts} parts of a run tell no errors of a curve: at least {PARTS_MIN}"
        )
    line = data.fit(np.column_stack((np.ones_like(data.n), data.n)))
    fixed, per_job = (_estimate(line, k, data.parts) for k in range(2))
    coefficients = np.random.default_rng(seed).multivariate_normal(
        line.params, line.cov_params(), DRAWS, check_valid="ignore"
    )
    largest = often[-1]

    def drawn(figure: Callable[[Array], Array]) -> Estimate:
        low, high = np.quantile(figure(coefficients), (0.025, 0.975))
        return Estimate(float(figure(line.params[None, :])[0]), Band(float(low), float(high)))

    speed_up = drawn(lambda c: largest * c.sum(axis=1) / (c[:, 0] + largest * c[:, 1]))
    limit = drawn(lambda c: np.asarray(1 / c[:, 1]))
    near_full = drawn(lambda c: np.maximum(1, NEAR_FULL / (1 - NEAR_FULL) * c[:, 0] / c[:, 1]))
    ends = per_job.band.low > 0
    return BatchCurve(
        points=_points(data, fixed.value, per_job.value),
        parts=data.parts,
        fixed_s=fixed,
        per_job_s=per_job,
        misfit_p=_misfit_p(data),
        power=_power(data),
        speed_up=speed_up,
        limit_per_s=limit if ends else None,
        near_full_batch=near_full if ends else None,
    )


class _Data:
    """Looks as columns. Weights are calls over the batch's squared mean: spreads go with the time."""

    def __init__(self, looks: Sequence[Look], batches: Sequence[int]) -> None:
        self.batches = list(batches)
        self.n = np.array([look.batch for look in looks], dtype=np.float64)
        self.mean_s = np.array([look.mean_s for look in looks])
        self.calls = np.array([look.calls for look in looks], dtype=np.float64)
        self._part = np.array([look.part for look in looks])
        self.parts = len(set(self._part.tolist()))
        self.weights = np.empty_like(self.n)
        for batch in self.batches:
            mine = self.n == batch
            mean_s = np.average(self.mean_s[mine], weights=self.calls[mine])
            self.weights[mine] = self.calls[mine] / mean_s**2

    @property
    def by_batch(self) -> Array:
        """One column a batch: 1 where it is this one."""
        return np.asarray(self.n[:, None] == np.array(self.batches)[None, :], dtype=np.float64)

    def fit(self, columns: Array, values: Array | None = None) -> Any:
        """Weighted least squares of the means (or `values`), errors clustered by part."""
        model = sm.WLS(self.mean_s if values is None else values, columns, weights=self.weights)
        return model.fit(cov_type="cluster", cov_kwds={"groups": self._part}, use_t=True)


def _points(data: _Data, fixed_s: float, per_job_s: float) -> tuple[Point, ...]:
    means = data.fit(data.by_batch)
    return tuple(
        Point(
            batch,
            int(data.calls[data.n == batch].sum()),
            _estimate(means, column, data.parts),
            fixed_s + per_job_s * batch,
        )
        for column, batch in enumerate(data.batches)
    )


def _misfit_p(data: _Data) -> float | None:
    """Lack of fit: Wald's test of one more mean for each batch but two, beside the line."""
    extra = len(data.batches) - 2
    if extra < 1 or data.parts <= len(data.batches) + 1:
        return None
    columns = np.column_stack((np.ones_like(data.n), data.n, data.by_batch[:, 2:]))
    constraints = np.eye(extra, extra + 2, k=2)
    return float(data.fit(columns).wald_test(constraints, use_f=True, scalar=True).pvalue)


def _power(data: _Data) -> Power | None:
    """Non-linear least squares; the exponent's error by the linear fit of the residuals on the
    curve's derivatives, clustered by part like the line's."""
    if len(data.batches) < 3 or data.parts <= len(data.batches) + 1:
        return None

    def curve(n: Array, fixed_s: float, per_job_s: float, exponent: float) -> Array:
        return fixed_s + per_job_s * n**exponent

    scale_s = float(data.mean_s.max())
    try:
        found, _ = optimize.curve_fit(
            curve,
            data.n,
            data.mean_s,
            p0=(scale_s / 4, scale_s / 2 / data.batches[-1], 1.0),
            sigma=data.weights**-0.5,
            bounds=((-scale_s, 0, POWER_BOUNDS[0]), (scale_s, scale_s, POWER_BOUNDS[1])),
            x_scale=(scale_s, scale_s, 1.0),
        )
    except RuntimeError:  # it went on for too long: the data tell no exponent
        return None
    fixed_s, per_job_s, exponent = (float(value) for value in found)
    if per_job_s <= 0 or not POWER_BOUNDS[0] + 1e-3 < exponent < POWER_BOUNDS[1] - 1e-3:
        return None
    power = data.n**exponent
    slopes = np.column_stack((np.ones_like(power), power, per_job_s * power * np.log(data.n)))
    rest = data.fit(slopes, data.mean_s - curve(data.n, *found))
    half = _half_width(rest, 2, data.parts)
    return Power(fixed_s, per_job_s, Estimate(exponent, Band(exponent - half, exponent + half)))


def _estimate(fitted: Any, column: int, parts: int) -> Estimate:
    value, half = float(fitted.params[column]), _half_width(fitted, column, parts)
    return Estimate(value, Band(value - half, value + half))


def _half_width(fitted: Any, column: int, parts: int) -> float:
    """Student's, with the parts as what is independent. Rounding makes no variance negative."""
    variance = max(0.0, float(np.asarray(fitted.cov_params())[column, column]))
    return float(stats.t.ppf(0.975, parts - 1)) * math.sqrt(variance)
