"""The convergence exit's tuner: the loss stays in its budget, and as many steps as that allows are spared."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import t as student

from pipelines.convergence import (
    THRESHOLDS,
    Audit,
    ConvergenceSettings,
    ThresholdTuner,
)

STEPS = 25
SETTINGS = ConvergenceSettings(loss_budget=0.05)


def noisy_job(rng: np.random.Generator, growth: float = 1.0, noise: float = 0.7) -> Audit:
    """A run whose changes fall geometrically and whose losses follow them, each job differently well."""
    rate = rng.uniform(0.15, 0.35)
    falling = np.exp(-rate * np.arange(1, STEPS + 1))
    changes = falling * rng.lognormal(0, 0.2, STEPS)
    changes[0] = math.inf
    losses = growth * falling / rate * rng.lognormal(-(noise**2) / 2, noise)
    losses[-1] = 0.0
    return Audit(tuple(changes), tuple(losses))


def exit_of(tuner: ThresholdTuner, job: Audit) -> tuple[float, int]:
    """Loss and steps of a job that the tuner lets exit; the whole run if it never does."""
    for steps, change in enumerate(job.changes[:-1], 1):
        if tuner.exits(steps, change):
            return job.losses[steps - 1], steps
    return 0.0, len(job.changes)


@st.composite
def audits(draw: st.DrawFn) -> list[Audit]:
    """Any audits at all: changes need not fall, and losses need not follow them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    wild = draw(st.booleans())
    some = []
    for _ in range(draw(st.integers(2, 60))):
        if wild:
            length = int(rng.integers(1, 12))
            numbers = rng.lognormal(-3, 1.5, (2, length))
            some.append(Audit((math.inf, *numbers[0, 1:]), (*numbers[1, 1:], 0.0)))
        else:
            some.append(noisy_job(rng))
    return some


def losses_at(some: list[Audit], threshold: float, steps_min: int = 2) -> NDArray[np.float64]:
    """What each job would have lost by exiting at its first change of at most the threshold."""
    losses = []
    for audit in some:
        still = [k for k, change in enumerate(audit.changes[:-1]) if change <= threshold]
        exits = [k for k in still if k >= steps_min - 1]
        losses.append(audit.losses[exits[0]] if exits else 0.0)
    return np.array(losses)


def test_nobody_exits_before_enough_audits_are_in() -> None:
    rng = np.random.default_rng(1)
    tuner = ThresholdTuner(SETTINGS)
    for _ in range(SETTINGS.audits_min - 1):
        tuner.add(noisy_job(rng))
        assert tuner.threshold == 0.0
        assert not tuner.exits(20, 0.0)
    tuner.add(noisy_job(rng))
    assert tuner.threshold > 0


@given(some=audits(), budget=st.floats(1e-3, 0.5))
@settings(max_examples=60, deadline=None)
def test_the_upper_bound_of_the_mean_loss_is_within_the_budget(
    some: list[Audit], budget: float
) -> None:
    tuner = ThresholdTuner(ConvergenceSettings(budget, audits_min=2), some)
    losses = losses_at(some, tuner.threshold)
    margin = student.ppf(0.95, len(losses) - 1) * losses.std(ddof=1) / math.sqrt(len(losses))
    assert losses.mean() + margin <= budget * (1 + 1e-9)


@given(some=audits(), budget=st.floats(1e-3, 0.5), factor=st.floats(1.0, 10.0))
@settings(max_examples=60, deadline=None)
def test_a_larger_budget_never_gives_a_smaller_threshold(
    some: list[Audit], budget: float, factor: float
) -> None:
    strict = ThresholdTuner(ConvergenceSettings(budget, audits_min=2), some)
    loose = ThresholdTuner(ConvergenceSettings(budget * factor, audits_min=2), some)
    assert loose.threshold >= strict.threshold


