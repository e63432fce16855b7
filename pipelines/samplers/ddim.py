"""DDIM, which steps between whole training times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from diffusers import DDIMScheduler

from pipelines.plans import Plan, Stage
from pipelines.samplers.base import (
    NOISE_SCHEDULE,
    SPACINGS,
    THRESHOLDING,
    Allowed,
    Sampler,
    clean_estimate,
    respaced,
    rounded,
    sigma_of,
)


class Ddim(Sampler):
    """Denoising diffusion implicit models (Song et al. 2020, arXiv:2010.02502), eta 0."""

    name = "ddim"
    library = DDIMScheduler
    followed = NOISE_SCHEDULE | {
        "prediction_type",
        "steps_offset",
        "set_alpha_to_one",
        "clip_sample",
        "clip_sample_range",
    }
    only: ClassVar[Allowed] = {"timestep_spacing": SPACINGS, "thresholding": (False,)}
    idle = THRESHOLDING

    def _overrides(self) -> Mapping[str, Any]:
        # The class's default is to clip the estimate to [-1, 1], which is meant for pixels: a
        # config that never heard of clipping must not get it, for latents reach well beyond.
        return {"clip_sample": self._config.get("clip_sample", False)}

    def _whole_plan(self, library: Any, timesteps: Sequence[float]) -> Plan:
        times = [int(t) for t in timesteps]
        if max(times) >= len(self._cumulative):
            raise self._no_schedule(len(times))
        # The library steps to t - T // n, which is not always the next timestep it visits.
        stride = len(self._cumulative) // len(times)
        alphas = [self._alpha(t - stride) for t in times]
        return self._between(times, alphas, sigma_of(alphas[-1]))

    def replan(self, plan: Plan, done: int, remaining: int) -> Plan:
        self._check_replan(plan, done, remaining)
        times = [int(rounded(t)) for t in respaced(plan.timesteps[done:], remaining)]
        last = 1 / (1 + plan.final_sigma**2)
        alphas = [*(self._alpha(t) for t in times[1:]), last]
        return self._between(times, alphas, plan.final_sigma)

    def _alpha(self, timestep: int) -> float:
        if timestep >= 0:
            return float(self._cumulative[timestep])
        return 1.0 if self._settings["set_alpha_to_one"] else float(self._cumulative[0])

    def _between(
        self, timesteps: Sequence[int], alphas: Sequence[float], final_sigma: float
    ) -> Plan:
        """Stages at timesteps[i] that step to the cumulative alpha alphas[i]."""
        clips = self._settings["clip_sample"]
        return Plan(
            stages=tuple(self._stage(t, to) for t, to in zip(timesteps, alphas, strict=True)),
            initial_scale=1.0,
            final_sigma=final_sigma,
            clip=float(self._settings["clip_sample_range"]) if clips else math.inf,
        )

    def _stage(self, timestep: int, alpha_next: float) -> Stage:
        alpha = self._alpha(timestep)
        estimate_x, estimate_v = clean_estimate(alpha, self.prediction)
        # The noise direction is taken from the model's output, before any clipping.
        root, rest = math.sqrt(alpha), math.sqrt(1 - alpha)
        noise_x, noise_v = {
            "epsilon": (0.0, 1.0),
            "v_prediction": (rest, root),
            "sample": (1 / rest, -root / rest),
        }[self.prediction]
        onward = math.sqrt(1 - alpha_next)
        return Stage(
            timestep=float(timestep),
            sigma=sigma_of(alpha),
            estimate_x=estimate_x,
            estimate_v=estimate_v,
            next_x=onward * noise_x,
            next_v=onward * noise_v,
            next_e=math.sqrt(alpha_next),
        )
