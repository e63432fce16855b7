"""Early exits that the load asks for, shared by the engine and the simulator.

At a step boundary `changed` says what an announced rung does to one running job. A job keeps the
noise level that it has reached: a *re-plan* spaces the rest of its plan anew in fewer steps, a
*hand-over* does the same and goes on in a cheaper variant, *finish* decodes the present estimate of
the clean picture. The rest shrinks in the ratio of the two rungs' steps, so a job that is
re-planned early saves much and one that is nearly done saves little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Literal

from policies.nouns import Ladder, Rung, Service

ROUNDING = 1e-9
"""What a share times a count may miss a whole number by: 0.07 of 100 steps are 7, not 8."""

OnLowerRung = Literal["keep", "replan", "finish", "hand_over"]

APPLIED: Mapping[str, OnLowerRung] = {
    "at_start": "keep",
    "in_flight": "replan",
    "finish_now": "finish",
    "hand_over": "hand_over",
}
"""The ways to apply a rung as the configuration file names them (`controller.apply`)."""


@dataclass(frozen=True, slots=True)
class ExitRules:
    """What an announced lower rung does to jobs that already run.

    "keep": nothing. "replan": the rest shrinks to the new pace. "finish": a job that has run at
    least `finish_from` of its planned steps is decoded at once, any other is re-planned.
    "hand_over": as "replan", and a job may go on in a variant that comes later on the ladder and can
    take its latents over; `hands_over` names these for each variant. ValueError unless 0 < finish_from <= 1.
    """

    on_lower: OnLowerRung = "replan"
    finish_from: float = 0.8
    hands_over: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 < self.finish_from <= 1.0:
            raise ValueError(f"finish_from {self.finish_from} must be above 0 and at most 1")

    @classmethod
    def applied(cls, way: str, finish_from: float, ladder: Ladder) -> ExitRules:
        """The rules of a configuration; `way` is a key of `APPLIED`."""
        return cls(APPLIED[way], finish_from, hand_overs(ladder))

    def within(self, variants: AbstractSet[str]) -> ExitRules:
        """The rules of an engine that has only these variants."""
        pairs = {name: to & variants for name, to in self.hands_over.items() if name in variants}
        return replace(self, hands_over=pairs)


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a running job.

    `service` is the new one; its variant differs after a hand-over. `steps_planned` counts the
    steps of the whole run; as many as are done means that the present estimate is decoded now.
    """

    service: Service
    steps_planned: int
    exit: Literal["replan", "finish", "hand_over"]


def hand_overs(ladder: Ladder) -> dict[str, frozenset[str]]:
    """Every re-plannable variant of the ladder with all the others, for `ExitRules.hands_over`.

    Whether these really share latents and noise levels is for whoever loads them to check.
    """
    names = dict.fromkeys(rung.variant for rung in ladder.rungs if rung.replannable)
    return {name: frozenset(names) - {name} for name in names}


def remaining_after_replan(planned: int, done: int, from_steps: int, to_steps: int) -> int:
    """Steps left after a change of pace from `from_steps` to `to_steps` for a whole run.

    `planned` steps were to be run in all and `done` have been. Never more than before, at least
    one if any were left, and none stay none. ValueError on a count that cannot be.
    """
    if from_steps < 1 or to_steps < 1:
        raise ValueError(f"a pace must be at least 1 step, got {from_steps} and {to_steps}")
    if not 0 <= done <= planned:
        raise ValueError(f"done steps must lie between 0 and planned, got {done} of {planned}")
    left = planned - done
    if left == 0 or to_steps >= from_steps:
        return left
    # Integer ceiling: the engine and the simulator must agree to the step on every machine.
    return max(1, -(-left * to_steps // from_steps))


def guided_steps(steps_planned: int, guidance_share: float) -> int:
    """How many steps of a run are guided, from the first on: the share of them, rounded up.

    The count is of the plan as it stands, so a job's step number k (from 0) is guided if
    k < guided_steps(steps planned now, share). Re-planning lowers both, and so never guides a job
    again that was past its cut.
    """
    return math.ceil(steps_planned * guidance_share - ROUNDING)


def changed(
    service: Service,
    planned: int,
    done: int,
    *,
    floor: int,
    announced: int,
    ladder: Ladder,
    rules: ExitRules,
    fixed: bool = False,
    pinned: bool = False,
) -> Change | None:
    """What the announced rung does to a job that has run `done` of `planned` steps, or None.

    The job goes to the announced rung, or the nearest that its floor and variant allow, if that
    lowers it in every respect: no more steps, no more guidance. Never below the floor, never up,
    never for a `fixed` job, and neither out of nor into a rung with a fixed schedule. A `pinned`
    job keeps its variant because its client named it. The plan also stays where rounding leaves as
    many steps as before: the picture is then what the better rung promised, and keeps its label.
    """
    if rules.on_lower == "keep" or announced == 0 or fixed or planned == done:
        return None
    reachable = frozenset((service.variant,))
    if rules.on_lower == "hand_over" and not pinned:
        # Down the ladder's variants and never back: with few steps left a lower rung of a better
        # variant saves none, and the job would go to and fro.
        further = ladder.variants[ladder.variants.index(service.variant) + 1 :]
        reachable |= rules.hands_over.get(service.variant, frozenset()).intersection(further)
    for target in _targets(service, floor, announced, ladder, reachable):
        rung = ladder[target]
        lowered = Service(rung.variant, rung.steps, target, rung.guidance_share)
        # Before the first step there is no estimate to decode.
        far_enough = max(1.0, rules.finish_from * planned - ROUNDING)
        if rules.on_lower == "finish" and done >= far_enough:
            return Change(lowered, done, "finish")
        to_planned = done + remaining_after_replan(planned, done, service.steps, rung.steps)
        if rung.variant != service.variant:
            return Change(lowered, to_planned, "hand_over")
        guided_before = max(done, guided_steps(planned, service.guidance_share))
        guided_after = max(done, guided_steps(to_planned, rung.guidance_share))
        if to_planned < planned or guided_after < guided_before:
            return Change(lowered, to_planned, "replan")
    return None


def _targets(
    service: Service, floor: int, announced: int, ladder: Ladder, variants: AbstractSet[str]
) -> list[int]:
    """The rungs of `variants` that a running job may be lowered to, lowest first.

    As for a job that starts, the limit is the first rung within the floor that is at or below the
    announced one, else the last; of the rungs down to there, those that lower the job.
    """
    if not ladder[service.rung].replannable:
        return []
    within = [
        index
        for index in range(min(floor, ladder.last) + 1)
        if ladder[index].variant in variants and ladder[index].replannable
    ]
    own = [index for index in within if ladder[index].variant == service.variant]
    if not own:
        return []  # the variant has no rung within the floor: it was the client's own choice
    limit = next((index for index in within if index >= announced), within[-1])
    # A limit that is the best there is for such a job means that nothing presses.
    lower = [i for i in within if own[0] < i <= limit and _lowers(ladder[i], i, service)]
    return lower[::-1]


def _lowers(rung: Rung, index: int, service: Service) -> bool:
    """Whether going to this rung gives the job less of something and more of nothing."""
    if index < service.rung or rung.steps > service.steps:
        return False
    if rung.guidance_share > service.guidance_share:
        return False
    if rung.variant != service.variant:
        return index > service.rung
    return rung.steps < service.steps or rung.guidance_share < service.guidance_share
