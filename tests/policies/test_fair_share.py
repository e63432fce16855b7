"""A tenant's counter: what it was given, and never credit for having been away."""

from __future__ import annotations

from policies.fair_share import SPARE_TENANTS, FairShares


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
