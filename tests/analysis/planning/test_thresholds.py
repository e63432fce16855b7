"""The family of thresholds is one that the controller takes, and grows with the engines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.planning.answers import scaled
from analysis.planning.thresholds import family, thresholds


@given(st.integers(1, 5_000), st.integers(1, 8))
def test_every_member_is_a_controller_for_the_whole_ladder(places: int, rungs: int) -> None:
    members = list(family(places, rungs, 0.5))
    assert members
    assert len(set(members)) == len(members)
    assert all(one.deepest == rungs and one.min_hold_s == 0.5 for one in members)


def test_thresholds_double_or_rise_evenly() -> None:
    assert thresholds(2, 4, doubling=True, min_hold_s=0.0).enter == (2, 4, 8, 16)
    assert thresholds(2, 4, doubling=True, min_hold_s=0.0).leave == (0, 1, 3, 7)
    assert thresholds(2, 3, doubling=False, min_hold_s=0.0).enter == (2, 4, 6)
    with pytest.raises(ValueError, match="1 waiting job or more"):
        thresholds(0, 2, doubling=True, min_hold_s=0.0)


def test_a_ladder_of_one_rung_has_no_thresholds() -> None:
    assert list(family(8, 0, 0.0)) == []


@given(st.integers(1, 200), st.floats(0.02, 50.0))
def test_scaled_thresholds_are_still_some(base: int, ratio: float) -> None:
    one = thresholds(base, 3, doubling=True, min_hold_s=0.1)
    larger = scaled(one, ratio)
    assert larger is not None
    assert larger.min_hold_s == 0.1
    assert abs(larger.enter[2] - max(1, one.enter[2] * ratio)) <= 1


def test_no_thresholds_scale_to_none() -> None:
    assert scaled(None, 3.0) is None
