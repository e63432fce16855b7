"""The split over rungs for a rate."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.solvers.proteus import split_for

CAPACITY, SCORES = (2.0, 5.0, 10.0), (0.95, 0.85, 0.6)

rungs = st.lists(st.tuples(st.floats(0.5, 20.0), st.floats(0.0, 1.0)), min_size=1, max_size=5).map(
    lambda pairs: tuple(zip(*pairs, strict=True))
)


def by_hand(rate: float, capacity: tuple[float, ...], scores: tuple[float, ...]) -> float | None:
    """The best mixture of one or two rungs that keeps up; two constraints need no more."""
    best = [s for c, s in zip(capacity, scores, strict=True) if rate / c <= 1]
    for one, two in combinations(range(len(capacity)), 2):
        busy = rate / capacity[one], rate / capacity[two]
        if min(busy) <= 1 < max(busy):
            share = (1 - busy[1]) / (busy[0] - busy[1])
            best.append(share * scores[one] + (1 - share) * scores[two])
    return max(best, default=None)


@given(rungs=rungs, rate=st.floats(0.1, 25.0))
def test_no_mixture_that_keeps_up_has_a_better_score(
    rungs: tuple[tuple[float, ...], tuple[float, ...]], rate: float
) -> None:
    found = split_for(rate, *rungs, headroom=1.0)
    best = by_hand(rate, *rungs)
    assert found.feasible == (best is not None)
    assert sum(found.shares) == pytest.approx(1.0)
    assert min(found.shares) >= 0
    if best is not None:
        assert found.mean_score == pytest.approx(best, abs=1e-6)
        assert found.utilisation <= 1 + 1e-6


@given(rungs=rungs, rate=st.floats(0.1, 25.0), more=st.floats(1.0, 3.0))
def test_a_higher_rate_never_gets_a_better_score(
    rungs: tuple[tuple[float, ...], tuple[float, ...]], rate: float, more: float
) -> None:
    low, high = split_for(rate, *rungs), split_for(rate * more, *rungs)
    if high.feasible:
        assert low.feasible
        assert high.mean_score <= low.mean_score + 1e-6


def test_the_quiet_server_gives_its_best_and_the_overrun_one_its_fastest() -> None:
    assert split_for(1.0, CAPACITY, SCORES).shares == (1.0, 0.0, 0.0)
    overrun = split_for(11.0, CAPACITY, SCORES)
    assert overrun.shares == (0.0, 0.0, 1.0)
    assert not overrun.feasible
    assert overrun.utilisation == pytest.approx(1.1)


def test_between_the_capacities_two_rungs_share_all_that_may_be_used() -> None:
    found = split_for(3.0, CAPACITY, SCORES, headroom=0.9)
    assert np.count_nonzero(found.shares) == 2
    assert found.utilisation == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("rate", "capacity", "scores", "headroom", "says"),
    [
        (0.0, CAPACITY, SCORES, 1.0, "rate_per_s 0"),
        (1.0, (1.0,), SCORES, 1.0, "each rung"),
        (1.0, (1.0, 0.0, 2.0), SCORES, 1.0, "above 0"),
        (1.0, CAPACITY, SCORES, 1.2, "headroom"),
    ],
)
def test_inputs_that_cannot_be_are_refused(
    rate: float, capacity: tuple[float, ...], scores: tuple[float, ...], headroom: float, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        split_for(rate, capacity, scores, headroom)
