"""Formulas give back the numbers that made-up times were made of."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.anova.formulas import (
    BY_VARIANT,
    CONFIGURATION,
    PARTS,
    PowerLaw,
    all_formulas,
    physical,
    solve,
    standard_errors,
)
from tests.analysis.anova.synthetic import (
    LEVELS,
    ONCE_S,
    PICTURE_S,
    PIXEL_S,
    STEP_S,
    WORK_S,
    product,
    sum_of_parts,
    table,
)

FORMULA = physical(LEVELS["sampler"])
TRUTH = np.array([ONCE_S, PICTURE_S, PIXEL_S, STEP_S, STEP_S - 0.001, WORK_S])


def test_the_sum_of_parts_finds_every_part_of_every_setting() -> None:
    found = FORMULA.coefficients(table(sum_of_parts, noise=0.0))
    assert set(found) == {(v, "float32", t) for v in ("full", "small") for t in (1, 2)}
    for (variant, _, _), coefficients in found.items():
        np.testing.assert_allclose(
            coefficients, TRUTH * (0.5 if variant == "small" else 1.0), rtol=1e-6
        )


def test_standard_errors_tell_how_far_coefficients_scatter_between_experiments() -> None:
    def one_setting(seed: int):  # type: ignore[no-untyped-def]
        seen = table(sum_of_parts, seed=seed)
        return seen[(seen["variant"] == "full") & (seen["threads"] == 1)]

    scattered = np.std([solve(one_setting(seed), FORMULA.columns) for seed in range(40)], axis=0)
    told = standard_errors(one_setting(99), FORMULA.columns, seed=1)
    np.testing.assert_allclose(told, scattered, rtol=0.6)


def test_parts_take_no_negative_time() -> None:
    shrinking = table(lambda cell: sum_of_parts(cell) - 0.9 * ONCE_S - 0.1 * PICTURE_S, noise=0.3)
    assert all((one >= 0).all() for one in FORMULA.coefficients(shrinking).values())


def test_the_power_law_finds_the_powers_of_a_product() -> None:
    results = PowerLaw("").results(table(product))
    powers = [results.params[f"np.log({name})"] for name in ("steps", "batch", "kpx")]
    assert powers == pytest.approx([0.8, 0.6, 0.5], abs=0.02)
    assert results.params["C(variant)[T.small]"] == pytest.approx(np.log(0.5), abs=0.02)


def test_every_formula_predicts_every_cell_that_it_was_fitted_to() -> None:
    seen = table(sum_of_parts)
    for formula in all_formulas(LEVELS["sampler"]):
        predicted = formula.fitted(seen)(seen)
        assert predicted.shape == (len(seen),)
        assert (predicted > 0).all()


def test_what_was_not_fitted_is_not_predicted() -> None:
    seen = table(sum_of_parts)
    full, small = (seen[seen["variant"] == name] for name in ("full", "small"))
    assert np.isnan(FORMULA.fitted(full)(small)).all()
    (naive,) = (one for one in all_formulas(LEVELS["sampler"]) if one.name == CONFIGURATION)
    two = seen[seen["batch"] == 2]
    assert np.isnan(naive.fitted(two)(seen[seen["batch"] == 4])).all()
    assert np.isfinite(naive.fitted(two)(two)).all()


def test_the_page_finds_the_formulas_that_it_names() -> None:
    assert {PARTS, CONFIGURATION, BY_VARIANT} <= {
        one.name for one in all_formulas(LEVELS["sampler"])
    }
