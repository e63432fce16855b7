"""Whether the analysis may be believed: scale, residuals, order of the runs, and outliers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from statsmodels.stats.diagnostic import het_breuschpagan
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.outliers_influence import OLSInfluence
from statsmodels.stats.stattools import durbin_watson

from analysis.anova.effects import LEVEL, analyse, fit
from analysis.anova.observations import FACTORS, Experiment, Frame
from analysis.intervals import Array, Band

LAMBDAS = np.round(np.arange(-1.5, 1.5001, 0.01), 2)
SEVERE = 3.0
"""Residuals beyond this many of their standard deviations are counted."""
OUTLIERS_TOLD = 8


@dataclass(frozen=True, slots=True)
class Residuals:
    """What tests say of residuals, in run order.

    Shapiro-Wilk (normal), Breusch-Pagan (spread does not follow the factors), Durbin-Watson (2: a
    residual does not follow the one before), with p where there is one; correlation of neighbours
    with its interval under independence; skewness and excess kurtosis; `main_share`, what main
    effects and blocks alone explain of all variance on this scale.
    """

    shapiro_w: float
    shapiro_p: float
    breusch_pagan: float
    breusch_pagan_p: float
    durbin_watson: float
    neighbours: float
    neighbours_band: Band
    skewness: float
    kurtosis: float
    main_share: float


def residual_tests(results: Any, main: Any) -> Residuals:
    """Test a fit's residuals; `main` is the fit on the same scale without interactions."""
    left = np.asarray(results.resid, dtype=np.float64)
    w, w_p = stats.shapiro(left)
    lm, lm_p, _, _ = het_breuschpagan(left, results.model.exog)
    centred = left - left.mean()
    bound = 1.96 / np.sqrt(left.size)
    return Residuals(
        float(w),
        float(w_p),
        float(lm),
        float(lm_p),
        float(durbin_watson(left)),
        float(centred[:-1] @ centred[1:] / (centred @ centred)),
        Band(-float(bound), float(bound)),
        float(stats.skew(left)),
        float(stats.kurtosis(left)),
        float(main.rsquared),
    )


@dataclass(frozen=True, slots=True)
class BoxCox:
    """The power of time under which a model fits best (0: logarithm, 1: time itself), 95 % interval."""

    power: float
    band: Band


def box_cox(table: Frame, order: int) -> BoxCox:
    """Profile likelihood of the power (Box, Cox 1964) under effects of up to `order` factors.

    With `order` 1 it is the scale on which main effects come closest to telling all. The interval
    is where the likelihood ratio keeps within chi-squared's 95 % quantile.
    """
    basis, _ = np.linalg.qr(np.asarray(fit(table, order).model.exog))
    seconds = np.asarray(table["seconds"], dtype=np.float64)
    likelihood = np.array([_likelihood(seconds, power, basis) for power in LAMBDAS])
    best = int(likelihood.argmax())
    inside = LAMBDAS[likelihood >= likelihood[best] - stats.chi2.ppf(0.95, 1) / 2]
    return BoxCox(float(LAMBDAS[best]), Band(float(inside.min()), float(inside.max())))


def _likelihood(seconds: Array, power: float, basis: Array) -> float:
    logs = np.log(seconds)
    moved = logs if power == 0 else np.expm1(power * logs) / power
    left = moved - basis @ (basis.T @ moved)
    n = seconds.size
    return float(-n / 2 * np.log(left @ left / n) + (power - 1) * logs.sum())


@dataclass(frozen=True, slots=True)
class Drift:
    """What a covariate does to the time, as a ratio with its 95 % interval (HC3), and Holm's p."""

    what: str
    ratio: float
    band: Band
    p_holm: float


