"""The table finds what is there, by as much as it is there, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.anova.effects import (
    Analysis,
    Effect,
    analyse,
    cell_means,
    fit,
    lack_of_fit,
    main_effects,
    share_band,
    three_ways,
)
from analysis.anova.observations import Frame
from tests.analysis.anova.synthetic import LEVELS, SMALL, product, sum_of_parts, table

NOISE = 0.05


def analysed(of: Frame) -> tuple[Any, Analysis]:
    results = fit(of)
    return results, analyse(results)


def effect(analysis: Analysis, term: str) -> Effect:
    (found,) = (one for one in analysis.effects if one.term == term)
    return found


def test_sums_of_squares_are_those_of_the_textbook() -> None:
    seen = table(product, SMALL, blocks=3, noise=0.3)
    _, analysis = analysed(seen)
    y, grand = seen["log_s"], seen["log_s"].mean()
    for factor in ("steps", "batch", "sampler", "block"):
        means = seen.groupby(factor)["log_s"].agg(["mean", "size"])
        by_hand = float((means["size"] * (means["mean"] - grand) ** 2).sum())
        assert effect(analysis, factor).sum_sq == pytest.approx(by_hand)
        assert effect(analysis, factor).share == pytest.approx(by_hand / ((y - grand) ** 2).sum())


def test_shares_of_a_balanced_design_add_up_to_one() -> None:
    _, analysis = analysed(table(sum_of_parts))
    shares = sum(one.share for one in analysis.effects) + analysis.residual_share
    assert shares == pytest.approx(1)


def test_a_known_partial_eta_squared_is_recovered() -> None:
    """Levels ln 2 apart: variance (ln 2 / 2)^2, against noise of a known one."""
    noise = 0.4
    expected = (np.log(2) / 2) ** 2 / ((np.log(2) / 2) ** 2 + noise**2)
    _, analysis = analysed(table(product, noise=noise, seed=3))
    found = effect(analysis, "variant")
    assert found.partial_omega2 == pytest.approx(expected, abs=0.05)
    assert found.partial_eta2 > found.partial_omega2
    assert expected in found.band


def test_nothing_but_what_is_there_is_sure() -> None:
    _, analysis = analysed(table(product))
    assert analysis.sure() == {"steps", "batch", "size", "variant"}


def test_an_interaction_that_is_there_is_found_alone() -> None:
    def rule(cell: Mapping[str, Any]) -> float:
        both = cell["variant"] == "small" and cell["threads"] == 2
        return product(cell) * (1.1 if both else 1.0)

    _, analysis = analysed(table(rule))
    assert "variant x threads" in analysis.sure()
    assert {term for term in analysis.sure() if " x " in term} == {"variant x threads"}


def test_p_is_corrected_over_the_whole_table() -> None:
    """Holm's by hand: the smallest times the number of terms, and none below the one before."""
    _, analysis = analysed(table(product, SMALL, noise=0.8))
    effects = sorted(
        analysis.effects, key=lambda one: stats.f.sf(one.f, one.df, analysis.residual_df)
    )
    largest = 0.0
    for number, one in enumerate(effects):
        p = float(stats.f.sf(one.f, one.df, analysis.residual_df))
        largest = max(largest, min(1.0, (len(effects) - number) * p))
        assert one.p_holm == pytest.approx(largest)
    assert len(effects) == 3 + 3 + 1
    assert 0.001 < effects[1].p_holm < 1


def test_the_interval_of_a_share_covers_it_in_95_of_100_experiments() -> None:
    df, residual_df, noncentrality = 2, 60, 12.0
    share = noncentrality / (noncentrality + df + residual_df + 1)
    drawn = stats.ncf.rvs(df, residual_df, noncentrality, size=1000, random_state=1)
    covered = np.mean([share in share_band(float(f), df, residual_df) for f in drawn])
    assert covered == pytest.approx(0.95, abs=0.025)


@pytest.mark.parametrize("f", [0.01, 1.0, 50.0, 1e5, 1e7])
def test_the_interval_holds_the_share_for_any_f(f: float) -> None:
    band = share_band(f, 2, 800)
    assert 0 <= band.low <= 2 * f / (2 * f + 800) <= band.high + 0.003
    assert band.high < 1
    assert (band.low == 0) == (f <= 1)


def test_three_way_interactions_are_told_only_if_they_matter() -> None:
    def rule(cell: Mapping[str, Any]) -> float:
        odd = (cell["variant"] == "small") ^ (cell["threads"] == 2) ^ (cell["sampler"] == "euler")
        return product(cell) * (1.2 if odd else 1.0)

    seen = table(rule)
    higher = three_ways(seen, fit(seen))
    assert higher is not None
    assert [one.term for one in higher.told] == ["variant x sampler x threads"]
    assert higher.p < 1e-6
    plain = table(product)
    none = three_ways(plain, fit(plain))
    assert none is not None
    assert none.told == ()
    assert none.p > 0.001


def test_lack_of_fit_is_what_cells_differ_by_beyond_the_model() -> None:
    seen = table(product, noise=NOISE)
    sound = lack_of_fit(seen, fit(seen))
    assert sound.p > 0.001
    assert sound.spread == pytest.approx(NOISE, rel=0.1)
    assert sound.missed_df + sound.error_df == fit(seen).df_resid
    missing = (
        lack_of_fit(seen, fit(seen, 1)),
        lack_of_fit(table(sum_of_parts), fit(table(sum_of_parts), 1)),
    )
    assert missing[0].p > 0.001  # a product has no interactions to miss
    assert missing[1].p < 1e-6


def test_levels_are_told_as_ratios_to_the_first() -> None:
    seen = table(product)
    effects = main_effects(seen, fit(seen))
    assert [one.level for one in effects["size"]] == LEVELS["size"]  # by area, not by the alphabet
    for factor, ratio in (("steps", 4**0.8), ("batch", 4**0.6), ("size", 2.0), ("variant", 0.5)):
        assert ratio in effects[factor][-1].band
        assert effects[factor][-1].ratio == pytest.approx(ratio, rel=0.02)
    assert 1.0 in effects["threads"][1].band
    first = seen[seen["steps"] == 3]
    assert effects["steps"][0].mean_s == pytest.approx(np.exp(first["log_s"].mean()))


def test_means_of_pairs_of_levels_are_geometric() -> None:
    seen = table(product, SMALL, noise=0.0)
    means = {tuple(one["levels"]): one["mean_s"] for one in cell_means(seen, ("steps", "batch"))}
    assert list(means) == [(s, b) for s in (3, 6, 12) for b in (1, 2, 4)]
    cell = {"size": "64x64", "variant": "full", "steps": 6, "batch": 4}
    assert means[6, 4] == pytest.approx(product(cell))
