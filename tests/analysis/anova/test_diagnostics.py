"""What is wrong with an experiment shows in its diagnostics, and a sound one shows nothing."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.outliers_influence import OLSInfluence

from analysis.anova.diagnostics import box_cox, diagnose, order_effects, outliers, residual_tests
from analysis.anova.effects import fit
from analysis.anova.observations import read_experiment, table_of
from tests.analysis.anova.synthetic import SMALL, product, rows, table, write


def test_the_logarithm_is_found_to_be_the_scale_of_a_product() -> None:
    found = box_cox(table(product), 1)
    assert 0.0 in found.band
    assert 1.0 not in found.band
    assert found.power in found.band


def test_time_itself_is_found_to_be_the_scale_of_a_sum() -> None:
    rng = np.random.default_rng(1)
    summed = [
        one | {"seconds": 1 + 0.1 * one["steps"] + 0.2 * one["batch"] + 0.02 * rng.normal()}
        for one in rows(product, SMALL, blocks=4)
    ]
    found = box_cox(table_of(summed), 1)
    assert 1.0 in found.band
    assert 0.0 not in found.band


def test_sound_residuals_pass_and_those_of_untransformed_time_do_not(tmp_path: Path) -> None:
    seen = diagnose(
        read_experiment(write(tmp_path / "raw.jsonl", rows(product, seed=1))),
        fit(table(product, seed=1)),
    )
    assert min(seen.log.shapiro_p, seen.log.breusch_pagan_p) > 0.01
    assert seen.log.durbin_watson == pytest.approx(2, abs=0.25)
    assert seen.log.neighbours in seen.log.neighbours_band
    assert max(seen.seconds.shapiro_p, seen.seconds.breusch_pagan_p) < 1e-6
    assert seen.log.main_share > seen.seconds.main_share


def test_slow_spells_show_as_neighbours_that_are_alike() -> None:
    made = rows(product, SMALL, blocks=6)
    slow = [
        one | {"seconds": one["seconds"] * (1.3 if one["order"] // 9 % 2 else 1)} for one in made
    ]
    spells = table_of(slow)
    found = residual_tests(fit(spells), fit(spells, 1))
    assert found.neighbours > 2 * found.neighbours_band.high
    assert found.durbin_watson < 1.5


def test_a_machine_that_slows_down_shows_as_an_effect_of_place() -> None:
    made = rows(product, SMALL, blocks=4, noise=0.02)
    heated = [
        one | {"seconds": one["seconds"] * (1 + 0.2 * (one["order"] % 18) / 17)} for one in made
    ]
    place = order_effects(table_of(heated))[0]
    assert place.ratio == pytest.approx(1.2, abs=0.05)
    assert place.p_holm < 0.001
    assert order_effects(table_of(made))[0].p_holm > 0.01


def test_what_the_cell_before_was_can_matter() -> None:
    made = rows(product, SMALL | {"threads": [1, 2]}, blocks=4, noise=0.02)
    switched = [made[0]] + [
        one | {"seconds": one["seconds"] * (1.1 if one["threads"] != before["threads"] else 1)}
        for before, one in pairwise(made)
    ]
    (found,) = (one for one in order_effects(table_of(switched)) if "threads" in one.what)
    assert 1.1 in found.band
    assert 1.0 not in found.band


def test_an_outlier_is_told_with_its_cell_and_stays() -> None:
    made = rows(product, SMALL, blocks=4)
    made[40] = made[40] | {"seconds": 2 * made[40]["seconds"]}
    seen = table_of(made)
    found = outliers(seen, fit(seen))
    assert (found.count, [one.order for one in found.told]) == (1, [40])
    assert found.told[0].studentised > found.bound
    assert found.told[0].cell["steps"] == made[40]["steps"]
    assert found.share_change_max > 0
    assert outliers(table(product), fit(table(product))).count == 0


def test_studentised_residuals_are_those_of_a_fit_without_the_observation() -> None:
    made = rows(product, SMALL, blocks=2)
    made[7] = made[7] | {"seconds": 3 * made[7]["seconds"]}
    results = fit(table_of(made))
    refitted = np.asarray(OLSInfluence(results).resid_studentized_external)
    (found,) = outliers(table_of(made), results).told
    assert found.studentised == pytest.approx(refitted[7])
