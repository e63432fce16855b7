"""A tenant's counter: what it was given, and never credit for having been away."""

from __future__ import annotations

import pytest

from policies import fair_share
from policies.fair_share import DEBTORS_MAX, SPARE_TENANTS, FairShares


def serve(shares: FairShares, tenant: str, steps: int) -> None:
    shares.joins(tenant)
    shares.served(tenant, steps)
    shares.leaves(tenant)


def test_a_served_tenant_counts_its_steps() -> None:
    shares = FairShares()
    serve(shares, "a", 25)
    assert shares.counter("a") == 25


def test_a_tenant_that_comes_late_starts_level_with_the_others() -> None:
    shares = FairShares()
    for tenant in "ab":
        shares.joins(tenant)
    for _ in range(10):
        shares.served("a", 25)
        shares.served("b", 25)
    shares.joins("new")
    assert shares.counter("new") == 225  # as those had at their last start


def test_a_tenant_that_was_away_keeps_what_it_owes() -> None:
    shares = FairShares()
    serve(shares, "a", 100)
    serve(shares, "b", 10)
    shares.joins("a")
    assert shares.counter("a") == 100


def test_steps_that_were_not_run_are_given_back() -> None:
    shares = FairShares()
    shares.joins("a")
    shares.served("a", 25)
    shares.refund("a", 15)
    assert shares.counter("a") == 10


def test_tenants_who_owe_nothing_are_forgotten() -> None:
    shares = FairShares()
    for number in range(10 * SPARE_TENANTS):
        serve(shares, f"t{number}", 0)
    assert len(shares._steps) <= 2 * SPARE_TENANTS


def test_whoever_joins_while_others_are_forgotten_starts_level_all_the_same() -> None:
    shares = FairShares()
    serve(shares, "a", 100)
    serve(shares, "a", 100)  # the level is 100 now
    for number in range(3 * SPARE_TENANTS):
        shares.joins(f"t{number}")
        assert shares.counter(f"t{number}") == 100
        shares.leaves(f"t{number}")


def test_debts_are_remembered_as_far_as_there_is_room_the_largest_first() -> None:
    shares = FairShares()
    serve(shares, "large", 1000)
    for number in range(3 * DEBTORS_MAX):
        serve(shares, f"t{number}", 1)  # none comes twice, so that the level stays at 0
    assert len(shares._steps) <= 2 * DEBTORS_MAX + SPARE_TENANTS + 1
    assert shares.counter("large") == 1000


def test_forgetting_is_rare_while_all_owe(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def everybody(number: int, owing: list[tuple[float, str]]) -> list[tuple[float, str]]:
        asked.append(number)
        return owing

    monkeypatch.setattr(fair_share, "nlargest", everybody)
    shares = FairShares()
    for number in range(8 * SPARE_TENANTS):
        serve(shares, f"t{number}", 1)
    assert len(asked) == 3  # at 1024, 3 * 1024 and 7 * 1024 tenants
