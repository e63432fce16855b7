"""Quality held at a set mean: bursts are paid with what calm times have earned."""

from __future__ import annotations

import math
from dataclasses import dataclass

from policies.controllers.base import Controller, ControllerState
from policies.load import Load

ROUNDING = 1e-9
"""What each delivered score may add to the error of their sum: exactly on target is not below."""


@dataclass(frozen=True, slots=True)
class QualityBudget:
    """Lets the wrapped controller go as deep as the mean score of all deliveries allows.

    `scores[r]` is the score of rung r. The slack is score_sum - target_score * scored: what all
    deliveries so far have earned beyond the target. Rung r can be afforded if

        slack + in_service * (scores[r] - target_score) >= 0,

    where in_service, the places of all engines (or the running jobs, should these be more), is how
    many jobs one decision can commit. The rung is the deepest that can be afforded and is no deeper
    than the wrapped controller wants; if none can, the one of these with the best score.

    The mean stays at the target to within one line of deliveries: only jobs that were in service
    at the last decision that the slack covered can end below the target after it, so that

        score_sum >= target_score * scored - in_service * (target_score - the lowest score),

    and the slack is earned back before any is spent again. Waiting jobs are left out on purpose:
    they start under later decisions, and counting them would let a longer line raise quality.
    This holds for what the controller chooses; jobs whose clients fixed fewer steps are counted in
    the slack all the same, and the others make up for them as far as the best rung can.

    The slack is the virtual queue of Neely, Stochastic Network Optimization (2010, chapter 4), for
    a constraint on a time average, with its sign turned and calm times banked, not cut off at 0.
    ValueError if a rung that the wrapped controller can choose has no score, a score or the target
    lies outside 0 to 1, or the best rung does not reach the target.
    """

    pressure: Controller
    scores: tuple[float, ...]
    target_score: float

    def __post_init__(self) -> None:
        if len(self.scores) <= self.pressure.deepest:
            raise ValueError(
                f"the wrapped controller can choose rung {self.pressure.deepest}, but there are"
                f" {len(self.scores)} scores; give one for each rung of the ladder"
            )
        for score in (*self.scores, self.target_score):
            if not 0.0 <= score <= 1.0:
                raise ValueError(f"score {score} must lie between 0 and 1")
        if self.scores[0] < self.target_score:
            raise ValueError(
                f"the best rung scores {self.scores[0]}, which is below target_score"
                f" {self.target_score}; lower the target"
            )

    @property
    def deepest(self) -> int:
        """The wrapped controller's."""
        return self.pressure.deepest

    @property
    def needs_costs(self) -> bool:
        """Whether the wrapped controller does."""
        return self.pressure.needs_costs

    def initial(self) -> ControllerState:
        """Full service: nothing has been earned yet."""
        return ControllerState(0, -math.inf, inner=self.pressure.initial())

    def decide(self, load: Load, state: ControllerState) -> ControllerState:
        """What the wrapped controller wants, as far as the slack goes; both ways at once."""
        before = self.pressure.initial() if state.inner is None else state.inner
        inner = self.pressure.decide(load, before)
        rung = self._afforded(inner.rung, load)
        if rung != state.rung:
            return ControllerState(rung, load.now_s, inner=inner)
        if inner is not state.inner:
            return ControllerState(rung, state.since_s, inner=inner)
        return state

    def _afforded(self, wanted: int, load: Load) -> int:
        """Rises with `wanted` for any scores, also where they rise somewhere down the ladder."""
        slack = load.score_sum - self.target_score * load.scored + ROUNDING * load.scored
        in_service = max(load.places, load.running)
        for rung in range(wanted, -1, -1):
            if slack + in_service * (self.scores[rung] - self.target_score) >= 0:
                return rung
        return max(range(wanted + 1), key=lambda rung: (self.scores[rung], -rung))
