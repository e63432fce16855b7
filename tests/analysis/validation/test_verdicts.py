"""When a prediction has kept its promise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analysis.comparison.budget import Budget
from analysis.comparison.comparing import Comparison
from analysis.comparison.ensembles import Modelled
from analysis.intervals import Band
from analysis.prediction import Figures
from analysis.validation.verdicts import (
    A_PRIORI,
    LIMITS,
    TRACE_DRIVEN,
    Verdict,
    counted,
    verdicts_of,
)

MEASURED = Figures(300, 1.0, 0.9, 2.0, 3.0, 20.0, 0.5, 0)
NAMES = ("mean_s", "p95_s", "p99_s", "degraded_share")
NARROW = 0.001
ELSEWHERE = {name: Band(8.0, 9.0) for name in NAMES}


def bands(reach: float) -> dict[str, Band]:
    """Around each measured figure, its own size times `reach` to either side."""
    found = {}
    for name in NAMES:
        value = getattr(MEASURED, name)
        found[name] = Band(value * (1 - reach), value * (1 + reach))
    return found


def comparison(
    trace: Figures = MEASURED,
    prior: Figures = MEASURED,
    *,
    measured_reach: float = NARROW,
    prior_bands: dict[str, Band] | None = None,
) -> Comparison:
    return Comparison(
        name="static-0.6",
        rate_per_s=4.0,
        duration_s=80.0,
        seed=1,
        measured=MEASURED,
        measured_bands=bands(measured_reach),
        queueing=None,
        queueing_method="",
        a_priori=Modelled(prior, prior_bands or ELSEWHERE, ""),
        a_priori_arrivals_only={},
        trace_driven=Modelled(trace, bands(0.5), ""),
        budget=Budget((), ()),
        notes=(),
    )


def verdict(found: Comparison, method: str, figure: str) -> Verdict:
    (one,) = [v for v in verdicts_of(found) if (v.method, v.figure) == (method, figure)]
    return one


def off_by(figure: str, by: float, relative: bool) -> Figures:
    value = getattr(MEASURED, figure)
    changed: dict[str, Any] = {figure: value * (1 + by) if relative else value + by}
    return replace(MEASURED, **changed)


ALL = [(method, *limit) for method, limits in LIMITS.items() for limit in limits]


def test_the_limits_are_those_that_were_promised() -> None:
    assert {(method, figure): limit for method, figure, limit, _ in ALL} == {
        (TRACE_DRIVEN, "mean_s"): 0.03,
        (TRACE_DRIVEN, "p95_s"): 0.05,
        (TRACE_DRIVEN, "p99_s"): 0.10,
        (TRACE_DRIVEN, "degraded_share"): 0.02,
        (A_PRIORI, "mean_s"): 0.05,
        (A_PRIORI, "p95_s"): 0.10,
    }


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("method", "figure", "limit", "relative"), ALL)
def test_every_limit_can_be_met_and_missed(
    method: str, figure: str, limit: float, relative: bool, sign: int
) -> None:
    for times, met in ((0.99, True), (1.01, False)):
        off = off_by(figure, sign * times * limit, relative)
        found = comparison(trace=off) if method == TRACE_DRIVEN else comparison(prior=off)
        one = verdict(found, method, figure)
        assert one.within == one.passed == met
        assert one.off == pytest.approx(sign * times * limit)
        assert one.beyond == pytest.approx(0.0 if met else 0.01 * limit)
        others = [v for v in verdicts_of(found) if (v.method, v.figure) != (method, figure)]
        assert all(other.within for other in others)


def test_a_measured_figure_in_the_band_passes_a_priori_and_not_trace_driven() -> None:
    off = off_by("mean_s", 0.2, True)
    wide = comparison(trace=off, prior=off, prior_bands=bands(0.3))
    prior, trace = (verdict(wide, method, "mean_s") for method in (A_PRIORI, TRACE_DRIVEN))
    assert (prior.within, prior.inside, prior.passed) == (False, True, True)
    assert (trace.within, trace.inside, trace.passed) == (False, True, False)
    missed = verdict(comparison(prior=off), A_PRIORI, "mean_s")
    assert (missed.inside, missed.passed) == (False, False)


def test_a_figure_within_its_limit_passes_outside_the_band() -> None:
    one = verdict(comparison(), A_PRIORI, "p95_s")
    assert (one.within, one.inside, one.passed) == (True, False, True)


@pytest.mark.parametrize(("reach", "short"), [(0.029, False), (0.031, True)])
def test_a_run_is_too_short_where_its_interval_is_wider_than_the_limit(
    reach: float, short: bool
) -> None:
    found = comparison(measured_reach=reach)
    assert verdict(found, TRACE_DRIVEN, "mean_s").too_short == short
    assert not verdict(found, A_PRIORI, "mean_s").too_short


def test_the_interval_of_a_share_is_counted_in_points() -> None:
    # A share of 0.5, 3 % of it to either side: 1.5 points.
    one = verdict(comparison(measured_reach=0.03), TRACE_DRIVEN, "degraded_share")
    assert one.half_width == pytest.approx(0.015)
    assert not one.too_short


def test_counts_keep_both_plain_facts_apart() -> None:
    off = off_by("mean_s", 0.2, True)
    runs = [
        comparison(),
        comparison(prior=off, prior_bands=bands(0.3)),
        comparison(prior=off, measured_reach=0.08),
    ]
    verdicts = [v.as_plain() for run in runs for v in verdicts_of(run)]
    found = counted(verdicts)[A_PRIORI]["mean_s"]
    assert found == {"verdicts": 3, "within": 1, "inside": 1, "passed": 2, "too_short": 1}
