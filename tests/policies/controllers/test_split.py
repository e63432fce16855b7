"""Arriving jobs are shared out over the rungs at random."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.controllers import Split, SplitBand
from tests.policies.controllers.loads import load

SPLIT = Split((SplitBand(2.0, (1.0, 0.0, 0.0)), SplitBand(math.inf, (0.25, 0.0, 0.75))))
PLAIN: dict[str, Any] = {
    "version": 1,
    "kind": "split",
    "bands": [
        {"below_per_s": 2, "shares": [1, 0, 0]},
        {"below_per_s": None, "shares": [0.25, 0, 0.75]},
    ],
}


@pytest.mark.parametrize(("u", "expected"), [(0.0, 0), (0.2499, 0), (0.25, 2), (0.9999, 2)])
def test_a_rung_is_drawn_by_its_share(u: float, expected: int) -> None:
    assert SPLIT.draw(u, load(arrival_rate_per_s=9.0)) == expected


def test_the_shares_are_those_of_the_arrival_rate() -> None:
    assert SPLIT.draw(0.9999, load(arrival_rate_per_s=1.99)) == 0
    assert SPLIT.draw(0.9999, load(arrival_rate_per_s=2.0)) == 2


@given(st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(any), st.integers(1, 400))
def test_evenly_spread_draws_hit_each_rung_by_its_share(parts: list[int], draws: int) -> None:
    shares = tuple(part / sum(parts) for part in parts)
    split = Split((SplitBand(math.inf, shares),))
    drawn = [split.draw(k / draws, load()) for k in range(draws)]
    assert drawn == sorted(drawn)
    for rung, share in enumerate(shares):
        assert abs(drawn.count(rung) - share * draws) <= 1.0 + 1e-6
        assert share > 0 or rung not in drawn


def test_a_sliver_left_by_rounding_goes_to_no_empty_rung() -> None:
    split = Split((SplitBand(math.inf, (0.5, 0.4999999, 0.0)),))
    assert split.draw(0.99999999, load()) == 1


def test_the_whole_service_stays_at_rung_0() -> None:
    state = SPLIT.initial()
    assert state.rung == 0
    assert SPLIT.decide(load(1000), state) is state
    assert SPLIT.deepest == 2
    assert not SPLIT.needs_costs


def test_a_split_reads_a_solvers_plain_data() -> None:
    assert Split.from_plain(PLAIN) == SPLIT


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": None}, "solve it anew"),
        ({"kind": "table"}, "where 'split' is needed"),
        ({"bands": [{"below_per_s": None}]}, "shares must be a list"),
        ({"bands": [{"below_per_s": None, "shares": ["1"]}]}, "must be a number"),
        ({"bands": [{"below_per_s": None, "shares": [True]}]}, "must be a number"),
        ({"bands": [{"below_per_s": None, "shares": [math.nan]}]}, "must be a number"),
        ({"bands": [{"below_per_s": None, "shares": [0.5, 0.4]}]}, "add up to 0.9"),
        ({"bands": [{"below_per_s": None, "shares": []}]}, "add up to 0"),
        ({"bands": [{"below_per_s": None, "shares": [1.5, -0.5]}]}, "not be negative"),
        ({"bands": [{"below_per_s": 1.0, "shares": [1.0]}]}, "end at infinity"),
        ({"bands": [PLAIN["bands"][0], {"below_per_s": None, "shares": [1.0]}]}, "1 and 3 shares"),
    ],
)
def test_plain_data_that_is_no_split_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Split.from_plain({**PLAIN, **changes})
