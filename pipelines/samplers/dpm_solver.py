"""DPM-Solver++, a multistep solver."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from diffusers import DPMSolverMultistepScheduler

from pipelines.plans import Stage
from pipelines.samplers.base import clean_estimate, from_config
from pipelines.samplers.sigma import SigmaSampler


class DpmSolver(SigmaSampler):
    """DPM-Solver++ multistep of second order (Lu et al. 2022, arXiv:2211.01095).

    A re-planned rest starts with a step of first order: the estimate before it belongs to another
    spacing.
    """

    name = "dpmpp_2m"
    whole_timesteps = True

    def _new_library(self) -> Any:
        library = from_config(DPMSolverMultistepScheduler, self._config)
        config = library.config
        wrong = [
            f"{key} {config[key]!r}"
            for key, fine in (("algorithm_type", ("dpmsolver++",)), ("solver_order", (1, 2)))
            if config[key] not in fine
        ]
        if wrong or config.use_flow_sigmas:
            what = " and ".join(wrong) or "flow sigmas"
            raise ValueError(
                f"Sampler 'dpmpp_2m' is DPM-Solver++ of order 1 or 2; the config asks for {what}."
            )
        return library

    def _stages(self, timesteps: Sequence[float], sigmas: Sequence[float]) -> tuple[Stage, ...]:
        return tuple(self._stage(timesteps, sigmas, i) for i in range(len(timesteps)))

    def _stage(self, timesteps: Sequence[float], sigmas: Sequence[float], i: int) -> Stage:
        sigma, sigma_next = sigmas[i], sigmas[i + 1]
        alpha, alpha_next = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
        estimate_x, estimate_v = clean_estimate(alpha, self.prediction)
        shrink = sigma_next / sigma  # exp(-h), h the step in log signal-to-noise ratio
        gain = math.sqrt(alpha_next) * (1 - shrink)
        bend = 0.0
        if not self._first_order(i, len(timesteps)):
            step = math.log(sigma / sigma_next)
            step_before = math.log(sigmas[i - 1] / sigma)
            if self._library.config.solver_type == "heun":
                curvature = math.sqrt(alpha_next) * (1 - (1 - shrink) / step)
            else:
                curvature = gain / 2
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

    def _first_order(self, i: int, steps: int) -> bool:
        config = self._library.config
        if i == 0 or config.solver_order == 1:
            return True
        careful_end = (
            config.final_sigmas_type == "zero"
            or config.euler_at_final
            or (config.lower_order_final and steps < 15)
        )
        return i == steps - 1 and careful_end
