"""Each order ranks by what it is named after."""

from __future__ import annotations

import math

import pytest

from policies import EarliestDeadline, FairShare, Fifo, Job, ShortestWork, Tiers

EARLY, LATE = Job("a", 1.0, 0, deadline_s=9.0), Job("b", 2.0, 0, deadline_s=5.0)
NEVER = Job("c", 0.0, 0)


def test_first_come_first_served_ranks_by_arrival() -> None:
    assert Fifo().rank(EARLY, 25) < Fifo().rank(LATE, 4)


def test_the_earliest_deadline_is_first_and_no_deadline_last() -> None:
    order = EarliestDeadline()
    assert order.rank(LATE, 25) < order.rank(EARLY, 25) < order.rank(NEVER, 25) == math.inf


def test_the_shortest_run_is_first() -> None:
    assert ShortestWork().rank(LATE, 4) < ShortestWork().rank(EARLY, 25)


def test_a_tier_gives_a_head_start_that_waiting_makes_up_for() -> None:
    order = Tiers({"priority": 0.0, "default": 5.0, "flex": 30.0})
    flex = Job("f", 0.0, 0, tier="flex")
    assert order.rank(Job("p", 29.0, 0, tier="priority"), 1) < order.rank(flex, 1)
    assert order.rank(flex, 1) < order.rank(Job("p", 31.0, 0, tier="priority"), 1)


def test_a_tier_that_is_not_named_stands_as_the_default() -> None:
    order = Tiers({"default": 5.0})
    assert order.rank(Job("a", 1.0, 0, tier="gold"), 1) == 6.0
    assert Tiers({}).rank(Job("a", 1.0, 0), 1) == 1.0


@pytest.mark.parametrize("handicap_s", [-1.0, math.inf, math.nan])
def test_a_handicap_that_can_never_be_made_up_for_is_refused(handicap_s: float) -> None:
    with pytest.raises(ValueError, match="tier 'flex'"):
        Tiers({"flex": handicap_s})


def test_only_the_fair_order_shares_between_tenants() -> None:
    assert FairShare().by_tenant
    assert not any(o.by_tenant for o in (Fifo(), EarliestDeadline(), ShortestWork(), Tiers({})))
    assert FairShare().rank(EARLY, 25) < FairShare().rank(LATE, 25)