def order_effects(table: Frame) -> tuple[Drift, ...]:
    """Does time depend on when a cell was run, or on what ran before it?

    Covariates beside the two-way model with blocks: place within the block (0 to 1), and whether the
    cell before had another number of threads, number type, variant or size.
    """
    within = table.groupby("block")["order"].rank() / (table["cell"].nunique() + 1)
    columns = {"place": within}
    what = {"place": "last place of a block against the first"}
    for factor in ("threads", "dtype", "variant", "size"):
        if table[factor].nunique() > 1:
            columns[f"other_{factor}"] = (table[factor] != table[factor].shift()).astype(float)
            what[f"other_{factor}"] = f"the cell before had other {factor}"
    results = fit(table.assign(**columns), extra=tuple(columns))
    robust = results.get_robustcov_results("HC3")
    place = {name: number for number, name in enumerate(results.model.exog_names)}
    ends = np.exp(robust.conf_int())
    p = multipletests([robust.pvalues[place[name]] for name in columns], method="holm")[1]
    return tuple(
        Drift(
            what[name],
            float(np.exp(robust.params[place[name]])),
            Band(*(float(end) for end in ends[place[name]])),
            float(p[number]),
        )
        for number, name in enumerate(columns)
    )


@dataclass(frozen=True, slots=True)
class Outlier:
    """An observation whose externally studentised residual is beyond Bonferroni's bound."""

    order: int
    block: int
    cell: dict[str, Any]
    seconds: float
    expected_s: float
    studentised: float
    load_average: float | None


@dataclass(frozen=True, slots=True)
class Outliers:
    """How many there are, the largest, and what the table would be like without them.

    `changed` are terms that are sure with them and not without, or the other way round.
    """

    bound: float
    count: int
    beyond_three: int
    told: tuple[Outlier, ...]
    changed: tuple[str, ...]
    share_change_max: float


def outliers(table: Frame, results: Any) -> Outliers:
    """Find them at 5 % over the whole experiment (Bonferroni); nothing is dropped."""
    inside = np.asarray(OLSInfluence(results).resid_studentized_internal)
    n, freedom = inside.size, float(results.df_resid) - 1
    # statsmodels' own external ones refit the model once for each observation.
    studentised = inside * np.sqrt(freedom / (freedom + 1 - inside**2))
    bound = float(stats.t.isf(LEVEL / (2 * n), freedom))
    far = np.flatnonzero(np.abs(studentised) > bound)
    largest = far[np.argsort(-np.abs(studentised[far]))][:OUTLIERS_TOLD]
    expected_s = np.exp(np.asarray(results.fittedvalues))
    told = tuple(
        Outlier(
            int(table["order"].iloc[row]),
            int(table["block"].iloc[row]),
            {factor: _plain(table[factor].iloc[row]) for factor in FACTORS},
            float(table["seconds"].iloc[row]),
            float(expected_s[row]),
            float(studentised[row]),
            _plain(table["load_average"].iloc[row]),
        )
        for row in largest
    )
    changed, change = _without(table, results, far)
    beyond = int((np.abs(studentised) > SEVERE).sum())
    return Outliers(bound, far.size, beyond, told, changed, change)


def _without(table: Frame, results: Any, far: Any) -> tuple[tuple[str, ...], float]:
    """Terms whose verdict changes without these rows, and the largest change of a share."""
    if not far.size:
        return (), 0.0
    whole = analyse(results)
    rest = analyse(fit(table.drop(index=far).reset_index(drop=True)))
    shares = {one.term: one.share for one in rest.effects}
    change = max(abs(one.share - shares[one.term]) for one in whole.effects)
    return tuple(sorted(whole.sure() ^ rest.sure())), change


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Everything that speaks for or against the table."""

    log: Residuals
    seconds: Residuals
    power_main: BoxCox
    power_two_way: BoxCox
    drifts: tuple[Drift, ...]
    outliers: Outliers


def diagnose(experiment: Experiment, results: Any) -> Diagnostics:
    """Diagnostics of the log fit, beside those of the untransformed time."""
    table = experiment.table
    plain, plain_main = fit(table, 2, "seconds"), fit(table, 1, "seconds")
    return Diagnostics(
        residual_tests(results, fit(table, 1)),
        residual_tests(plain, plain_main),
        box_cox(table, 1),
        box_cox(table, 2),
        order_effects(table),
        outliers(table, results),
    )
