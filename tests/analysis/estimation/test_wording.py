"""Sentences say what the figures mean."""

from __future__ import annotations

from typing import Any

from analysis.estimation.wording import (
    curve_sentence,
    estimated,
    length_sentence,
    milliseconds,
    number,
    share_of,
    steady_finding,
    warm_up_finding,
)


def value(one: float, low: float, high: float) -> dict[str, Any]:
    return {"value": one, "band": {"low": low, "high": high}}


CURVE: dict[str, Any] = {
    "name": "step of full, 64x64 guided",
    "points": [{"batch": 1}, {"batch": 4}],
    "fixed_s": value(0.009, 0.008, 0.010),
    "per_job_s": value(0.005, 0.004, 0.006),
    "misfit_p": 0.4,
    "power": {"exponent": value(0.9, 0.7, 1.1)},
    "speed_up": value(1.9, 1.8, 2.0),
    "limit_per_s": value(200.0, 180.0, 220.0),
    "near_full_batch": value(16.0, 13.0, 20.0),
}


def test_numbers_have_three_digits_and_no_exponents() -> None:
    assert [number(one) for one in (0.012345, 12.345, 1234.5, 1e6)] == [
        "0.0123",
        "12.3",
        "1,234",
        "1,000,000",
    ]
    assert estimated(value(0.5, 0.4, 0.6)) == "0.5 (0.4 to 0.6)"
    assert milliseconds(value(0.5, 0.4, 1.6)) == "500 (400 to 1,600)"
    assert share_of(0.5, {"low": 0.4, "high": 0.62}) == "50% (40% to 62%)"


def test_a_curve_says_its_limit_and_its_bend() -> None:
    said = curve_sentence(CURVE)
    assert "9 (8 to 10) ms and 5 (4 to 6) ms a job" in said
    assert "4 together are 1.9 (1.8 to 2) times as fast" in said
    assert "no sign against a line" in said
    assert "perhaps a line" in said
    bent = CURVE | {"misfit_p": 0.001, "power": {"exponent": value(0.6, 0.5, 0.7)}}
    assert "not on a line" in curve_sentence(bent)
    assert "concave" in curve_sentence(bent)
    assert "convex" in curve_sentence(CURVE | {"power": {"exponent": value(1.6, 1.5, 1.7)}})
    endless = CURVE | {"limit_per_s": None, "near_full_batch": None}
    assert "The line ends" not in curve_sentence(endless)


def test_a_warm_up_is_told_with_what_it_changes() -> None:
    topic = {"n": 500, "cut": 50, "settled": True, "mean_of_all": 1.2, "mean_of_rest": 1.3}
    assert "50 of 500 requests, 12 s" in warm_up_finding({**topic, "until_s": 12.0})
    assert "no warm-up" in warm_up_finding({**topic, "cut": 0, "until_s": 0.0})
    assert "never settled" in warm_up_finding({**topic, "settled": False, "until_s": 12.0})


def test_an_interval_that_is_not_trusted_is_called_too_narrow() -> None:
    found = {"mean": 1.0, "band": {"low": 0.9, "high": 1.1}, "batches": 10, "trusted": True}
    assert "too narrow" not in steady_finding({"batch_means": found})
    assert "too narrow" in steady_finding({"batch_means": {**found, "trusted": False}})


def test_a_length_is_told_as_enough_or_as_what_it_would_take() -> None:
    length = {"n": 1000, "needed": 4000, "needed_s": 800.0, "half_width": 0.1}
    assert "give 10%, and 5 % would take 4,000 requests (800 s" in length_sentence(length)
    assert "the run has 5,000" in length_sentence({**length, "n": 5000})
