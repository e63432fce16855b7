"""Servers that fix a job's speed when its service starts, by how many wait at that moment.

A job that leaves at least `waiting` others behind when it starts is served fast, else slow: the
textbook's form of a rung that binds at the start. Poisson arrivals, first come first served.
`degraded_share` is the share of jobs started fast.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from analysis.models.absorption import AbsorptionLaw, Integers, Moves
from analysis.models.embedded import poisson_masses, stationary_embedded
from analysis.models.laws import FormulaLaw
from analysis.models.levels import stationary
from analysis.models.residuals import AheadDensity, poisson_table
from analysis.models.steady import Prediction, Unstable, prediction
from analysis.service_times import Array
from analysis.textbook.models import Poisson

SLOWER_MAX, ARRIVALS_MAX = 200, 200
_START_LEFT_OUT = 1e-13


def start_exponential(
    rate_per_s: float, slow_per_s: float, fast_per_s: float, waiting: int, servers: int = 1
) -> Prediction:
    """Exponential services of these rates on each of `servers`: exact.

    A chain of (jobs in the system, fast services under way) and a tagged job followed through it.
    ValueError for parameters that cannot be; Unstable if the fast rate does not keep up.
    """
    check_starts(rate_per_s, 1 / slow_per_s, 1 / fast_per_s, waiting, servers)
    return _Exponential(rate_per_s, slow_per_s, fast_per_s, waiting, servers).prediction()


def start_deterministic(
    rate_per_s: float, slow_s: float, fast_s: float, waiting: int
) -> Prediction:
    """Deterministic services on one server: exact.

    The chain of jobs left behind by departures (M/G/1 type, Neuts 1989) gives the means. The
    response of a job that finds a service in progress is its residual time and a number of slow
    and fast services, whose law follows job by job from those ahead and those behind.
    ValueError for parameters that cannot be, and for a slow service that is SLOWER_MAX fast ones or
    ARRIVALS_MAX arrivals long; Unstable if the fast service does not keep up.
    """
    check_starts(rate_per_s, slow_s, fast_s, waiting, 1)
    if fast_s > slow_s:
        raise ValueError(f"fast_s {fast_s} must not be longer than slow_s {slow_s}")
    if slow_s > SLOWER_MAX * fast_s or rate_per_s * slow_s > ARRIVALS_MAX:
        raise ValueError(
            f"a slow service of {slow_s} is too long to be followed: it may be {SLOWER_MAX} fast ones"
            f" and {ARRIVALS_MAX} arrivals long"
        )
    return _Deterministic(rate_per_s, slow_s, fast_s, waiting).prediction()


def check_starts(
    rate_per_s: float, slow_s: float, fast_s: float, waiting: int, servers: int
) -> None:
    """ValueError for parameters that cannot be; Unstable if the fast service does not keep up."""
    Poisson(rate_per_s)
    for name, value in (("slow", slow_s), ("fast", fast_s)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"the {name} service {value} must be a finite time above 0")
    if waiting < 0 or servers < 1:
        raise ValueError(f"waiting {waiting} must be at least 0 and servers {servers} at least 1")
    if rate_per_s * fast_s >= servers:
        raise Unstable(rate_per_s * fast_s / servers)


class _Exponential:
    """Phase of a level: how many of the services under way are fast."""

    def __init__(
        self, rate_per_s: float, slow_per_s: float, fast_per_s: float, waiting: int, servers: int
    ) -> None:
        self._rate_per_s, self._waiting, self._servers = rate_per_s, waiting, servers
        self._slow_per_s, self._fast_per_s = slow_per_s, fast_per_s
        self._shares = stationary(self._rates, servers + waiting + 1)

    def prediction(self) -> Prediction:
        shares, servers = self._shares, self._servers
        share = np.array([level.sum() for level in shares])
        n = np.arange(share.size)
        fast = sum(float(np.arange(level.size) @ level) for level in shares)
        busy = float(np.minimum(n, servers) @ share)
        wait_s = float(np.maximum(n - servers, 0) @ share) / self._rate_per_s
        return prediction(
            wait_s,
            busy / self._rate_per_s,
            self._law(),
            busy / servers,
            self._rate_per_s,
            f"M/M/{servers}, speed fixed at the start, fast if {self._waiting} wait: exact"
            " (level-dependent chain, tagged job)",
            degraded_share=self._fast_per_s * fast / self._rate_per_s,
            error_estimate=1e-9,
        )

    def _starts_fast(self, left_behind: Integers | int) -> Integers:
        return np.asarray(left_behind >= np.int64(self._waiting)).astype(np.int64)

    def _rates(self, n: int) -> tuple[Array, Array, Array]:
        size, above = min(n, self._servers) + 1, min(n + 1, self._servers) + 1
        below = min(max(n - 1, 0), self._servers) + 1
        up, within = np.zeros((size, above)), np.zeros((size, size))
        down = np.zeros((size, below if n else 0))
        # An arrival that starts leaves nobody behind.
        starts = int(self._starts_fast(0)) if n < self._servers else 0
        # A departure lets the first of n - servers start.
        next_fast = int(self._starts_fast(n - self._servers - 1)) if n > self._servers else 0
        for fast in range(size):
            up[fast, fast + starts] = self._rate_per_s
            slow = size - 1 - fast
            if slow:
                down[fast, fast + next_fast] += slow * self._slow_per_s
            if fast:
                down[fast, fast - 1 + next_fast] += fast * self._fast_per_s
        return up, within, down

    def _law(self) -> AbsorptionLaw:
        """States of a tagged job: runs slow, runs fast, or (ahead, behind, fast) while it waits."""
        servers, shares = self._servers, self._shares
        share = np.array([level.sum() for level in shares])
        found = min(
            int(np.searchsorted(np.cumsum(share), share.sum() - _START_LEFT_OUT)) + 1, share.size
        )
        line, behind_most = max(found - servers, 0), self._waiting
        moves = Moves(2 + line * (behind_most + 1) * (servers + 1))

        def state(ahead: Integers, behind: Integers, fast: Integers) -> Integers:
            row = ahead * (behind_most + 1) + np.minimum(behind, behind_most)
            return np.asarray(2 + row * (servers + 1) + fast)

        moves.end(np.array([0, 1]), np.array([self._slow_per_s, self._fast_per_s]))
        axes = (np.arange(line), np.arange(behind_most + 1), np.arange(servers + 1))
        ahead, behind, fast = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
        here = state(ahead, behind, fast)
        moves.add(here, state(ahead, behind + 1, fast), self._rate_per_s)
        for was_fast, rate_per_s in ((0, self._slow_per_s), (1, self._fast_per_s)):
            starts = self._starts_fast(ahead + behind)
            many = fast if was_fast else servers - fast
            nearer = state(
                np.maximum(ahead - 1, 0), behind, np.clip(fast - was_fast + starts, 0, servers)
            )
            moves.add(here, np.where(ahead == 0, starts, nearer), many * rate_per_s)
        start = np.zeros(moves.size)
        for n, level in enumerate(shares[:found]):
            if n < servers:
                start[int(self._starts_fast(0))] += level.sum()
            else:
                fast = np.arange(level.size)
                start[state(np.full_like(fast, n - servers), np.zeros_like(fast), fast)] += level
        return moves.law(start)


class _Deterministic:
    def __init__(self, rate_per_s: float, slow_s: float, fast_s: float, waiting: int) -> None:
        self._rate_per_s, self._waiting = rate_per_s, waiting
        self._takes_s = (slow_s, fast_s)
        self._known = np.zeros((0, 0, 0))
        slow, fast = poisson_masses(rate_per_s * slow_s), poisson_masses(rate_per_s * fast_s)
        self._left = stationary_embedded(
            lambda n: fast if max(n - 1, 0) >= waiting else slow,
            max(waiting + 1, 1),
            1,
            rate_per_s * fast_s,
        )
        self._fast = np.maximum(np.arange(self._left.size) - 1, 0) >= waiting
        self._degraded = float(self._left[self._fast].sum())
        self._busy = rate_per_s * ((1 - self._degraded) * slow_s + self._degraded * fast_s)
        # A service that starts from n waiting leaves n - 1 of them ahead of who comes in it.
        starts = rate_per_s * np.concatenate(([self._left[:2].sum()], self._left[2:]))
        is_fast = np.arange(starts.size) >= waiting
        services = [(slow_s, starts * ~is_fast), (fast_s, starts * is_fast)]
        self._ahead = AheadDensity(rate_per_s, services)

    def prediction(self) -> Prediction:
        left, rate_per_s = self._left, self._rate_per_s
        # Departures leave behind what arrivals find, and both see the long run.
        response_s = float(np.arange(left.size) @ left) / rate_per_s
        service_s = self._busy / rate_per_s
        return prediction(
            response_s - service_s,
            service_s,
            FormulaLaw(self._cdf, response_s),
            self._busy,
            rate_per_s,
            f"M/D/1, speed fixed at the start, fast if {self._waiting} wait: exact (chain at"
            " departures, residual service)",
            degraded_share=self._degraded,
            error_estimate=1e-9,
        )

    def _cdf(self, t_s: float) -> float:
        slow_s, fast_s = self._takes_s
        size = math.floor(t_s / fast_s) + 1
        alone_s = self._takes_s[int(self._waiting == 0)]
        total = 1 - self._busy if t_s >= alone_s else 0.0
        slow, fast = np.arange(self._waiting + 1), np.arange(size + 1)
        ends_s = np.add.outer(slow_s * slow, fast_s * fast)
        at_most = self._slow_at_most(size)
        services = np.arange(1, size + 1)
        for middle_s, r_s, ahead in self._ahead.pieces((t_s - ends_s).ravel(), size):
            spare_s = t_s - middle_s - services * fast_s
            # So many of the services may be slow, -1: not even all fast ones end in time.
            allowed = np.floor(spare_s / (slow_s - fast_s)) if slow_s > fast_s else spare_s * np.inf
            allowed = np.where(spare_s < 0, -1, np.minimum(allowed, self._waiting)).astype(np.int64)
            reach = np.flatnonzero(allowed >= 0)
            behind = poisson_table(self._rate_per_s * r_s, self._waiting)
            behind = np.column_stack((behind, 1 - behind.sum(axis=1)))
            chance = behind @ at_most[reach, :, allowed[reach]].T
            total += float((ahead[:, reach] * chance).sum())
        return total

    def _slow_at_most(self, size: int) -> Array:
        """[ahead, behind, i]: P(at most i slow services until the tagged job ends | the next service
        starts now), for ahead < size; `waiting` and more behind are all alike."""
        if self._known.shape[0] >= size:
            return self._known
        most = self._waiting
        table = np.zeros((2 * size, most + 1, most + 1))
        behind = np.arange(most + 1)
        ended = np.ones((most + 1, most + 1))
        for ahead in range(table.shape[0]):
            slow = ahead + behind < most
            after = self._behind_after[1] @ ended
            slowly = self._behind_after[0] @ ended
            after[slow, 0] = 0.0
            after[slow, 1:] = slowly[slow, :-1]
            table[ahead] = ended = after
        self._known = table
        return table

    @cached_property
    def _behind_after(self) -> tuple[Array, Array]:
        """[behind, behind later] over a slow and over a fast service."""
        return (self._over(self._takes_s[0]), self._over(self._takes_s[1]))

    def _over(self, takes_s: float) -> Array:
        most = self._waiting
        arrived = poisson_masses(self._rate_per_s * takes_s, most + 1)[: most + 1]
        move = np.zeros((most + 1, most + 1))
        for behind in range(most):
            move[behind, behind:most] = arrived[: most - behind]
        move[:, most] = 1 - move.sum(axis=1)
        return move
