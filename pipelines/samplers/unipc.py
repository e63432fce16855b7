"""UniPC, a multistep predictor with a corrector that costs no further call of the model."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from diffusers import UniPCMultistepScheduler

from pipelines.plans import Plan, Stage
from pipelines.samplers.base import NOISE_SCHEDULE, SPACINGS, THRESHOLDING, Allowed, clean_estimate
from pipelines.samplers.sigma import SigmaSampler

_NO_CORRECTION = {
    "correct_x": 1.0,
    "correct_last": 0.0,
    "correct_e": 0.0,
    "correct_before": 0.0,
    "correct_earlier": 0.0,
}
_SERIES_BELOW = 1.0  # where the recursion of phi would cancel
_SERIES_TERMS = 18  # enough for double precision there


class UniPc(SigmaSampler):
    """UniPC of order 1 or 2 (Zhao et al. 2023, arXiv:2302.04867), on clean estimates.

    With h the step in log signal-to-noise ratio, k the step before it and e, e', e'' the estimates,
    the predictor of second order extrapolates the slope (e - e') / k over half of B(h), and the
    corrector of the next stage replaces what was predicted by a fit through e'', e' and the new e.
    B(h) is 1 - exp(-h) (bh2) or h (bh1); it cancels in the corrector of second order.

    A re-planned rest starts with a step of first order and no corrector: the estimates before it
    belong to another spacing.
    """

    name = "unipc"
    library = UniPCMultistepScheduler
    whole_timesteps = True
    followed = NOISE_SCHEDULE | {
        "prediction_type",
        "steps_offset",
        "lower_order_final",
        "disable_corrector",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "sigma_min",
        "sigma_max",
    }
    only: ClassVar[Allowed] = {
        "timestep_spacing": SPACINGS,
        "solver_order": (1, 2),
        "solver_type": ("bh1", "bh2"),
        "solver_p": (None,),
        "predict_x0": (True,),
        "thresholding": (False,),
        "use_flow_sigmas": (False,),
        "use_dynamic_shifting": (False,),
        "shift_terminal": (None,),
        "final_sigmas_type": ("zero", "sigma_min"),
    }
    aliases: ClassVar[Allowed] = {"solver_type": ("midpoint", "heun", "logrho")}
    idle = THRESHOLDING | {"flow_shift", "time_shift_type"}

    def _refuse_combinations(self, config: Mapping[str, Any]) -> None:
        if config["final_sigmas_type"] != "zero":
            return
        if config["solver_type"] == "bh1":
            wrong, change = "solver_type 'bh1'", "solver_type to 'bh2'"
        elif config["solver_order"] > 1 and not config["lower_order_final"]:
            wrong, change = "lower_order_final false", "lower_order_final to true"
        else:
            return
        raise ValueError(
            f"Sampler {self.name!r} has no finite last step to sigma zero with {wrong}; set "
            f"{change}, or final_sigmas_type to 'sigma_min', in the variant's "
            "scheduler_config.json."
        )

    def _whole_plan(self, library: Any, timesteps: Sequence[float]) -> Plan:
        plan = super()._whole_plan(library, timesteps)
        # The library counts the step that is corrected, not the stage that corrects it.
        return _uncorrected(plan, {step + 1 for step in self._settings["disable_corrector"]})

    def replan(self, plan: Plan, done: int, remaining: int) -> Plan:
        rest = super().replan(plan, done, remaining)
        stride = (len(plan) - done) / remaining
        stages_there = [plan[done + math.floor(i * stride)] for i in range(remaining)]
        # Where the plan had no corrector its rest has none.
        return _uncorrected(rest, {i for i, s in enumerate(stages_there) if s.correct_last == 0})

    def _stages(self, timesteps: Sequence[float], sigmas: Sequence[float]) -> tuple[Stage, ...]:
        orders = self._orders(sigmas)
        stages = []
        for i, timestep in enumerate(timesteps):
            estimate_x, estimate_v = clean_estimate(_alpha(sigmas[i]), self.prediction)
            correction = self._corrector(sigmas, i, orders[i - 1]) if i else {}
            stages.append(
                Stage(
                    timestep=timestep,
                    sigma=sigmas[i],
                    estimate_x=estimate_x,
                    estimate_v=estimate_v,
                    **self._predictor(sigmas, i, orders[i]),
                    **correction,
                )
            )
        return tuple(stages)

    def _orders(self, sigmas: Sequence[float]) -> list[int]:
        """The order of each step's predictor, which is also its later corrector's."""
        steps = len(sigmas) - 1
        orders = []
        for i in range(steps):
            order = min(self._settings["solver_order"], i + 1)
            if self._settings["lower_order_final"]:
                order = min(order, steps - i)
            # Neither a step to zero nor one after a step of no length has a slope to follow.
            if sigmas[i + 1] == 0 or (i and sigmas[i - 1] == sigmas[i]):
                order = 1
            orders.append(order)
        return orders

    def _reach(self, shrink: float) -> float:
        """B(h), from exp(-h)."""
        return 1 - shrink if self._settings["solver_type"] == "bh2" else -math.log(shrink)

    def _predictor(self, sigmas: Sequence[float], i: int, order: int) -> dict[str, float]:
        """Coefficients of the step from sigmas[i] to sigmas[i + 1]."""
        root, root_next = math.sqrt(_alpha(sigmas[i])), math.sqrt(_alpha(sigmas[i + 1]))
        shrink = sigmas[i + 1] / sigmas[i]  # exp(-h)
        bend = 0.0
        if order == 2:
            step_ratio = math.log(shrink) / math.log(sigmas[i] / sigmas[i - 1])
            bend = root_next * self._reach(shrink) * step_ratio / 2
        return {
            "next_x": shrink * root_next / root,
            "next_e": root_next * (1 - shrink) + bend,
            "next_before": -bend,
        }

    def _corrector(self, sigmas: Sequence[float], i: int, order: int) -> dict[str, float]:
        """Coefficients that step again from sigmas[i - 1] to sigmas[i], now knowing e there."""
        root, root_before = math.sqrt(_alpha(sigmas[i])), math.sqrt(_alpha(sigmas[i - 1]))
        shrink = sigmas[i] / sigmas[i - 1]  # exp(-h)
        again = {"correct_x": 0.0, "correct_last": shrink * root / root_before}
        gain = root * (1 - shrink)
        if order == 1:
            half = root * self._reach(shrink) / 2
            return again | {"correct_e": half, "correct_before": gain - half}
        step = -math.log(shrink)
        step_before = math.log(sigmas[i - 2] / sigmas[i - 1])
        # The library solves rho_1 + rho_2 = b_1, r rho_1 + rho_2 = b_2 with r = -step_before / step
        # for the weights of the slopes through e'' and e; these are b_1 B and b_2 B.
        first, second = -step * phi(2, -step), -2 * step * phi(3, -step)
        through_earlier = (first - second) * step / (step + step_before)
        through_new = first - through_earlier
        slope = through_earlier * step / step_before
        return again | {
            "correct_e": -root * through_new,
            "correct_before": gain + root * (through_new - slope),
            "correct_earlier": root * slope,
        }


def phi(order: int, u: float) -> float:
    """The exponential integrators' functions: the sum over j >= 0 of u^j / (j + order)!."""
    if abs(u) < _SERIES_BELOW:
        return sum(u**j / math.factorial(j + order) for j in range(_SERIES_TERMS))
    if order == 0:
        return math.exp(u)
    return (phi(order - 1, u) - 1 / math.factorial(order - 1)) / u


def _alpha(sigma: float) -> float:
    return 1 / (1 + sigma**2)


def _uncorrected(plan: Plan, indices: Collection[int]) -> Plan:
    """The plan with the corrector left out at some stages."""
    stages = tuple(
        replace(stage, **_NO_CORRECTION) if i in indices else stage
        for i, stage in enumerate(plan.stages)
    )
    return replace(plan, stages=stages)
