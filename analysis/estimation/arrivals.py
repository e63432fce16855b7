"""Were these arrivals a Poisson process? Tests against each way of not being one, and their power.

A process can miss Poisson in its gaps (their law, their spread, their correlation), in its counts
(too even or too clustered, in short or long windows), or in its rate, which may drift. Each of these
is tested; Holm's correction (1979) keeps the chance of calling a Poisson process something else below 5 %
over all tests together. A test that finds nothing says little if it could not have found
anything: so the same tests are put to processes that are known not to be Poisson, at the same
number of arrivals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from statsmodels.stats.diagnostic import acorr_ljungbox, lilliefors

from analysis.intervals import HELD_MAX, Band, block_bootstrap, count_rate, wilson
from loadgen.arrivals import Burst, bursty, poisson, window_counts

Array = NDArray[np.float64]

ARRIVALS_MIN = 20
"""Fewer arrivals tell nothing of their process but the rate."""
LEVEL = 0.05
PER_WINDOW = (5, 20, 80)
"""Mean arrivals in a window, for the dispersion of counts: 5 are needed for the chi-square law."""
WINDOWS_MIN = 5
PER_BLOCK = 40
"""Arrivals in which the rate may be taken as constant, for the test that allows a drifting rate."""
LAGS = 10
SIMULATED_GAPS_MAX = 4000
CV_DRAWS = 4000
POWER_DRAWS = 100
POWER_ARRIVALS_MAX = 2000
"""Power is found at no more arrivals than this; with more it is higher."""
CV_SEED = 7
RESOLUTION = 1e-12
"""Of a run's length: the shortest time that can be left of it."""


@dataclass(frozen=True, slots=True)
class Test:
    """One test of `about`. `p`: the chance of a statistic as extreme under Poisson; `rejected` after
    Holm's correction over all tests of its family."""

    __test__ = False  # pytest shall not take it for one of its own

    name: str
    about: str
    statistic: float
    p: float
    rejected: bool


@dataclass(frozen=True, slots=True)
class Dispersion:
    """Variance over mean of the counts in windows of `window_s`: 1 for Poisson in any window."""

    window_s: float
    windows: int
    index: float
    band: Band


@dataclass(frozen=True, slots=True)
class Power:
    """The share of processes of another kind that the same tests told from Poisson."""

    alternative: str
    share: float
    band: Band


@dataclass(frozen=True, slots=True)
class ArrivalTests:
    """Everything that the arrivals tell.

    `tests` are against Poisson with a constant rate, `local_tests` against one whose rate changes
    slowly. `poisson`: nothing speaks against the first; `drifting`: only the second is left.
    """

    n: int
    duration_s: float
    rate_per_s: float
    rate_band: Band
    cv: float
    cv_band: Band
    dispersions: tuple[Dispersion, ...]
    tests: tuple[Test, ...]
    local_tests: tuple[Test, ...]
    poisson: bool
    drifting: bool
    power: tuple[Power, ...]
    verdict: str


def study_arrivals(
    times_s: Array, duration_s: float, *, power_draws: int = POWER_DRAWS, seed: int = 1
) -> ArrivalTests:
    """All tests of arrivals at `times_s` (sorted) in [0, duration_s].

    ValueError for fewer than 20 arrivals, or for some outside of that time.
    """
    n = times_s.size
    if n < ARRIVALS_MIN:
        raise ValueError(f"{n} arrivals are too few to tell their process: at least {ARRIVALS_MIN}")
    if times_s[0] < 0 or times_s[-1] > duration_s or np.any(np.diff(times_s) < 0):
        raise ValueError("the arrivals must be sorted and lie within the time of the run")
    gaps_s = np.diff(times_s)
    tests, local_tests = constant_rate_tests(times_s, duration_s), drift_tests(times_s, duration_s)
    poisson_so_far = not any(test.rejected for test in tests)
    drifting = _drifts(tests, local_tests)
    power = power_at(n, power_draws, seed) if power_draws else ()
    return ArrivalTests(
        n=n,
        duration_s=duration_s,
        rate_per_s=n / duration_s,
        rate_band=count_rate(n, duration_s),
        cv=cv(gaps_s),
        cv_band=block_bootstrap(gaps_s, _cvs, seed, draws=1000),
        dispersions=tuple(dispersions(times_s, duration_s)),
        tests=tests,
        local_tests=local_tests,
        poisson=poisson_so_far,
        drifting=drifting,
        power=power,
        verdict=_verdict(n, tests, local_tests, power),
    )


# -- tests ----------------------------------------------------------------------------------------


