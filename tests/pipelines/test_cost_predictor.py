"""The learnt predictor: it finds known laws, says how far off it is, and its interval holds."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from pipelines.cost_predictor import (
    COVERED,
    TERMS,
    HeldOut,
    Predictor,
    Roofline,
    fit_roofline,
    learn,
    terms_s,
)
from pipelines.cost_samples import DeviceSpeed, Setting, Work
from tests.pipelines.synthetic_study import SPEEDS, WEIGHTS, random_work, roofline_s, study

ONE_THREAD = SPEEDS[Setting(1, "float32")]


def small_calls_are_slow(work: Work, speed: DeviceSpeed) -> float:
    """A device that reaches its rates only with large calls: no weighted sum says that."""
    filled = work.conv_flops / speed.conv_flops_per_s / (work.calls * speed.call_s)
    return roofline_s(work, speed) * (1 + 4 / (1 + 3 * filled))


@pytest.fixture(scope="module")
def plain() -> Predictor:
    return learn(study())


@pytest.fixture(scope="module")
def bent() -> Predictor:
    return learn(study(small_calls_are_slow))


def test_the_weights_of_a_roofline_are_found() -> None:
    exact = study(noise=0.0)
    terms = np.array([terms_s(s.work, exact.speeds[s.setting]) for s in exact.samples])
    seconds = np.array([s.step_s.median_s for s in exact.samples])
    assert fit_roofline(terms, seconds).weights == pytest.approx(WEIGHTS, rel=0.02)
    assert len(TERMS) == len(WEIGHTS) == terms.shape[1]


def test_no_kind_of_work_ever_saves_time() -> None:
    draw = random.Random(5)
    terms = np.array([[draw.uniform(1, 9) for _ in TERMS] for _ in range(30)])
    seconds = np.array([draw.uniform(1, 9) for _ in range(30)])
    assert (fit_roofline(terms, seconds).weights >= 0).all()


def test_a_few_spoiled_measurements_change_little() -> None:
    spoiled = study(noise=0.01)
    samples = [
        replace(s, step_s=type(s.step_s).exactly(5 * s.step_s.median_s)) if i % 40 == 0 else s
        for i, s in enumerate(spoiled.samples)
    ]
    terms = np.array([terms_s(s.work, spoiled.speeds[s.setting]) for s in samples])
    seconds = np.array([s.step_s.median_s for s in samples])
    truth = np.array([roofline_s(s.work, spoiled.speeds[s.setting]) for s in samples])
    errors = fit_roofline(terms, seconds).log_s(terms) - np.log(truth)
    assert np.abs(errors).mean() < 0.03


def test_the_simple_form_is_kept_where_it_is_the_truth(plain: Predictor) -> None:
    assert plain.form == "roofline"
    for held_out in plain.held_out["roofline"].values():
        assert held_out.mean_error < 0.05


def test_the_correction_is_kept_where_it_helps(bent: Predictor) -> None:
    assert bent.form == "corrected"
    ours, simple = (bent.held_out[form]["architecture"] for form in ("corrected", "roofline"))
    assert ours.mean_error < 0.7 * simple.mean_error


def test_errors_are_of_what_was_not_seen() -> None:
    """Architectures that no count tells apart differ: the error is that difference, not zero."""
    whole = study(noise=0.0)
    factor = {f"a{n}": (0.7, 1.4)[n % 2] for n in range(8)}
    samples = [
        replace(s, step_s=type(s.step_s).exactly(factor[s.architecture] * s.step_s.median_s))
        for s in whole.samples
    ]
    held_out = learn(replace(whole, samples=samples)).held_out["roofline"]["architecture"]
    assert held_out.mean_error > 0.2


@pytest.mark.parametrize("which", ["plain", "bent"])
def test_the_interval_holds_steps_of_new_architectures(
    which: str, request: pytest.FixtureRequest
) -> None:
    predictor: Predictor = request.getfixturevalue(which)
    law = roofline_s if which == "plain" else small_calls_are_slow
    draw = random.Random(99)
    held = []
    for _ in range(60):
        counted = random_work(draw)
        for rows in (1, 2, 8):
            work = counted.at(rows)
            true_s = law(work, ONE_THREAD) * draw.lognormvariate(0, 0.03)
            found = predictor.estimate(work, ONE_THREAD, rows=rows, latents=64, known_setting=True)
            assert found.low_s < found.seconds < found.high_s
            held.append(found.low_s <= true_s <= found.high_s)
    assert sum(held) / len(held) >= COVERED - 0.12


def test_the_interval_is_the_widest_that_applies(plain: Predictor) -> None:
    work = random_work(random.Random(1)).at(4)

    def width(rows: int = 4, latents: int = 64, known_setting: bool = True) -> float:
        found = plain.estimate(
            work, ONE_THREAD, rows=rows, latents=latents, known_setting=known_setting
        )
        return math.log(found.high_s / found.low_s) / 2

    margins = {split: one.margin for split, one in plain.held_out[plain.form].items()}
    of_any = margins["architecture"]
    assert width() == pytest.approx(of_any)
    assert width(rows=64) == pytest.approx(max(of_any, margins["batch or size"]))
    assert width(latents=4096) == pytest.approx(max(of_any, margins["batch or size"]))
    assert width(known_setting=False) == pytest.approx(max(of_any, margins["setting"]))


def test_the_conformal_margin_is_an_order_statistic() -> None:
    errors = np.array([0.01 * k * (-1) ** k for k in range(1, 20)])
    held_out = HeldOut(errors, tuple(range(19)))
    assert held_out.margin == pytest.approx(0.18)  # the 18th of 19: ceil(20 * 0.9)
    assert HeldOut(errors[:5], tuple(range(5))).margin == pytest.approx(0.05)  # the largest


def test_coverage_is_told_by_margins_of_the_other_groups() -> None:
    errors = np.array([0.01] * 50 + [1.0] * 50)
    apart = HeldOut(errors, ("quiet",) * 50 + ("loud",) * 50)
    assert apart.coverage == 0.5  # the quiet group's margin holds nothing of the loud one


def test_the_report_is_plain_data_on_both_forms(plain: Predictor) -> None:
    report = plain.report()
    assert report["kept"] == "roofline"
    for by_split in report["forms"].values():
        assert set(by_split) == {"architecture", "batch or size", "setting"}
        for figures in by_split.values():
            assert 0 <= figures["median_error"] <= figures["p90_error"]
            assert figures["interval_factor"] > 1


@pytest.mark.parametrize("field", ["architecture", "rows", "setting"])
def test_a_study_with_nothing_to_leave_out_is_refused(field: str) -> None:
    whole = study(architectures=2)
    first = getattr(whole.samples[0], field)
    only = [s for s in whole.samples if getattr(s, field) == first]
    with pytest.raises(ValueError, match=r"only one .*; measure at least two"):
        learn(replace(whole, samples=only))


def test_twice_the_device_is_half_the_time() -> None:
    work = random_work(random.Random(2)).at(3)
    fast = DeviceSpeed(
        2 * ONE_THREAD.matmul_flops_per_s,
        2 * ONE_THREAD.conv_flops_per_s,
        2 * ONE_THREAD.bytes_per_s,
        ONE_THREAD.call_s / 2,
    )
    model = Roofline(np.array(WEIGHTS))
    slow_s, fast_s = (
        math.exp(model.log_s(terms_s(work, speed)[None, :])[0]) for speed in (ONE_THREAD, fast)
    )
    assert slow_s == pytest.approx(roofline_s(work, ONE_THREAD))
    assert fast_s == pytest.approx(slow_s / 2)
