"""Fits a law to a sample of service times, and says whether it fits.

The laws are those of `analysis.service_times`, so that a queueing model can be asked with what was
found. Shifted laws are not among them: where neither the lognormal nor the gamma law fits, the sample
itself (the empirical law) has all that a queueing formula asks of a law, its shift included.

Distances between a sample and a law fitted to that sample are shorter than tables have them. Their
p-values are therefore found by drawing from the fitted law and fitting anew (Lilliefors 1967; Stute,
Gonzalez Manteiga, Presedo Quindimil 1993), which scipy's `goodness_of_fit` does. Neighbours in a run
share their batch and its speed; the test takes values apart by the sample's correlation length, for a
test of all of them would take alikeness for a wrong law.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.intervals import Band, block_bootstrap, correlation_length
from analysis.service_times import Deterministic, Empirical, Gamma, Lognormal, ServiceTime

Array = NDArray[np.float64]

SAMPLE_MIN = 20
"""Fewer times tell moments without a law."""
TESTED_MAX = 1000
"""More values are thinned out: any law fails with enough of them, and by less than matters."""
FIT_LEVEL = 0.05
FIT_DRAWS = 199
MOMENT_DRAWS = 1000
RESOLUTION_CV2 = 1e-10
"""Less spread is that of the stamps, which are in microseconds."""
DETERMINISTIC_CV2 = 0.01
"""With less spread the waiting time is that of deterministic service within 1 %: it goes with
1 + cv2 (Pollaczek 1930, Khinchine 1932)."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    band: Band


@dataclass(frozen=True, slots=True)
class Moments:
    """Of `n` times in seconds, worth `independent` independent ones; cv2 is the squared coefficient
    of variation. Intervals by the block bootstrap."""

    n: int
    independent: float
    mean_s: Estimate
    cv2: Estimate
    skewness: Estimate


@dataclass(frozen=True, slots=True)
class Fit:
    """A law fitted by maximum likelihood: Akaike's and Schwarz's criteria (less is better), and the
    Kolmogorov-Smirnov and Anderson-Darling distances with bootstrap p-values over `tested` times."""

    law: str
    mean_s: float
    cv2: float
    log_likelihood: float
    aic: float
    bic: float
    ks: float
    ks_p: float
    ad: float
    ad_p: float
    tested: int

    @property
    def fits(self) -> bool:
        """Neither test speaks against it."""
        return min(self.ks_p, self.ad_p) >= FIT_LEVEL


@dataclass(frozen=True, slots=True)
class ServiceLaw:
    """What a sample of service times tells. `chosen` names the law that stands in `law`."""

    moments: Moments
    fits: tuple[Fit, ...]
    chosen: str
    why: str
    law: ServiceTime


def study_service(times_s: Array, *, seed: int = 1) -> ServiceLaw:
    """Moments, fits and the law to be used. ValueError for fewer than 20 times, or one not above 0.

    Deterministic where the spread does not matter for a queue, else the law of the least AIC of
    those that fit, else the sample itself.
    """
    n = times_s.size
    if n < SAMPLE_MIN:
        raise ValueError(f"{n} service times are too few for a law: at least {SAMPLE_MIN}")
    moments = moments_of(times_s, seed)
    if moments.cv2.band.high < DETERMINISTIC_CV2:
        why = f"cv2 is surely below {DETERMINISTIC_CV2:g}: no waiting time would show the spread"
        spread = moments.cv2.value > RESOLUTION_CV2
        fits = fit_laws(times_s, seed) if spread else ()
        return ServiceLaw(moments, fits, "deterministic", why, Deterministic(moments.mean_s.value))
    fits = fit_laws(times_s, seed)
    fitting = [fit for fit in fits if fit.fits]
    if not fitting:
        why = "neither the lognormal nor the gamma law fits"
        return ServiceLaw(moments, fits, "empirical", why, Empirical(times_s))
    best = min(fitting, key=lambda fit: fit.aic)
    others = [fit.law for fit in fits if fit is not best]
    why = f"it fits, with a lower AIC than {' and '.join(others)}"
    if any(fit.aic < best.aic for fit in fits):
        why = "it is the only law that fits"
    return ServiceLaw(moments, fits, best.law, why, _FAMILIES[best.law].law(best.mean_s, best.cv2))


def moments_of(times_s: Array, seed: int = 1) -> Moments:
    """Moments with intervals; ValueError for fewer than two times, or one not above 0."""
    if times_s.size < 2 or not np.all(times_s > 0):
        raise ValueError("service times must be at least two, and all above 0 s")

    def estimated(figure: Callable[[Array], Array]) -> Estimate:
        band = block_bootstrap(times_s, figure, seed, draws=MOMENT_DRAWS)
        return Estimate(float(figure(times_s[None, :])[0]), band)

    independent = times_s.size / correlation_length(times_s)
    return Moments(
        times_s.size, independent, estimated(_means), estimated(_cv2s), estimated(_skewnesses)
    )


def _means(rows: Array) -> Array:
    return np.asarray(rows.mean(axis=1))


def _cv2s(rows: Array) -> Array:
    return np.asarray(rows.var(axis=1, ddof=1) / rows.mean(axis=1) ** 2)


def _skewnesses(rows: Array) -> Array:
    centred = rows - rows.mean(axis=1, keepdims=True)
    second = (centred**2).mean(axis=1)
    third = (centred**3).mean(axis=1)
    # Equal times have no direction.
    return np.asarray(np.divide(third, second**1.5, out=np.zeros_like(third), where=second > 0))


# -- laws -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Family:
    """A family of laws in scipy (its place at 0), and the same law of ours by mean and cv2."""

    scipys: stats.rv_continuous
    law: Callable[[float, float], ServiceTime]


_FAMILIES: Mapping[str, _Family] = {
    "lognormal": _Family(stats.lognorm, Lognormal),
    "gamma": _Family(stats.gamma, Gamma),
}


def fit_laws(times_s: Array, seed: int = 1) -> tuple[Fit, ...]:
    """The lognormal and the gamma law, fitted and tested. ValueError if all times are equal."""
    if np.ptp(times_s) == 0:
        raise ValueError("all service times are equal: no law but the deterministic fits")
    return tuple(_fit(name, family, times_s, seed) for name, family in _FAMILIES.items())


def _fit(name: str, family: _Family, times_s: Array, seed: int) -> Fit:
    shape, _, scale = family.scipys.fit(times_s, floc=0)
    fitted = family.scipys(shape, scale=scale)
    likelihood = float(fitted.logpdf(times_s).sum())
    apart = apart_by_correlation(times_s)
    ks, ad = (
        stats.goodness_of_fit(
            family.scipys,
            apart,
            known_params={"loc": 0},
            statistic=statistic,
            n_mc_samples=FIT_DRAWS,
            rng=np.random.default_rng(seed),
        )
        for statistic in ("ks", "ad")
    )
    parameters = 2
    return Fit(
        law=name,
        mean_s=float(fitted.mean()),
        cv2=float(fitted.var() / fitted.mean() ** 2),
        log_likelihood=likelihood,
        aic=2 * parameters - 2 * likelihood,
        bic=parameters * math.log(times_s.size) - 2 * likelihood,
        ks=float(ks.statistic),
        ks_p=float(ks.pvalue),
        ad=float(ad.statistic),
        ad_p=float(ad.pvalue),
        tested=apart.size,
    )


def apart_by_correlation(times_s: Array) -> Array:
    """Values so far apart that they are about independent, at most 1,000 of them."""
    far = max(round(correlation_length(times_s)), math.ceil(times_s.size / TESTED_MAX))
    return times_s[:: max(1, far)]
