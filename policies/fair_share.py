"""What each tenant has been given, in denoising steps, for an order that shares by work."""

from __future__ import annotations

from heapq import nlargest

SPARE_TENANTS = 1024
"""Tenants remembered beyond twice those that had to be before old ones are forgotten."""

DEBTORS_MAX = 20_000
"""Tenants remembered for what they owe although none of their jobs waits; of more, those who owe
most: a service with a new tenant for every job must not remember them all."""


class FairShares:
    """A counter of work for each tenant.

    A tenant who comes back after a pause starts at the least that a served tenant had: credit for
    idle time would let it shut the others out. That level is kept as in start-time fair queueing
    (Goyal et al., 1996): the counter of whoever was served last, never falling.
    """

    def __init__(self) -> None:
        self._steps: dict[str, float] = {}
        self._waiting: dict[str, int] = {}
        self._level = 0.0
        self._forget_from = SPARE_TENANTS

    def counter(self, tenant: str) -> float:
        """Steps that the tenant counts as having been given."""
        return max(self._steps.get(tenant, 0.0), self._level if not self._has(tenant) else 0.0)

    def joins(self, tenant: str) -> None:
        """A job of the tenant begins to wait."""
        if self._has(tenant):
            self._waiting[tenant] += 1
            return
        self._steps[tenant] = self.counter(tenant)
        self._waiting[tenant] = 1
        self._forget_old()

    def leaves(self, tenant: str) -> None:
        """A job of the tenant no longer waits."""
        left = self._waiting[tenant] - 1
        if left:
            self._waiting[tenant] = left
        else:
            del self._waiting[tenant]

    def served(self, tenant: str, steps: int) -> None:
        """A job of the tenant starts, for `steps` steps; called while it still counts as waiting."""
        before = self.counter(tenant)
        self._level = max(self._level, before)
        self._steps[tenant] = before + steps

    def refund(self, tenant: str, steps: int) -> None:
        """A job of the tenant ended with `steps` fewer than it was charged."""
        if tenant in self._steps:
            self._steps[tenant] -= steps

    def _has(self, tenant: str) -> bool:
        return tenant in self._waiting

    def _forget_old(self) -> None:
        if len(self._steps) <= self._forget_from:
            return
        owing = [
            (steps, tenant)
            for tenant, steps in self._steps.items()
            if steps > self._level and not self._has(tenant)
        ]
        kept = {tenant: self._steps[tenant] for tenant in self._waiting}
        kept |= {tenant: steps for steps, tenant in nlargest(DEBTORS_MAX, owing)}
        self._steps = kept
        # So far away that each forgetting is paid for by as many that have joined since.
        self._forget_from = 2 * len(kept) + SPARE_TENANTS
