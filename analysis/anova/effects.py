"""Analysis of variance of log time: which settings matter, by how much, and which act together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import statsmodels.formula.api as formulas
from scipy import optimize, stats
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests

from analysis.anova.observations import Frame, varied
from analysis.intervals import Band

LEVEL = 0.05
TIMES = " x "
RESIDUAL = "residual"
MATTERS = 0.001
"""Share of the total variance from which a three-way interaction is told."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A line of the table.

    `share` is the term's sum of squares over the total one (the shares of a balanced design add up
    to 1). `partial_eta2` is biased upwards, `partial_omega2` hardly is (Olejnik, Algina 2003);
    `band` is the 95 % interval of the population's share that both estimate, from the noncentral F
    distribution (Steiger 2004). `p_holm` and `p_robust_holm` are corrected over the table (Holm
    1979), the second from the covariance HC3, which holds where spreads differ.
    """

    term: str
    df: int
    sum_sq: float
    share: float
    f: float
    p_holm: float
    p_robust_holm: float
    partial_eta2: float
    partial_omega2: float
    band: Band


@dataclass(frozen=True, slots=True)
class Analysis:
    """The table, with the residual's degrees of freedom, mean square and share of the total."""

    effects: tuple[Effect, ...]
    residual_df: int
    residual_ms: float
    residual_share: float

    def sure(self) -> frozenset[str]:
        """Terms that both kinds of inference find, at 5 % over the whole table."""
        return frozenset(
            one.term for one in self.effects if max(one.p_holm, one.p_robust_holm) < LEVEL
        )


def fit(table: Frame, order: int = 2, response: str = "log_s", extra: Sequence[str] = ()) -> Any:
    """Least squares with block effects and all interactions of up to `order` factors.

    Factors have sum-to-zero contrasts. `extra` are columns that enter as they are. Gives
    statsmodels' results.
    """
    factors = " + ".join(f"C({factor}, Sum)" for factor in varied(table))
    return formulas.ols(
        " + ".join([f"{response} ~ C(block, Sum) + ({factors})**{order}", *extra]), table
    ).fit()


def analyse(results: Any) -> Analysis:
    """The type II table of a fit, classical and robust inference side by side."""
    classical = anova_lm(results, typ=2)
    robust = anova_lm(results, typ=2, robust="hc3")
    terms = [name for name in classical.index if name != "Residual"]
    corrected, robust_corrected = (
        multipletests(one.loc[terms, "PR(>F)"].to_numpy(dtype=np.float64), method="holm")[1]
        for one in (classical, robust)
    )
    residual_df = int(classical.loc["Residual", "df"])
    residual_ss = float(classical.loc["Residual", "sum_sq"])
    total = float(results.centered_tss)
    effects = tuple(
        _effect(
            named(name),
            int(classical.loc[name, "df"]),
            float(classical.loc[name, "sum_sq"]),
            float(classical.loc[name, "F"]),
            (float(corrected[number]), float(robust_corrected[number])),
            residual_df,
            total,
        )
        for number, name in enumerate(terms)
    )
    return Analysis(effects, residual_df, residual_ss / residual_df, residual_ss / total)


def _effect(
    term: str,
    df: int,
    sum_sq: float,
    f: float,
    p: tuple[float, float],
    residual_df: int,
    total: float,
) -> Effect:
    n = df + residual_df + 1  # of the partial design that this F test is the overall test of
    return Effect(
        term=term,
        df=df,
        sum_sq=sum_sq,
        share=sum_sq / total,
        f=f,
        p_holm=p[0],
        p_robust_holm=p[1],
        partial_eta2=f * df / (f * df + residual_df),
        partial_omega2=max(0.0, df * (f - 1) / (df * (f - 1) + n)),
        band=share_band(f, df, residual_df),
    )


def share_band(f: float, df: int, residual_df: int) -> Band:
    """95 % interval of a partial share of variance, by inverting the noncentral F distribution.

    Steiger (2004), doi:10.1037/1082-989X.9.2.164: the share is L / (L + df + residual_df + 1) at
    noncentrality L.
    """
    n = df + residual_df + 1
    low, high = (_noncentrality(f, df, residual_df, p) for p in (0.975, 0.025))
    return Band(low / (low + n), high / (high + n))


def _noncentrality(f: float, df: int, residual_df: int, p: float) -> float:
    """The noncentrality at which F falls below `f` with probability `p`; 0 if none is that small."""
    if stats.f.cdf(f, df, residual_df) <= p:
        return 0.0

    def above(noncentrality: float) -> float:
        return float(stats.ncf.cdf(f, df, residual_df, noncentrality)) - p

    high = max(1.0, f * df)
    while above(high) > 0:
        high *= 2
    return float(optimize.brentq(above, 1e-9, high, xtol=1e-9, rtol=1e-10))


