"""Search among the neighbours of a policy."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.solvers.decision_process import Rungs
from analysis.solvers.monotone import is_monotone
from analysis.solvers.search import moved, refined


def thresholds(first: int, second: int, sizes: int = 12) -> Rungs:
    jobs = np.arange(sizes)
    row = (jobs >= first).astype(np.int64) + (jobs >= second)
    return np.broadcast_to(row, (1, 3, sizes)).copy()


def distance(policy: Rungs, wanted: Rungs) -> float:
    return 1.0 + float(np.abs(policy - wanted).sum())


@pytest.mark.parametrize("start", [(0, 0), (12, 12), (3, 9), (5, 6)])
def test_the_search_ends_at_the_cheapest_thresholds(start: tuple[int, int]) -> None:
    wanted = thresholds(4, 7)
    found = refined(thresholds(*start), lambda policy: distance(policy, wanted))
    assert (found == wanted).all()


def test_what_is_best_already_is_asked_for_once_a_neighbour() -> None:
    wanted, asked = thresholds(4, 7), []

    def cost(policy: Rungs) -> float:
        asked.append(policy)
        return distance(policy, wanted)

    assert (refined(wanted, cost, steps=(1,)) == wanted).all()
    assert len(asked) == 1 + 2 * 2


def test_a_threshold_moves_in_every_row_and_others_give_way() -> None:
    policy = thresholds(4, 6)
    sooner, later = moved(policy, 0, 2, -3), moved(policy, 0, 1, 4)
    assert sooner is not None
    assert later is not None
    assert (sooner == thresholds(3, 3)).all()
    assert (later == thresholds(8, 8)).all()
    assert is_monotone(sooner)
    assert is_monotone(later)
    assert moved(thresholds(0, 12), 0, 1, -1) is None
    assert (policy == thresholds(4, 6)).all()