def constant_rate_tests(times_s: Array, duration_s: float) -> tuple[Test, ...]:
    """Against a Poisson process with a constant rate."""
    gaps_s = np.diff(times_s)
    found = _gap_tests(gaps_s)
    distance, p = lilliefors(gaps_s, dist="exp")
    found.append(("law", "law of the gaps against the exponential", float(distance), float(p)))
    for one in dispersions(times_s, duration_s):
        about = f"dispersion of counts in {one.windows} windows of {one.window_s:.3g} s"
        found.append(("dispersion", about, one.index, _dispersion_p(one.index, one.windows)))
    even = stats.kstest(times_s / duration_s, "uniform")
    found.append(("rate", "constancy of the rate", float(even.statistic), float(even.pvalue)))
    return _corrected(found)


def drift_tests(times_s: Array, duration_s: float) -> tuple[Test, ...]:
    """Against a Poisson process whose rate changes slowly (Brown et al. 2005, section 3.1)."""
    values = locally_exponential(times_s, duration_s)
    found = _gap_tests(values)
    law = stats.kstest(values, "expon")
    found.append(
        ("law", "law of the gaps against the exponential", float(law.statistic), float(law.pvalue))
    )
    return _corrected(found)


def locally_exponential(times_s: Array, duration_s: float) -> Array:
    """Values that are independent and exponential with mean 1 if the arrivals are Poisson with a rate
    that is constant within blocks of about 40 arrivals (Brown et al. 2005, section 3.1)."""
    blocks = max(1, round(times_s.size / PER_BLOCK))
    edges_s = np.linspace(0.0, duration_s, blocks + 1)
    at_edges = np.searchsorted(times_s, edges_s)
    at_edges[-1] = times_s.size
    parts = []
    for block, (start_s, end_s) in enumerate(pairwise(edges_s)):
        inside = times_s[at_edges[block] : at_edges[block + 1]]
        left_s = end_s - np.concatenate(([start_s], inside))
        left_s = np.maximum(left_s, RESOLUTION * duration_s)  # one may come at the very end
        parts.append(np.arange(inside.size, 0, -1) * -np.log(left_s[1:] / left_s[:-1]))
    return np.concatenate(parts)


def dispersions(times_s: Array, duration_s: float) -> list[Dispersion]:
    """Index of dispersion of counts (Cox, Lewis 1966) in windows of several lengths, with the 95 %
    interval of a variance of normal counts."""
    found = []
    for per_window in PER_WINDOW:
        windows = times_s.size // per_window
        if windows < WINDOWS_MIN:
            continue
        counts = window_counts(times_s, duration_s, windows)
        index = float(counts.var(ddof=1) / counts.mean())
        low, high = (float(special.chdtri(windows - 1, above)) for above in (0.975, 0.025))
        band = Band(index * (windows - 1) / high, index * (windows - 1) / low)
        found.append(Dispersion(duration_s / windows, windows, index, band))
    return found


def cv(gaps_s: Array) -> float:
    """Coefficient of variation."""
    return float(_cvs(gaps_s[None, :])[0])


def _cvs(rows: Array) -> Array:
    return np.asarray(rows.std(axis=1, ddof=1) / rows.mean(axis=1))


_Found = tuple[str, str, float, float]