@dataclass(frozen=True, slots=True)
class Higher:
    """Do three-way interactions matter? One test of all of them, and those that are told."""

    df: int
    f: float
    p: float
    share: float
    told: tuple[Effect, ...]


def three_ways(table: Frame, two_way: Any) -> Higher | None:
    """All three-way interactions against none of them; None with fewer than three factors.

    Told are those that are sure at 5 % over their own table and carry 0.1 % of the variance.
    """
    if len(varied(table)) < 3:
        return None
    full = fit(table, 3)
    f, p, df = full.compare_f_test(two_way)
    found = analyse(full)
    triples = tuple(one for one in found.effects if one.term.count(TIMES) == 2)
    told = tuple(one for one in triples if one.term in found.sure() and one.share >= MATTERS)
    return Higher(int(df), float(f), float(p), sum(one.share for one in triples), told)


@dataclass(frozen=True, slots=True)
class Fit:
    """What the model leaves, split: cells it misses, and what differs between replicates.

    `spread` is the standard deviation of one observation's log time about its cell and block.
    """

    missed_df: int
    error_df: int
    f: float
    p: float
    missed_share: float
    error_share: float
    spread: float


def lack_of_fit(table: Frame, results: Any) -> Fit:
    """Does the model miss something of the cells, beyond what replicates differ by?"""
    wide = table.pivot(index="cell", columns="block", values="log_s").to_numpy(dtype=np.float64)
    alone = wide - wide.mean(1, keepdims=True) - wide.mean(0, keepdims=True) + wide.mean()
    error_ss, error_df = float((alone**2).sum()), (wide.shape[0] - 1) * (wide.shape[1] - 1)
    missed_ss, missed_df = float(results.ssr) - error_ss, int(results.df_resid) - error_df
    f = (missed_ss / missed_df) / (error_ss / error_df)
    total = float(results.centered_tss)
    return Fit(
        missed_df,
        error_df,
        f,
        float(stats.f.sf(f, missed_df, error_df)),
        missed_ss / total,
        error_ss / total,
        float(np.sqrt(error_ss / error_df)),
    )


@dataclass(frozen=True, slots=True)
class Level:
    """A level's geometric mean time, and its ratio to the first level's with a 95 % interval (HC3)."""

    level: Any
    mean_s: float
    ratio: float
    band: Band


def main_effects(table: Frame, results: Any) -> dict[str, tuple[Level, ...]]:
    """By factor, each level averaged over all others; from the fit, the design being balanced."""
    robust = results.get_robustcov_results("HC3")
    rows = np.asarray(results.model.exog)
    found = {}
    for factor in varied(table):
        levels = sorted(table[factor].unique(), key=_natural)
        means = [rows[(table[factor] == level).to_numpy()].mean(0) for level in levels]
        found[factor] = tuple(
            _level(robust, level, mean, means[0]) for level, mean in zip(levels, means, strict=True)
        )
    return found


def _level(robust: Any, level: Any, mean: Any, first: Any) -> Level:
    plain = level.item() if isinstance(level, np.generic) else level
    mean_s = float(np.exp(mean @ robust.params))
    if mean is first:
        return Level(plain, mean_s, 1.0, Band(1.0, 1.0))
    test = robust.t_test(mean - first)
    low, high = np.exp(test.conf_int()[0])
    return Level(plain, mean_s, float(np.exp(test.effect[0])), Band(float(low), float(high)))


def cell_means(table: Frame, factors: tuple[str, str]) -> list[dict[str, Any]]:
    """Geometric mean time of each pair of levels, over all others."""
    found = []
    for pair, part in table.groupby(list(factors), sort=False):
        levels = [one.item() if isinstance(one, np.generic) else one for one in pair]
        found.append({"levels": levels, "mean_s": float(np.exp(part["log_s"].mean()))})
    return sorted(found, key=lambda one: [_natural(level) for level in one["levels"]])


def named(term: str) -> str:
    """A term of the formula in words: `C(steps, Sum):C(batch, Sum)` is "steps x batch"."""
    return TIMES.join(part.removeprefix("C(").split(",")[0] for part in term.split(":"))


def _natural(level: Any) -> tuple[float, str]:
    """Numbers by value, sizes such as 96x64 by area, other words by the alphabet."""
    if isinstance(level, str):
        width, mark, height = level.partition("x")
        if mark and width.isdecimal() and height.isdecimal():
            return float(width) * float(height), level
        return 0.0, level
    return float(level), ""