def test_the_threshold_is_the_largest_within_the_budget() -> None:
    rng = np.random.default_rng(2)
    some = [noisy_job(rng) for _ in range(200)]
    tuner = ThresholdTuner(SETTINGS, some)
    following = THRESHOLDS[int(np.searchsorted(THRESHOLDS, tuner.threshold)) + 1]
    # Not one step up the grid is left unused: the bound would break the budget, or the newest would.
    allowed = SETTINGS.loss_budget
    exiting = losses_at(some, following)
    exiting = exiting[exiting > 0]
    margin = student.ppf(0.95, len(exiting) - 1) * exiting.std(ddof=1) / math.sqrt(len(exiting))
    newest = losses_at(some[-50:], following)
    assert exiting.mean() + margin > allowed or newest[newest > 0].mean() > allowed


def test_jobs_that_never_exit_do_not_pay_for_those_that_do() -> None:
    """One job in ten loses ten times the budget at once; averaged over all it would be just within."""
    bad = Audit((math.inf, 0.01, 0.01, 0.01), (1.0, 0.4, 0.4, 0.0))
    good = Audit((math.inf, 1.9, 1.9, 1.9), (1.0, 0.4, 0.4, 0.0))
    some = [bad if index % 10 == 0 else good for index in range(200)]
    tuner = ThresholdTuner(replace(SETTINGS, loss_budget=0.06), some)
    assert losses_at(some, 0.02).mean() < 0.06
    assert not tuner.exits(2, 0.01)


def test_the_threshold_falls_when_the_losses_grow_and_rises_when_they_shrink() -> None:
    rng = np.random.default_rng(3)
    tuner = ThresholdTuner(SETTINGS)

    def settled(growth: float) -> float:
        for _ in range(SETTINGS.window):
            tuner.add(noisy_job(rng, growth))
        return tuner.threshold

    before, worse, after = settled(1.0), settled(4.0), settled(1.0)
    assert worse < before / 2
    assert after == pytest.approx(before, rel=0.25)


def test_a_drift_shows_before_the_window_has_passed() -> None:
    rng = np.random.default_rng(4)
    some = [noisy_job(rng) for _ in range(200)]
    tuner = ThresholdTuner(SETTINGS, some)
    before = tuner.threshold
    for _ in range(50):
        tuner.add(noisy_job(rng, growth=4.0))
    assert tuner.threshold < before / 2


@pytest.mark.parametrize("seed", range(4))
def test_the_realised_loss_of_exited_jobs_stays_under_the_budget(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tuner = ThresholdTuner(replace(SETTINGS, audited_share=0.1, seed=seed))
    losses, steps = [], []
    for number in range(4000):
        job = noisy_job(rng)
        if tuner.is_audited(f"job {number}"):
            tuner.add(job)
        elif number >= 500:
            loss, run = exit_of(tuner, job)
            losses += [loss] if run < STEPS else []
            steps.append(run)
    assert np.mean(losses) <= SETTINGS.loss_budget
    assert np.mean(losses) >= SETTINGS.loss_budget / 2  # the budget is used, not hoarded
    assert np.mean(steps) <= STEPS - 4


def test_the_budget_holds_again_once_a_drift_has_passed_through_the_window() -> None:
    rng = np.random.default_rng(5)
    tuner = ThresholdTuner(replace(SETTINGS, audited_share=0.2, window=100))
    losses = []
    for number in range(3000):
        job = noisy_job(rng, growth=1.0 if number < 1000 else 3.0)
        if tuner.is_audited(f"job {number}"):
            tuner.add(job)
        elif number >= 1500:
            loss, run = exit_of(tuner, job)
            losses += [loss] if run < STEPS else []
    assert len(losses) > 500
    assert np.mean(losses) <= SETTINGS.loss_budget


@pytest.mark.parametrize("share", [0.02, 0.05, 0.3])
def test_the_audited_share_is_near_its_target_and_always_the_same(share: float) -> None:
    tuners = [
        ThresholdTuner(replace(SETTINGS, audited_share=share, seed=seed)) for seed in (1, 1, 2)
    ]
    numbers = range(20_000)
    chosen = [[n for n in numbers if tuner.is_audited(f"job-{n}")] for tuner in tuners]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]
    deviation = math.sqrt(share * (1 - share) / 20_000)
    assert abs(len(chosen[0]) / 20_000 - share) < 4 * deviation


