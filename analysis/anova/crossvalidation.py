"""How wrong a formula is about settings that it was not fitted to.

All replicates of a cell are left out together: a formula that had seen one of them would know the
cell, and its error would only be the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.anova.formulas import Formula
from analysis.anova.observations import Frame
from analysis.intervals import Array, Band

FOLDS = 10
DRAWS = 500
EXTRAPOLATED = ("steps", "batch", "size")
LEVELS_MIN = 3
"""With two levels, one left out leaves nothing to tell the factor's effect from."""


@dataclass(frozen=True, slots=True)
class Score:
    """Errors relative to the single measured time, absolute but for `bias`, their signed median.

    95 % intervals by drawing cells. `told` is the share of observations that were predicted.
    """

    told: float
    median: float
    median_band: Band
    p90: float
    p90_band: Band
    bias: float


def leave_cells_out(table: Frame, formula: Formula, seed: int, folds: int = FOLDS) -> Array:
    """Seconds predicted for every observation by fits to the other folds' cells.

    Cells are dealt to folds at random. ValueError for fewer cells than folds.
    """
    cells = table["cell"].unique()
    if not 2 <= folds <= len(cells):
        raise ValueError(f"{folds} folds cannot be dealt {len(cells)} cells")
    dealt = np.random.default_rng(seed).permutation(np.arange(len(cells)) % folds)
    fold_of = dict(zip(cells, dealt, strict=True))
    folds_of_rows = table["cell"].map(fold_of).to_numpy()
    predicted = np.full(len(table), np.nan)
    for fold in range(folds):
        out = folds_of_rows == fold
        predicted[out] = formula.fitted(table[~out])(table[out])
    return predicted


def leave_level_out(table: Frame, formula: Formula, factor: str, level: Any) -> tuple[Frame, Array]:
    """Fit without a level and predict it; the level's observations, and seconds for each."""
    out = (table[factor] == level).to_numpy()
    asked = table[out]
    return asked, formula.fitted(table[~out])(asked)


def knowing_the_cells(table: Frame) -> Array:
    """Seconds as told by a formula that knew each cell's true (geometric) mean: the noise alone.

    A log time lies off the mean of its cell's other replicates by its own noise and that mean's;
    scaled by sqrt((n - 1) / n), for n replicates, the variance is that of its own.
    """
    logs = table.groupby("cell")["log_s"]
    n = logs.transform("size")
    off = (logs.transform("sum") - table["log_s"]) / (n - 1) - table["log_s"]
    return np.asarray(table["seconds"] * np.exp(off * np.sqrt((n - 1) / n)), dtype=np.float64)


def score(table: Frame, predicted: Array, seed: int) -> Score | None:
    """How far the predictions are off; None if none of the observations was predicted."""
    measured = np.asarray(table["seconds"], dtype=np.float64)
    cells = np.asarray(table["cell"])
    known = np.isfinite(predicted)
    if not known.any():
        return None
    errors = predicted[known] / measured[known] - 1
    sizes = np.abs(errors)
    groups = _groups(cells[known])
    rng = np.random.default_rng(seed)
    drawn = np.array([_quantiles(sizes, groups, rng) for _ in range(DRAWS)])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    median, p90 = np.quantile(sizes, (0.5, 0.9))
    return Score(
        float(known.mean()),
        float(median),
        Band(float(low[0]), float(high[0])),
        float(p90),
        Band(float(low[1]), float(high[1])),
        float(np.median(errors)),
    )


def _groups(cells: Array) -> list[Any]:
    order = np.argsort(cells, kind="stable")
    _, starts = np.unique(cells[order], return_index=True)
    return np.split(order, starts[1:])


def _quantiles(sizes: Array, groups: Sequence[Any], rng: np.random.Generator) -> Array:
    rows = np.concatenate([groups[n] for n in rng.integers(0, len(groups), len(groups))])
    return np.asarray(np.quantile(sizes[rows], (0.5, 0.9)))
