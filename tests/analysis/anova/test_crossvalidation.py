"""Cells that are left out are left out: a formula that knows by heart what it saw knows nothing of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from analysis.anova.crossvalidation import (
    knowing_the_cells,
    leave_cells_out,
    leave_level_out,
    score,
)
from analysis.anova.formulas import Predict, physical
from analysis.anova.observations import Frame
from analysis.intervals import Array
from tests.analysis.anova.synthetic import LEVELS, SMALL, product, sum_of_parts, table

FORMULA = physical(LEVELS["sampler"])


@dataclass
class ByHeart:
    """Predicts a cell by its mean, if any replicate of it was seen: a leak would make it exact."""

    name: str = "by heart"

    def fitted(self, table: Frame) -> Predict:
        means = table.groupby("cell")["seconds"].mean()
        return lambda asked: np.asarray(asked["cell"].map(means), dtype=np.float64)


def test_no_replicate_of_a_left_out_cell_is_seen() -> None:
    seen = table(product, SMALL, blocks=3)
    assert np.isfinite(ByHeart().fitted(seen)(seen)).all()
    assert np.isnan(leave_cells_out(seen, ByHeart(), seed=1, folds=5)).all()


def test_every_observation_is_predicted_once() -> None:
    seen = table(sum_of_parts)
    predicted = leave_cells_out(seen, FORMULA, seed=1)
    assert np.isfinite(predicted).all()
    other = leave_cells_out(seen, FORMULA, seed=2)
    assert not np.allclose(predicted, other, rtol=1e-9)  # dealt otherwise, fitted otherwise
    np.testing.assert_array_equal(predicted, leave_cells_out(seen, FORMULA, seed=1))


def test_folds_cannot_be_more_than_cells() -> None:
    with pytest.raises(ValueError, match="19 folds cannot be dealt 18 cells"):
        leave_cells_out(table(product, SMALL), FORMULA, seed=1, folds=19)


def test_a_level_that_is_left_out_is_not_seen() -> None:
    seen = table(sum_of_parts, noise=0.0)
    asked, predicted = leave_level_out(seen, FORMULA, "size", "128x128")
    assert set(asked["size"]) == {"128x128"}
    np.testing.assert_allclose(predicted, asked["seconds"], rtol=1e-6)  # the formula is the truth
    spoilt = seen.assign(seconds=seen["seconds"].where(seen["size"] != "128x128", 9.0))
    np.testing.assert_array_equal(leave_level_out(spoilt, FORMULA, "size", "128x128")[1], predicted)


def test_the_right_formula_is_off_by_the_noise_and_no_more() -> None:
    seen = table(sum_of_parts, noise=0.05, blocks=3)
    right = score(seen, leave_cells_out(seen, FORMULA, seed=1), seed=1)
    noise = score(seen, knowing_the_cells(seen), seed=1)
    assert right is not None
    assert noise is not None
    normal_median = 0.05 * 0.6745
    assert noise.median == pytest.approx(normal_median, rel=0.1)
    assert normal_median in noise.median_band
    assert right.median == pytest.approx(noise.median, rel=0.15)
    assert right.bias == pytest.approx(0, abs=0.01)


def test_errors_are_relative_to_what_was_measured() -> None:
    seen = table(product, SMALL)
    wrong = score(seen, 1.25 * np.asarray(seen["seconds"]), seed=1)
    assert wrong is not None
    assert (wrong.median, wrong.p90, wrong.bias) == pytest.approx((0.25, 0.25, 0.25))
    low = score(seen, 0.5 * np.asarray(seen["seconds"]), seed=1)
    assert low is not None
    assert (low.median, low.bias) == pytest.approx((0.5, -0.5))


def test_what_is_not_predicted_is_counted_and_not_scored() -> None:
    seen = table(product, SMALL)
    half: Array = np.asarray(seen["seconds"], dtype=np.float64).copy()
    half[::2] = np.nan
    found = score(seen, half, seed=1)
    assert found is not None
    assert (found.told, found.median) == (0.5, 0.0)
    assert score(seen, np.full(len(seen), np.nan), seed=1) is None