def test_everybody_can_be_audited_to_gather_audits_beforehand() -> None:
    tuner = ThresholdTuner(replace(SETTINGS, audited_share=1.0))
    assert all(tuner.is_audited(str(number)) for number in range(1000))


def test_audits_go_over_to_a_new_tuner() -> None:
    rng = np.random.default_rng(6)
    old = ThresholdTuner(SETTINGS, [noisy_job(rng) for _ in range(60)])
    assert ThresholdTuner(SETTINGS, old.audits).threshold == old.threshold


def test_only_the_window_is_kept() -> None:
    rng = np.random.default_rng(7)
    tuner = ThresholdTuner(replace(SETTINGS, audits_min=5, window=10))
    some = [noisy_job(rng) for _ in range(40)]
    for audit in some:
        tuner.add(audit)
    assert tuner.audits == tuple(some[-10:])
    assert tuner.report().audits == 10
    assert tuner.threshold == ThresholdTuner(tuner.settings, some[-10:]).threshold


def test_no_exit_comes_before_steps_min_or_from_a_first_or_broken_change() -> None:
    rng = np.random.default_rng(8)
    tuner = ThresholdTuner(replace(SETTINGS, steps_min=6), [noisy_job(rng) for _ in range(50)])
    assert tuner.exits(6, tuner.threshold)
    assert not tuner.exits(6, tuner.threshold * 1.001)
    assert not tuner.exits(5, 0.0)
    assert not tuner.exits(6, math.inf)
    assert not tuner.exits(6, math.nan)


def test_the_report_tells_what_the_threshold_would_have_cost_and_spared() -> None:
    steady = Audit((math.inf, 0.5, 0.02, 0.01, 0.01), (1.0, 0.3, 0.04, 0.02, 0.0))
    restless = Audit((math.inf, 0.5, 1.9, 1.9, 1.9), (1.0, 0.3, 0.3, 0.3, 0.0))
    tuner = ThresholdTuner(SETTINGS, [steady, steady, steady, restless] * 20)
    report = tuner.report()
    assert (report.audits, report.threshold) == (80, tuner.threshold)
    assert 0.02 <= tuner.threshold < 0.5
    assert report.mean_loss == pytest.approx(0.75 * 0.04)
    assert report.mean_loss_low < report.mean_loss < report.mean_loss_high <= report.loss_budget
    assert (report.exit_share, report.steps_full) == (0.75, 5.0)
    assert report.steps_saved == pytest.approx(0.75 * 2)


def test_an_empty_report_claims_nothing() -> None:
    report = ThresholdTuner(SETTINGS).report()
    assert (report.audits, report.threshold) == (0, 0.0)
    assert math.isnan(report.mean_loss)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"loss_budget": 0.0}, "loss_budget must be above 0"),
        ({"loss_budget": math.nan}, "loss_budget must be above 0"),
        ({"loss_budget": math.inf}, "loss_budget must be above 0"),
        ({"audited_share": 0.0}, "audited_share must be above 0"),
        ({"audited_share": 1.5}, "audited_share must be above 0 and at most 1"),
        ({"audits_min": 1}, "audits_min must be at least 2"),
        ({"window": 19}, "window must be at least audits_min, got 19 and 20"),
        ({"steps_min": 1}, "steps_min must be at least 2"),
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        replace(SETTINGS, **change)


@pytest.mark.parametrize(
    ("changes", "losses"),
    [
        ((), ()),
        ((math.inf,), (0.1, 0.0)),
        ((math.inf, math.nan), (0.1, 0.0)),
        ((math.inf, -0.1), (0.1, 0.0)),
        ((math.inf, 0.1), (math.nan, 0.0)),
        ((math.inf, 0.1), (math.inf, 0.0)),
    ],
)
def test_audits_that_cannot_be_are_refused(
    changes: tuple[float, ...], losses: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match=r"must be|needs one"):
        Audit(changes, losses)