def _gap_tests(gaps_s: Array) -> list[_Found]:
    lags = max(1, min(LAGS, gaps_s.size // 5))
    box = acorr_ljungbox(gaps_s, lags=[lags])
    statistic, p = float(box["lb_stat"].iloc[0]), float(box["lb_pvalue"].iloc[0])
    spread = cv(gaps_s)
    return [
        ("cv", "spread of the gaps: their CV", spread, _cv_p(gaps_s.size, spread)),
        ("correlation", f"correlation of gaps up to {lags} apart", statistic, p),
    ]


def _corrected(found: Sequence[_Found]) -> tuple[Test, ...]:
    ps = np.array([p for *_, p in found], dtype=np.float64)
    rejected = holm(ps)
    return tuple(
        Test(name, about, statistic, p, bool(out))
        for (name, about, statistic, p), out in zip(found, rejected, strict=True)
    )


def holm(ps: Array) -> NDArray[np.bool_]:
    """Which of several hypotheses fall at the 5 % level together (Holm 1979). statsmodels has it,
    but collects garbage at every call, a hundred times as long as all the tests take."""
    order = np.argsort(ps)
    stands = ps[order] > LEVEL / np.arange(ps.size, 0, -1)
    rejected = np.zeros(ps.size, dtype=np.bool_)
    rejected[order] = np.cumsum(stands) == 0
    return rejected


@lru_cache(maxsize=64)
def _poisson_cvs(gaps: int) -> Array:
    rng = np.random.default_rng([CV_SEED, gaps])
    parts = np.array_split(np.arange(CV_DRAWS), math.ceil(CV_DRAWS * gaps / HELD_MAX))
    return np.concatenate([_cvs(rng.exponential(size=(part.size, gaps))) for part in parts])


def _cv_p(gaps: int, found: float) -> float:
    """Two-sided. Simulated, for the CV is biased and skewed in short runs; beyond, normal with
    standard deviation 1 / sqrt(gaps), the delta method's value for the exponential."""
    if gaps > SIMULATED_GAPS_MAX:
        return float(2 * stats.norm.sf(abs(found - 1) * math.sqrt(gaps)))
    cvs = _poisson_cvs(int(float(f"{gaps:.2g}")))  # near enough: what matters is its root
    beyond = min(int((cvs <= found).sum()), int((cvs >= found).sum()))
    return min(1.0, 2 * (beyond + 1) / (cvs.size + 1))


def _dispersion_p(index: float, windows: int) -> float:
    freedom = windows - 1
    scaled = index * freedom
    tails = special.chdtr(freedom, scaled), special.chdtrc(freedom, scaled)
    return float(min(1.0, 2 * min(tails)))


# -- power ----------------------------------------------------------------------------------------


def _gamma_gaps(spread: float) -> Callable[[int, int], Array]:
    def draw(n: int, seed: int) -> Array:
        shape = spread**-2
        return np.cumsum(np.random.default_rng(seed).gamma(shape, 1 / shape, n))

    return draw


def _in_pairs(n: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    first = np.cumsum(rng.exponential(1.1, math.ceil(n / 1.1)))
    return np.sort(np.concatenate((first, first[rng.random(first.size) < 0.1])))


def _drift(n: int, seed: int) -> Array:
    shares = poisson(1.0, float(n), seed) / n
    # The inverse of the cumulative rate 0.6 x + 0.4 x^2.
    return np.asarray(n * (np.sqrt(0.36 + 1.6 * shares) - 0.6) / 0.8)


def _in_bursts(n: int, seed: int) -> Array:
    return bursty(1.0, float(n), seed, Burst(factor=2.0, share=0.25, mean_s=20.0))


ALTERNATIVES: Mapping[str, Callable[[int, int], Array]] = {
    "gaps with a CV of 0.8": _gamma_gaps(0.8),
    "gaps with a CV of 1.2": _gamma_gaps(1.2),
    "gaps with a CV of 1.5": _gamma_gaps(1.5),
    "one arrival in ten in a pair": _in_pairs,
    "a rate that rises from 0.6 to 1.4 of its mean": _drift,
    "bursts of 40 arrivals at twice the rate, a quarter of the time": _in_bursts,
}
"""Processes that are not Poisson, of about n arrivals at rate 1, from a seed."""

TOLD = ("gaps with a CV of 1.2", "a rate that rises from 0.6 to 1.4 of its mean")
"""The alternatives whose power the verdict names."""


def power_at(n: int, draws: int = POWER_DRAWS, seed: int = 1) -> tuple[Power, ...]:
    """How often the tests tell each alternative from Poisson with about n arrivals."""
    size, found = min(n, POWER_ARRIVALS_MAX), []
    for name, draw in ALTERNATIVES.items():
        told = 0
        for number in range(draws):
            times_s = draw(size, seed + number)
            tests = constant_rate_tests(times_s, max(float(size), float(times_s[-1])))
            told += any(test.rejected for test in tests)
        found.append(Power(name, told / draws, wilson(told, draws)))
    return tuple(found)


# -- verdict --------------------------------------------------------------------------------------


def _drifts(tests: Sequence[Test], local_tests: Sequence[Test]) -> bool:
    moved = any(test.rejected for test in tests if test.name in ("rate", "dispersion"))
    return moved and not any(test.rejected for test in local_tests)


def _verdict(
    n: int, tests: Sequence[Test], local_tests: Sequence[Test], power: Sequence[Power]
) -> str:
    against = ", ".join(f"{test.about} (p {_p(test.p)})" for test in tests if test.rejected)
    if not against:
        seen = ", ".join(
            f"{one.alternative} in {one.share:.0%} of cases"
            for one in power
            if one.alternative in TOLD
        )
        told = f" With {n} arrivals the same tests tell from it {seen}." if seen else ""
        return f"Nothing speaks against a Poisson process with a constant rate.{told}"
    if _drifts(tests, local_tests):
        return (
            "The arrivals are Poisson from moment to moment, but their rate is not constant;"
            f" against that speak: {against}."
        )
    return f"The arrivals are not a Poisson process; against it speak: {against}."


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else "< 0.001"
