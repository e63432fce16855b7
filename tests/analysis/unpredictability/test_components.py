"""Variance components: known truth, REML, and blocks drawn anew."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from analysis.unpredictability.components import (
    RESIDUAL,
    Sample,
    components_of,
    redrawn,
    sample_of,
    variances_of,
)

MEAN = 10.0
DEVIATIONS = {"engine": 0.3, "request": 0.5, "block": 0.4, "visit": 0.2, RESIDUAL: 0.6}


def crossed(
    seed: int, deviations: Mapping[str, float] = DEVIATIONS, blocks: int = 6, uneven: bool = False
) -> Sample:
    """Every request twice on each of four engines in each block; `uneven`: some are missing."""
    rng = np.random.default_rng(seed)
    engine = rng.normal(0, deviations["engine"], 4)
    request = rng.normal(0, deviations["request"], 5)
    rows = []
    for block in range(blocks):
        in_block = rng.normal(0, deviations["block"])
        for e in range(4):
            in_visit = in_block + rng.normal(0, deviations["visit"])
            for r in (0, 1, 2, 3, 4) * 2:
                value = MEAN + engine[e] + request[r] + in_visit
                value += rng.normal(0, deviations[RESIDUAL])
                if not (uneven and rng.random() < 0.2):
                    rows.append((value, e, r, block, (block, e)))
    values, engines, requests, in_blocks, visits = zip(*rows, strict=True)
    causes = {"engine": engines, "request": requests, "block": in_blocks, "visit": visits}
    return sample_of(values, causes, in_blocks)


def test_known_variances_are_found_without_bias() -> None:
    found = [variances_of(crossed(seed)) for seed in range(150)]
    for name, deviation in DEVIATIONS.items():
        estimates = np.array([one[name] for one in found])
        error = estimates.std(ddof=1) / np.sqrt(estimates.size)
        assert abs(estimates.mean() - deviation**2) < 3.5 * error, name


def test_a_law_far_from_normal_makes_no_bias() -> None:
    rng = np.random.default_rng(5)
    levels = [level for level in range(30) for _ in range(4)]
    found = []
    for _ in range(300):
        effects = rng.exponential(0.5, 30)[levels]
        values = effects + rng.exponential(0.8, len(levels))
        found.append(variances_of(sample_of(values.tolist(), {"one": levels}, levels)))
    assert np.mean([one["one"] for one in found]) == pytest.approx(0.25, rel=0.1)
    assert np.mean([one[RESIDUAL] for one in found]) == pytest.approx(0.64, rel=0.1)


@pytest.mark.parametrize(("uneven", "nearness"), [(False, 0.01), (True, 0.15)])
def test_it_agrees_with_reml_of_statsmodels(uneven: bool, nearness: float) -> None:
    wide = dict.fromkeys(DEVIATIONS, 0.6)  # away from zero, where REML stops at the boundary
    sample = crossed(3, wide, uneven=uneven)
    frame = pd.DataFrame({"y": sample.values, **sample.causes})
    formulas = {name: f"0 + C({name})" for name in sample.causes}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = smf.mixedlm("y ~ 1", frame, groups=np.ones(len(frame)), vc_formula=formulas).fit()
    found = variances_of(sample)
    reml = dict(zip(fit.model.exog_vc.names, fit.vcomp, strict=True)) | {RESIDUAL: fit.scale}
    for name, variance in found.items():
        assert variance == pytest.approx(reml[name], rel=nearness), name


def test_shares_add_up_and_none_is_negative() -> None:
    found = components_of(crossed(1, DEVIATIONS | {"engine": 0.0, "visit": 0.0}), 1, draws=20)
    assert sum(one.share for one in found.values()) == pytest.approx(1.0)
    for one in found.values():
        assert 0.0 <= one.share_band.low <= one.share <= one.share_band.high <= 1.0
        assert one.cv == pytest.approx(np.sqrt(max(0.0, one.variance)) / MEAN, rel=0.2)


@pytest.mark.slow
def test_intervals_mostly_hold_the_truth_with_few_blocks() -> None:
    levels = [block for block in range(6) for _ in range(6)]
    hits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = MEAN + rng.normal(0, 0.5, 6)[levels] + rng.normal(0, 0.6, len(levels))
        sample = sample_of(values.tolist(), {"block": levels}, levels)
        band = components_of(sample, seed, draws=60)[RESIDUAL].cv_band
        hits += band.low <= 0.6 / MEAN <= band.high
    assert hits > 80


def test_a_block_drawn_twice_counts_as_two_with_visits_of_their_own() -> None:
    sample = crossed(1)
    drawn = redrawn(sample, ["0", "0", "3"])
    assert np.unique(drawn.blocks).size == 3
    assert np.unique(drawn.causes["block"]).size == 3
    assert np.unique(drawn.causes["visit"]).size == 12
    assert np.unique(drawn.causes["engine"]).size == 4
    assert np.unique(drawn.causes["request"]).size == 5
    assert drawn.values.size == sample.values.size / 2


def test_intervals_are_the_same_for_the_same_seed() -> None:
    assert components_of(crossed(1), 7, draws=10) == components_of(crossed(1), 7, draws=10)


def test_causes_that_go_hand_in_hand_are_refused() -> None:
    sample = crossed(1)
    twins = {**sample.causes, "twin": sample.causes["engine"]}
    with pytest.raises(ValueError, match="cannot be told apart"):
        variances_of(Sample(sample.values, twins, sample.blocks))


def test_one_block_carries_no_interval() -> None:
    with pytest.raises(ValueError, match="at least two"):
        components_of(crossed(1, blocks=1), 1)


def test_every_value_needs_its_levels() -> None:
    with pytest.raises(ValueError, match="every value needs"):
        sample_of([1.0, 2.0], {"one": [1]}, [1, 1])
