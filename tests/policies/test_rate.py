"""Rates are counted over a sliding window."""

from __future__ import annotations

import pytest

from policies.rate import RateMeter


def test_a_steady_stream_is_measured_at_its_rate() -> None:
    meter = RateMeter(10.0)
    for tenth in range(400):
        meter.note(tenth / 10)
    assert meter.per_second(39.9) == pytest.approx(10.0, rel=0.02)


def test_a_young_meter_divides_by_its_own_age() -> None:
    meter = RateMeter(10.0)
    assert meter.per_second(0.0) == 0.0
    meter.note(0.0)
    meter.note(2.0)
    assert meter.per_second(2.0) == 1.0


def test_two_events_in_a_row_are_no_high_rate() -> None:
    meter = RateMeter(10.0)
    meter.note(0.0)
    meter.note(0.001)
    assert meter.per_second(0.001) == 2.0  # as over a tenth of the window


def test_old_events_fall_out_of_the_window() -> None:
    meter = RateMeter(10.0)
    meter.note(0.0)
    assert meter.per_second(30.0) == 0.0


def test_a_window_without_length_is_refused() -> None:
    with pytest.raises(ValueError, match="window_s"):
        RateMeter(0.0)
