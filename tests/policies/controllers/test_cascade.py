"""Cheap first; what the discriminator doubts is made again in full."""

from __future__ import annotations

import math
from typing import Any

import pytest

from policies.controllers import Cascade, CascadeBand
from tests.policies.controllers.loads import load

CASCADE = Cascade(2, 0, (CascadeBand(2.0, 0.8), CascadeBand(math.inf, 0.0)))
PLAIN: dict[str, Any] = {
    "version": 1,
    "kind": "cascade",
    "bands": [{"below_per_s": 2.0, "threshold": 0.8}, {"below_per_s": None, "threshold": 0}],
}
CALM = load(arrival_rate_per_s=1.0)


def test_every_job_starts_at_the_cheap_rung() -> None:
    state = CASCADE.initial()
    assert state.rung == CASCADE.deepest == 2
    assert CASCADE.decide(load(1000), state) is state
    assert not CASCADE.needs_costs


def test_a_doubtful_picture_is_made_again_and_a_confident_one_is_not() -> None:
    assert CASCADE.redoes(2, 0.79, CALM)
    assert not CASCADE.redoes(2, 0.8, CALM)


def test_a_picture_that_a_floor_put_between_the_two_rungs_can_be_made_again() -> None:
    assert CASCADE.redoes(1, 0.1, CALM)


def test_a_picture_made_in_full_is_never_made_again() -> None:
    assert not CASCADE.redoes(0, 0.0, CALM)


def test_a_picture_that_nobody_judged_stands() -> None:
    assert not CASCADE.redoes(2, None, CALM)


def test_the_threshold_is_that_of_the_arrival_rate() -> None:
    assert not CASCADE.redoes(2, 0.0, load(arrival_rate_per_s=2.0))


def test_a_cascade_reads_a_solvers_plain_data() -> None:
    assert Cascade.from_plain(PLAIN, 2, 0) == CASCADE


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": 0}, "solve it anew"),
        ({"kind": "table"}, "where 'cascade' is needed"),
        ({"bands": [{"below_per_s": None}]}, "threshold must be a number, not None"),
        ({"bands": [{"below_per_s": None, "threshold": 1.1}]}, "between 0 and 1"),
        ({"bands": [{"below_per_s": 3, "threshold": 0.5}]}, "end at infinity"),
    ],
)
def test_plain_data_that_is_no_cascade_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Cascade.from_plain({**PLAIN, **changes}, 2, 0)


@pytest.mark.parametrize(("first", "second"), [(1, 1), (0, 1), (1, -1)])
def test_a_cascade_that_leads_to_no_better_rung_is_refused(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="must lead to a better rung"):
        Cascade(first, second, CASCADE.bands)
