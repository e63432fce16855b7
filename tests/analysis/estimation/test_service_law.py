"""The law that made a sample is found, a wrong one is refused, and the moments are covered."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.estimation.service_law import (
    apart_by_correlation,
    fit_laws,
    moments_of,
    study_service,
)
from analysis.models.lines import mg1
from analysis.service_times import Deterministic, Empirical, Gamma, Lognormal
from tests.analysis.estimation.samples import autoregressive


def lognormal(n: int, mean_s: float, cv2: float, seed: int) -> np.ndarray:
    sigma2 = np.log1p(cv2)
    return np.random.default_rng(seed).lognormal(np.log(mean_s) - sigma2 / 2, np.sqrt(sigma2), n)


def gamma(n: int, mean_s: float, cv2: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(1 / cv2, mean_s * cv2, n)


def two_kinds(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.5, 0.2, 1.0) * rng.uniform(0.95, 1.05, n)


def test_a_lognormal_sample_is_called_lognormal_and_a_gamma_sample_gamma() -> None:
    heavy = study_service(lognormal(600, 2.0, 1.0, 1))
    assert heavy.chosen == "lognormal"
    assert isinstance(heavy.law, Lognormal)
    assert heavy.law.mean_s == pytest.approx(2.0, rel=0.1)
    assert heavy.law.cv2 == pytest.approx(1.0, rel=0.3)
    light = study_service(gamma(600, 0.5, 1.0, 2))
    assert light.chosen == "gamma"
    assert isinstance(light.law, Gamma)
    assert light.law.mean_s == pytest.approx(0.5, rel=0.1)
    assert light.law.cv2 == pytest.approx(1.0, rel=0.2)


def test_a_sample_of_two_kinds_fits_no_law_and_speaks_for_itself() -> None:
    found = study_service(two_kinds(300, 3))
    assert not any(fit.fits for fit in found.fits)
    assert found.chosen == "empirical"
    assert isinstance(found.law, Empirical)


def test_hardly_any_spread_is_called_deterministic() -> None:
    times_s = np.random.default_rng(4).normal(0.5, 0.005, 200)
    found = study_service(times_s)
    assert found.chosen == "deterministic"
    assert found.law == Deterministic(found.moments.mean_s.value)
    assert len(found.fits) == 2
    assert study_service(np.full(30, 0.5)).fits == ()
    assert study_service(np.linspace(0.5, 0.5 + 1e-9, 30)).fits == ()


def test_a_queueing_model_can_be_asked_with_what_was_found() -> None:
    for times_s in (lognormal(200, 1.0, 0.8, 5), two_kinds(200, 6), np.full(30, 1.0)):
        law = study_service(times_s).law
        said = mg1(0.5 / law.mean_s, law)
        # Pollaczek and Khinchine.
        assert said.mean_wait_s == pytest.approx(0.5 * law.mean_s * (1 + law.cv2), rel=1e-6)


def test_p_values_hold_their_level_though_the_parameters_are_estimated() -> None:
    # Tables for known parameters would reject next to none of these.
    fits = [fit_laws(gamma(60, 1.0, 0.3, seed), seed)[1] for seed in range(25)]
    for ps in ([fit.ks_p for fit in fits], [fit.ad_p for fit in fits]):
        assert sum(p < 0.05 for p in ps) <= 4
        assert 0.35 <= np.mean(ps) <= 0.65


def test_criteria_are_those_of_the_likelihood() -> None:
    for fit in fit_laws(lognormal(100, 1.0, 0.5, 7)):
        assert fit.aic == pytest.approx(4 - 2 * fit.log_likelihood)
        assert fit.bic == pytest.approx(2 * np.log(100) - 2 * fit.log_likelihood)


def test_moments_are_covered_by_their_intervals() -> None:
    means = cv2s = skewnesses = 0
    for seed in range(40):
        found = moments_of(gamma(400, 2.0, 0.25, seed), seed)
        means += 2.0 in found.mean_s.band
        cv2s += 0.25 in found.cv2.band
        skewnesses += 1.0 in found.skewness.band  # 2 sqrt(cv2)
    assert means >= 34
    assert cv2s >= 33
    assert skewnesses >= 29


def test_alike_neighbours_widen_the_interval_and_thin_the_test() -> None:
    chain = autoregressive(600, 0.8, 8, mean=20.0)
    shuffled = np.random.default_rng(9).permutation(chain)
    assert (
        moments_of(chain).mean_s.band.half_width > 1.8 * moments_of(shuffled).mean_s.band.half_width
    )
    assert apart_by_correlation(chain).size < 120
    assert apart_by_correlation(np.random.default_rng(10).exponential(size=5000)).size <= 1000


def test_too_few_or_impossible_times_are_refused() -> None:
    with pytest.raises(ValueError, match="3 service times are too few"):
        study_service(np.array([1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match="above 0"):
        study_service(np.zeros(30))
    with pytest.raises(ValueError, match="equal"):
        fit_laws(np.ones(30))
