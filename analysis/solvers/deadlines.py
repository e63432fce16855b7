"""The policy of least cost where what costs is a missed deadline, and how good any policy can be.

The lateness of a job depends on what is decided after it came, so no state cost is exact for every
policy at once. Three chains bracket the truth:

- the formula's (`lateness.late_shares`), as if the rung stayed, starts the search;
- the chain that charges the lateness that jobs really have under a given policy is exact for that
  policy, and gives the cost by which policies are compared;
- the chain that charges only the lateness that no policy can avoid has an optimum which bounds the
  true cost of every policy from below.

The policy that comes out is the best that was found, not proven the best; the bound says how much
could be left to gain at most. It is for servers that serve in order of arrival and refuse for want
of room only: one that turns away or drops whoever must be late is not bound by it.
All of it holds on the exponential chain (see `decision_process`), not on the engine itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.service_times import Array
from analysis.solvers.decision_process import Arrivals, DecisionProcess, Prices, Rungs
from analysis.solvers.defaults import STAGES
from analysis.solvers.evaluation import Evaluation, evaluate
from analysis.solvers.lateness import late_shares, least_late_shares
from analysis.solvers.monotone import monotone
from analysis.solvers.policy_iteration import Solution, solve
from analysis.solvers.search import refined
from analysis.solvers.station import Station
from analysis.solvers.tagged import TaggedChain

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Timely:
    """A monotone policy, its true cost on the chain, and a bound for every policy.

    `evaluation` has the true late share. No policy whatever costs less than `bound_per_s`.
    """

    policy: Rungs
    evaluation: Evaluation
    bound_per_s: float

    def table(self, phase: int = 0) -> list[list[int]]:
        """rungs[current][jobs in the system] -> next rung, as `DecisionTable` reads it."""
        return [[int(rung) for rung in row] for row in self.policy[phase]]


class Deadlines:
    """The problem: a server whose jobs all have the same deadline, counted from their arrival.

    ValueError for a deadline that is not above 0, and as `DecisionProcess`.
    """

    def __init__(
        self,
        station: Station,
        arrivals: Arrivals,
        prices: Prices,
        jobs_max: int,
        deadline_s: float,
        stages: int = STAGES,
    ) -> None:
        self.station, self.arrivals, self.prices = station, arrivals, prices
        self.jobs_max, self.deadline_s, self.stages = jobs_max, deadline_s, stages
        self._formula = self.charging(late_shares(station, jobs_max, deadline_s, stages))
        self._tagged = TaggedChain(self._formula, stages)

    def charging(self, late_share: Array) -> DecisionProcess:
        """The decision process whose state cost is this lateness."""
        return DecisionProcess(self.station, self.arrivals, self.prices, self.jobs_max, late_share)

    def evaluate(self, policy: Rungs, start: int | None = None) -> Evaluation:
        """The true long-run cost of a policy, with every job's lateness as that policy causes it.

        `start` as in `evaluation.evaluate`.
        """
        late = self._tagged.late(self._formula.checked(policy), self.deadline_s)
        return evaluate(self.charging(late), policy, start)

    def bounding(self) -> Solution:
        """The optimum where only unavoidable lateness is charged: `bound_per_s` is for all.

        ValueError for costs that have no simple bound.
        """
        return solve(self.charging(least_late_shares(self._formula, self.deadline_s, self.stages)))

    def solve(self, rounds: int = ROUNDS) -> Timely:
        """The best policy found from several starts by search among its neighbours, and the bound.

        Starts: the formula's optimum, the optimum at the lateness that this policy causes, and so
        on for `rounds` rounds; the bounding chain's optimum; each rung throughout.
        """
        bounding = self.bounding()
        starts = [
            np.full(self._formula.shape, r, dtype=np.int64) for r in range(self.station.rungs)
        ]
        starts.append(monotone(self._formula, bounding))
        process = self._formula
        for _ in range(rounds):
            policy = monotone(process, solve(process))
            starts.append(policy)
            process = self.charging(self._tagged.late(policy, self.deadline_s))
        best = min(starts, key=lambda start: self.evaluate(start).cost_per_s)
        policy = refined(best, lambda near: self.evaluate(near).cost_per_s)
        return Timely(policy, self.evaluate(policy), bounding.bound_per_s)
