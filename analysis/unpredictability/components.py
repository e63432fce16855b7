"""Variance components of a crossed random-effects model, by moments, with intervals over blocks.

Each value is the mean plus one random effect for each cause plus a residual. The estimate is MINQUE
(Rao, 1971): quadratic forms of the values whose expectations are linear in the variances, so that one
linear system gives all of them. Unlike REML (statsmodels' MixedLM) it does not take the effects for
normal, which latencies are not; it has no optimiser that stops at a boundary; and it takes
milliseconds, so that whole blocks can be drawn anew hundreds of times. Where nothing is at a boundary
the two agree, which the tests check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.intervals import Z95, Band

Array = NDArray[np.float64]
Labels = NDArray[np.str_]

RESIDUAL = "residual"
DRAWS = 400
CONDITION_MAX = 1e8
"""Beyond this two causes go hand in hand in the design, and nobody can tell them apart."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Values with the level of each cause that each was measured under, and its block.

    A level met in one block only (a visit, a run) belongs to that block. ValueError if the lengths
    differ.
    """

    values: Array
    causes: Mapping[str, Labels]
    blocks: Labels

    def __post_init__(self) -> None:
        lengths = {self.values.size, self.blocks.size, *(one.size for one in self.causes.values())}
        if len(lengths) > 1:
            raise ValueError("every value needs a block and a level of every cause")

    def with_values(self, values: Array) -> Sample:
        """Other values of the same measurements."""
        return Sample(values, self.causes, self.blocks)


@dataclass(frozen=True, slots=True)
class Component:
    """One cause's variance, as estimated: below zero where chance makes it so.

    `share` is of all variance, negative ones taken as none; `cv` is its standard deviation over the
    mean of the values.
    """

    variance: float
    share: float
    cv: float
    share_band: Band
    cv_band: Band


def sample_of(
    values: Sequence[float], causes: Mapping[str, Sequence[object]], blocks: Sequence[object]
) -> Sample:
    """A sample whose levels may be anything that can be written."""
    return Sample(
        np.asarray(values, dtype=np.float64),
        {name: np.array([str(level) for level in levels]) for name, levels in causes.items()},
        np.array([str(block) for block in blocks]),
    )


def variances_of(sample: Sample) -> dict[str, float]:
    """The variance of each cause, and of the RESIDUAL, in squares of the values' unit.

    ValueError if the design cannot tell two causes apart.
    """
    n = sample.values.size
    designs = [np.eye(n), *(_design(levels) for levels in sample.causes.values())]
    total = sum((one @ one.T for one in designs), start=np.zeros((n, n)))
    inverse = np.linalg.inv(total)
    weights = inverse.sum(axis=1)
    projection = inverse - np.outer(weights, weights) / weights.sum()
    projected = [one.T @ projection for one in designs]
    matrix = np.array([[float(((p @ d) ** 2).sum()) for d in designs] for p in projected])
    if np.linalg.cond(matrix) > CONDITION_MAX:
        raise ValueError(
            f"the causes {', '.join(sample.causes)} cannot be told apart in {n} measurements;"
            " measure more blocks"
        )
    forms = np.array([float(((p @ sample.values) ** 2).sum()) for p in projected])
    found = np.linalg.solve(matrix, forms)
    return dict(zip((RESIDUAL, *sample.causes), map(float, found), strict=True))


def _design(levels: Labels) -> Array:
    """A column for each level, 1 where a value was measured under it."""
    known, index = np.unique(levels, return_inverse=True)
    return np.asarray(np.eye(known.size)[index], dtype=np.float64)


def components_of(sample: Sample, seed: int, draws: int = DRAWS) -> dict[str, Component]:
    """Every cause's part, with 95 % intervals over blocks drawn anew.

    A block that is drawn twice repeats its residuals, so that draws of few blocks vary too little and
    lie too low. The interval is therefore the draws' own, moved to have the estimate as its mean and
    widened by sqrt(b / (b - 1)) for b blocks and by Student's quantile over the normal one (expanded
    percentiles; Hesterberg, 2015), within what can be.

    ValueError for fewer than two blocks, or if the design cannot tell two causes apart.
    """
    blocks = np.unique(sample.blocks)
    if blocks.size < 2:
        raise ValueError("intervals over blocks need at least two of them; measure longer")
    rng = np.random.default_rng(seed)
    estimate = variances_of(sample)
    drawn = [variances_of(redrawn(sample, rng.choice(blocks, blocks.size))) for _ in range(draws)]
    mean = float(sample.values.mean())
    shares = np.array([_shares(one) for one in drawn])
    cvs = np.array([[_deviation(v) / mean for v in one.values()] for one in drawn])
    found = {}
    for number, (name, variance) in enumerate(estimate.items()):
        found[name] = Component(
            variance,
            _shares(estimate)[number],
            _deviation(variance) / mean,
            _band(shares[:, number], _shares(estimate)[number], blocks.size, 1.0),
            _band(cvs[:, number], _deviation(variance) / mean, blocks.size, np.inf),
        )
    return found


def redrawn(sample: Sample, blocks: Sequence[str] | Labels) -> Sample:
    """The measurements of these blocks; one that is named twice counts as two like blocks."""
    own = {name: _own_levels(levels, sample.blocks) for name, levels in sample.causes.items()}
    rows, times = [], []
    for time, block in enumerate(blocks):
        mine = np.flatnonzero(sample.blocks == block)
        rows.append(mine)
        times.append(np.full(mine.size, time))
    index, when = np.concatenate(rows), np.concatenate(times).astype(str)
    causes = {}
    for name, levels in sample.causes.items():
        mark = np.where(own[name][index], when, "")
        causes[name] = np.char.add(np.char.add(levels[index], "/"), mark)
    return Sample(sample.values[index], causes, when)


def _own_levels(levels: Labels, blocks: Labels) -> NDArray[np.bool_]:
    """Whether each value's level occurs in its block alone."""
    found = np.zeros(levels.size, dtype=bool)
    for level in np.unique(levels):
        mine = levels == level
        found[mine] = np.unique(blocks[mine]).size == 1
    return found


def _shares(variances: Mapping[str, float]) -> list[float]:
    kept = [max(0.0, one) for one in variances.values()]
    total = sum(kept)
    return [one / total if total > 0 else 0.0 for one in kept]


def _deviation(variance: float) -> float:
    return float(np.sqrt(max(0.0, variance)))


def _band(draws: Array, estimate: float, blocks: int, most: float) -> Band:
    wider = np.sqrt(blocks / (blocks - 1)) * float(stats.t.ppf(0.975, blocks - 1)) / Z95
    spread = (draws - draws.mean()) * wider
    low, high = np.clip(estimate + np.quantile(spread, (0.025, 0.975)), 0.0, most)
    return Band(float(low), float(high))
