"""The cascade's threshold for a rate."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.solvers.confidences import draw_judged
from analysis.solvers.diffserve import Demand, divided_plan, shared_plan

JUDGED = draw_judged(2_000, 0.8, 0.85, seed=4, full_score=0.96)
CHEAP, FULL = (8.0, 12.0, 14.0), (2.0, 3.0, 3.5)
GRID = tuple(k / 20 for k in range(21))


def shared_by_hand(demand: Demand) -> float | None:
    scores = []
    for batch, threshold in product((1, 2, 3), GRID):
        redone = JUDGED.redone_share(threshold)
        busy = (
            demand.rate_per_s / demand.engines * (1 / CHEAP[batch - 1] + redone / FULL[batch - 1])
        )
        time_s = batch / CHEAP[batch - 1] + (batch / FULL[batch - 1] if redone else 0.0)
        if busy <= demand.headroom and time_s <= demand.within_s:
            scores.append(JUDGED.mean_score(threshold))
    return max(scores, default=None)


def divided_by_hand(demand: Demand) -> float | None:
    scores = []
    for b1, x1, b2, x2 in product((1, 2, 3), range(1, 9), (1, 2, 3), range(8)):
        time_s = b1 / CHEAP[b1 - 1] + (b2 / FULL[b2 - 1] if x2 else 0.0)
        enough = demand.rate_per_s <= demand.headroom * x1 * CHEAP[b1 - 1]
        if x1 + x2 > demand.engines or time_s > demand.within_s or not enough:
            continue
        for threshold in GRID:
            redone = demand.rate_per_s * JUDGED.redone_share(threshold)
            if redone <= demand.headroom * x2 * FULL[b2 - 1]:
                scores.append(JUDGED.mean_score(threshold))
    return max(scores, default=None)


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(0.5, 60.0), deadline_s=st.floats(0.05, 2.0), engines=st.integers(1, 4))
def test_no_plan_that_fits_has_a_better_score(rate: float, deadline_s: float, engines: int) -> None:
    # Off the round numbers, where a limit is met up to rounding only.
    demand = Demand(1.00003 * rate, 1.00003 * deadline_s, engines)
    for plan, by_hand in ((shared_plan, shared_by_hand), (divided_plan, divided_by_hand)):
        found, best = plan(demand, JUDGED, CHEAP, FULL, GRID), by_hand(demand)
        assert found.feasible == (best is not None)
        if best is None:
            assert (found.threshold, found.redone_share) == (0.0, 0.0)
            continue
        assert found.mean_score == pytest.approx(best, abs=1e-6)
        assert found.mean_score == JUDGED.mean_score(found.threshold)
        assert found.utilisation <= demand.headroom + 1e-6


@settings(max_examples=15, deadline=None)
@given(rate=st.floats(0.5, 30.0), more=st.floats(1.0, 3.0), engines=st.integers(1, 5))
def test_a_higher_rate_never_gets_a_better_score(rate: float, more: float, engines: int) -> None:
    for plan in (shared_plan, divided_plan):
        low = plan(Demand(rate, 2.0, engines), JUDGED, CHEAP, FULL)
        high = plan(Demand(rate * more, 2.0, engines), JUDGED, CHEAP, FULL)
        assert low.feasible or not high.feasible
        assert high.mean_score <= low.mean_score + 1e-6


def test_engines_are_divided_as_the_work_is() -> None:
    found = divided_plan(Demand(12.0, 3.0, 4), JUDGED, CHEAP, FULL)
    cheap, full = found.engines
    assert (cheap, full) == (1, 3)
    assert found.redone_share * 12.0 <= 0.95 * 3 * FULL[found.batches[1] - 1] + 1e-9


def test_a_tight_deadline_leaves_no_time_to_do_it_again() -> None:
    found = shared_plan(Demand(1.0, 0.3, 1), JUDGED, CHEAP, FULL)
    assert found.feasible
    assert found.redone_share == 0.0


def test_a_share_of_the_deadline_can_be_kept_for_waiting() -> None:
    whole = shared_plan(Demand(1.0, 0.7, 1), JUDGED, CHEAP, FULL)
    half = shared_plan(Demand(1.0, 0.7, 1, deadline_share=0.5), JUDGED, CHEAP, FULL)
    assert whole.redone_share > half.redone_share == 0.0


def test_inputs_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="engines 0"):
        Demand(1.0, 1.0, 0)
    with pytest.raises(ValueError, match="headroom 2"):
        Demand(1.0, 1.0, 1, headroom=2.0)
    with pytest.raises(ValueError, match="each batch size"):
        shared_plan(Demand(1.0, 1.0, 1), JUDGED, CHEAP, FULL[:2])
    with pytest.raises(ValueError, match="thresholds between"):
        shared_plan(Demand(1.0, 1.0, 1), JUDGED, CHEAP, FULL, thresholds=(1.5,))
