"""The settings compared: fixed steps, samplers, guidance cut-off and every early exit.

Plain data without torch. A setting says what the engine is asked to do; what a picture really got
comes from its facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Strategy = Literal["steps", "sampler", "guidance", "replan", "finish", "hand_over", "converge"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

FULL_STEPS = 25
_STEPS = (25, 20, 15, 12, 10, 8, 6, 5, 4)
_FEW_STEPS = (4, 3, 2, 1)
_SAMPLERS = ("ddim", "euler", "unipc")
_SAMPLER_STEPS = (10, 6)
_GUIDANCE_SHARES = (0.2, 0.4, 0.6, 0.8)
_PACES = (15, 10, 6)
_EXIT_SHARES = (0.2, 0.4, 0.6, 0.8)
_FINISH_SHARES = {25: (0.4, 0.6, 0.8, 0.92), 15: (0.4, 0.6, 0.8)}
_LOSS_BUDGETS = (0.03, 0.05, 0.1, 0.15)
_CHEAP_GUIDED = ((15, 0.4), (10, 0.4), (8, 0.5), (6, 0.5), (4, 0.5))


@dataclass(frozen=True, slots=True)
class Hosted:
    """What the choice of settings has to know of a variant: the most steps it can run."""

    name: str
    steps_max: int
    fixed_schedule: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to make every picture of the study.

    The run starts as `steps` of `variant`, guided for the first `guidance_share` of the steps, with
    `sampler` (None: the variant's own). After `exit_after` steps a lower rung is announced: what
    happens then is the strategy's, going to `to_variant` at the pace of `to_steps`. "converge"
    tunes its threshold to `loss_budget`.
    """

    strategy: Strategy
    variant: str
    steps: int
    sampler: str | None = None
    guidance_share: float = 1.0
    exit_after: int | None = None
    to_variant: str | None = None
    to_steps: int | None = None
    loss_budget: float | None = None

    @property
    def name(self) -> str:
        """Short and unique, as the table shows it."""
        start = f"{self.variant}@{self.steps}"
        if self.strategy == "sampler":
            return f"{start} {self.sampler}"
        if self.strategy == "guidance":
            return f"{start} guided {self.guidance_share:.0%}"
        if self.strategy == "converge":
            return f"{start} until standing still, budget {self.loss_budget:.0%}"
        if self.strategy == "finish":
            return f"{start} finished after {self.exit_after}"
        if self.strategy in ("replan", "hand_over"):
            return f"{start}, after {self.exit_after} {self.to_variant}@{self.to_steps}"
        return start

    @property
    def is_rung(self) -> bool:
        """Whether a ladder can name it: a variant, its steps, its own sampler and a guidance share."""
        return self.strategy in ("steps", "guidance")


def all_settings(hosted: Sequence[Hosted]) -> tuple[Setting, ...]:
    """Every setting for these variants; the first is the reference that all others are held against.

    The first variant that can be re-planned is the full one, the next such one takes its latents
    over. ValueError if no variant can be re-planned.
    """
    free = [one.name for one in hosted if not one.fixed_schedule]
    if not free:
        raise ValueError(
            "All variants have a fixed schedule; name the full one too, which the others are held"
            " against."
        )
    full = free[0]
    settings = [Setting("steps", name, steps) for name in free for steps in _STEPS]
    for one in hosted:
        if one.fixed_schedule:
            few = [steps for steps in _FEW_STEPS if steps <= one.steps_max]
            settings += [Setting("steps", one.name, steps) for steps in few]
    settings += [
        Setting("sampler", full, steps, sampler=sampler)
        for sampler in _SAMPLERS
        for steps in _SAMPLER_STEPS
    ]
    settings += _early(full)
    for cheap in free[1:]:
        settings += [_hand_over(full, cheap, after, pace) for after, pace in _hand_overs()]
    return tuple(settings)


def _early(full: str) -> list[Setting]:
    guided = [(FULL_STEPS, share) for share in _GUIDANCE_SHARES] + list(_CHEAP_GUIDED)
    return [
        *(Setting("guidance", full, steps, guidance_share=share) for steps, share in guided),
        *(
            Setting(
                "replan", full, FULL_STEPS, exit_after=after, to_variant=full, to_steps=to_steps
            )
            for to_steps in _PACES
            for after in _boundaries(FULL_STEPS, _EXIT_SHARES)
        ),
        *(
            Setting("finish", full, steps, exit_after=after)
            for steps, shares in _FINISH_SHARES.items()
            for after in _boundaries(steps, shares)
        ),
        *(Setting("converge", full, FULL_STEPS, loss_budget=budget) for budget in _LOSS_BUDGETS),
    ]


def _hand_overs() -> list[tuple[int, int]]:
    """(steps before, pace after): at the same pace at several points, and at a lower one."""
    same = [(after, FULL_STEPS) for after in _boundaries(FULL_STEPS, _EXIT_SHARES)]
    return same + [(after, 10) for after in _boundaries(FULL_STEPS, (0.2, 0.4))]


def _hand_over(full: str, cheap: str, after: int, pace: int) -> Setting:
    return Setting("hand_over", full, FULL_STEPS, exit_after=after, to_variant=cheap, to_steps=pace)


def _boundaries(steps: int, shares: Sequence[float]) -> list[int]:
    """The step boundaries nearest to these shares of a run."""
    return [round(steps * share) for share in shares]
