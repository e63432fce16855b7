"""M/E_k/c: Erlang services of k stages on several servers, exactly.

A level is the number in the system, a phase says how many services under way are in which stage
(Mayhugh and McCormick 1968, Management Science 14). The wait of a job depends on who is ahead of it
only, so its law follows from services alone. Feasible while there are few ways to spread the servers
over the stages.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations_with_replacement

import numpy as np

from analysis.models.absorption import AbsorptionLaw, Moves
from analysis.models.levels import stationary
from analysis.models.steady import Prediction, Unstable, prediction
from analysis.service_times import Array, Gamma
from analysis.textbook.models import Poisson

SPREADS_MAX = 250
_LEFT_OUT = 1e-13


def erlang_stages(service: Gamma, servers: int) -> int | None:
    """The stages of a service that `mekc` can take on so many servers, or None."""
    stages = round(1 / service.cv2)
    if stages < 1 or abs(stages * service.cv2 - 1) > 1e-9:
        return None
    return stages if math.comb(servers + stages - 1, stages - 1) <= SPREADS_MAX else None


def mekc(rate_per_s: float, mean_service_s: float, stages: int, servers: int) -> Prediction:
    """Exact mean and percentiles. ValueError for parameters that cannot be or too many spreads of
    the servers over the stages; Unstable if the load is not below the servers' number."""
    Poisson(rate_per_s)
    service = Gamma(mean_service_s, 1 / stages)
    if servers < 1 or erlang_stages(service, servers) != stages:
        raise ValueError(f"{servers} servers with {stages} stages each are too many to describe")
    utilisation = rate_per_s * mean_service_s / servers
    if utilisation >= 1:
        raise Unstable(utilisation)
    chain = _Chain(rate_per_s, stages / mean_service_s, stages, servers)
    shares = stationary(chain.rates, servers + 1)
    waiting = np.maximum(np.arange(len(shares)) - servers, 0)
    in_line = float(waiting @ [share.sum() for share in shares])
    return prediction(
        in_line / rate_per_s,
        mean_service_s,
        chain.law(shares),
        utilisation,
        rate_per_s,
        f"M/E{stages}/{servers}: exact (chain of the stages in service, tagged job)",
        error_estimate=1e-9,
    )


class _Chain:
    def __init__(self, rate_per_s: float, stage_per_s: float, stages: int, servers: int) -> None:
        self._rate_per_s, self._stage_per_s = rate_per_s, stage_per_s
        self._stages, self._servers = stages, servers
        self.rates = cache(self._rates)

    @cache  # noqa: B019  (a chain lives as long as one prediction)
    def _spreads(self, busy: int) -> dict[tuple[int, ...], int]:
        """Stages of the services under way, ascending, numbered."""
        every = combinations_with_replacement(range(self._stages), busy)
        return {spread: number for number, spread in enumerate(every)}

    def _rates(self, n: int) -> tuple[Array, Array, Array]:
        here = self._spreads(min(n, self._servers))
        above = self._spreads(min(n + 1, self._servers))
        below = self._spreads(min(max(n - 1, 0), self._servers))
        up, within = np.zeros((len(here), len(above))), np.zeros((len(here), len(here)))
        down = np.zeros((len(here), len(below) if n else 0))
        for spread, number in here.items():
            joined = spread if n >= self._servers else (0, *spread)
            up[number, above[joined]] = self._rate_per_s
            for target, rate_per_s, ends in self._steps(spread):
                if not ends:
                    within[number, here[target]] += rate_per_s
                else:
                    left = target if n <= self._servers else (0, *target)
                    down[number, below[left]] += rate_per_s
        return up, within, down

    def _steps(self, spread: tuple[int, ...]) -> list[tuple[tuple[int, ...], float, bool]]:
        """What one stage's end makes of a spread, the rate, and whether a service ends by it."""
        steps = []
        for stage in sorted(set(spread)):
            rest = list(spread)
            rest.remove(stage)
            ends = stage + 1 == self._stages
            if not ends:
                rest.append(stage + 1)
            steps.append((tuple(sorted(rest)), spread.count(stage) * self._stage_per_s, ends))
        return steps

    def law(self, shares: list[Array]) -> AbsorptionLaw:
        """States: own stages to come, then (jobs ahead in line, spread) while it waits."""
        total = np.cumsum([share.sum() for share in shares])
        found = min(int(np.searchsorted(total, total[-1] - _LEFT_OUT)) + 1, len(shares))
        spreads = self._spreads(self._servers)
        line = np.arange(max(found - self._servers, 0))
        moves = Moves(self._stages + line.size * len(spreads))
        own = np.arange(self._stages)
        moves.end(own[-1:], self._stage_per_s)
        moves.add(own[:-1], own[1:], self._stage_per_s)
        for spread, number in spreads.items():
            here = self._stages + line * len(spreads) + number
            for target, rate_per_s, ends in self._steps(spread):
                if not ends:
                    moves.add(here, here - number + spreads[target], rate_per_s)
                else:
                    nearer = here - len(spreads) - number + spreads[(0, *target)]
                    moves.add(here, np.where(line == 0, 0, nearer), rate_per_s)
        start = np.zeros(moves.size)
        start[0] = sum(float(share.sum()) for share in shares[: self._servers])
        if line.size:
            start[self._stages :] = np.concatenate(shares[self._servers : found])
        return moves.law(start)
