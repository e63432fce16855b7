"""DPM-Solver++, a multistep solver."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from diffusers import DPMSolverMultistepScheduler

from pipelines.plans import Stage
from pipelines.samplers.base import NOISE_SCHEDULE, SPACINGS, THRESHOLDING, Allowed, clean_estimate
from pipelines.samplers.sigma import SigmaSampler

FEW_STEPS = 15  # below this many, lower_order_final ends with a step of first order

_VARIANCES = (None, "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log")


class DpmSolver(SigmaSampler):
    """DPM-Solver++ multistep of second order (Lu et al. 2022, arXiv:2211.01095).

    A re-planned rest starts with a step of first order: the estimate before it belongs to another
    spacing.
    """

    name = "dpmpp_2m"
    library = DPMSolverMultistepScheduler
    whole_timesteps = True
    followed = NOISE_SCHEDULE | {
        "prediction_type",
        "steps_offset",
        "lower_order_final",
        "euler_at_final",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "use_lu_lambdas",
        "lambda_min_clipped",
    }
    only: ClassVar[Allowed] = {
        "timestep_spacing": SPACINGS,
        "algorithm_type": ("dpmsolver++",),
        "solver_order": (1, 2),
        "solver_type": ("midpoint", "heun"),
        "thresholding": (False,),
        "use_flow_sigmas": (False,),
        "use_dynamic_shifting": (False,),
        "variance_type": _VARIANCES,  # a learned variance makes the model's output wider
        "final_sigmas_type": ("zero", "sigma_min"),
    }
    aliases: ClassVar[Allowed] = {
        "algorithm_type": ("deis",),
        "solver_type": ("logrho", "bh1", "bh2"),
    }
    idle = THRESHOLDING | {"flow_shift", "time_shift_type"}

    def _refuse_combinations(self, config: Mapping[str, Any]) -> None:
        spacings = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
        if config["use_lu_lambdas"] and any(config[key] for key in spacings):
            raise ValueError(
                "use_lu_lambdas excludes the sigmas of Karras, exponential and beta spacing; set "
                "all but one to false in the variant's scheduler_config.json."
            )

    def _stages(self, timesteps: Sequence[float], sigmas: Sequence[float]) -> tuple[Stage, ...]:
        return tuple(self._stage(timesteps, sigmas, i) for i in range(len(timesteps)))

    def _stage(self, timesteps: Sequence[float], sigmas: Sequence[float], i: int) -> Stage:
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        alpha, alpha_next = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
        estimate_x, estimate_v = clean_estimate(alpha, self.prediction)
        shrink = sigma_next / sigma  # exp(-h), h the step in log signal-to-noise ratio
        gain = math.sqrt(alpha_next) * (1 - shrink)
        bend = 0.0
        if not self._first_order(sigmas, i):
            step = math.log(sigma / sigma_next)
            step_before = math.log(sigmas[i - 1] / sigma)
            heun = self._settings["solver_type"] == "heun"
            curvature = math.sqrt(alpha_next) - gain / step if heun else gain / 2
            bend = curvature * step / step_before
        return Stage(
            timestep=timesteps[i],
            sigma=sigma,
            estimate_x=estimate_x,
            estimate_v=estimate_v,
            next_x=shrink * math.sqrt(alpha_next / alpha),
            next_e=gain + bend,
            next_before=-bend,
        )

    def _first_order(self, sigmas: Sequence[float], i: int) -> bool:
        if i == 0 or self._settings["solver_order"] == 1 or sigmas[i + 1] == 0:
            return True
        if sigmas[i - 1] == sigmas[i] or sigmas[i] == sigmas[i + 1]:
            return True  # a step of no length has no slope
        steps = len(sigmas) - 1
        few = self._settings["lower_order_final"] and steps < FEW_STEPS
        return i == steps - 1 and (self._settings["euler_at_final"] or few)
