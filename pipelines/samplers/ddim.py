"""DDIM, which steps between whole training times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from diffusers import DDIMScheduler

from pipelines.plans import Plan, Stage
from pipelines.samplers.base import Sampler, clean_estimate, from_config, respaced, sigma_of


class Ddim(Sampler):
    """Denoising diffusion implicit models (Song et al. 2020, arXiv:2010.02502), eta 0."""

    name = "ddim"

    def _new_library(self) -> Any:
        # The class's default is to clip the estimate to [-1, 1], which is meant for pixels: a
        # config that never heard of clipping must not get it, for latents reach well beyond.
        settings = {} if "clip_sample" in self._config else {"clip_sample": False}
        return from_config(DDIMScheduler, dict(self._config) | settings)

    def _whole_plan(self, library: Any) -> Plan:
        timesteps = [int(t) for t in library.timesteps]
        # The library steps to t - T // n, which is not always the next timestep it visits.
        stride = int(library.config.num_train_timesteps) // len(timesteps)
        return self._between(timesteps, [t - stride for t in timesteps])

    def replan(self, plan: Plan, done: int, remaining: int) -> Plan:
        self._check_replan(plan, done, remaining)
        timesteps = [math.floor(t + 0.5) for t in respaced(plan.timesteps[done:], remaining)]
        return self._between(timesteps, [*timesteps[1:], -1])

    def _alpha(self, timestep: int) -> float:
        if timestep < 0:
            return float(self._library.final_alpha_cumprod)
        return float(self._cumulative[timestep])

    def _between(self, timesteps: Sequence[int], targets: Sequence[int]) -> Plan:
        stages = tuple(self._stage(t, to) for t, to in zip(timesteps, targets, strict=True))
        config = self._library.config
        return Plan(
            stages=stages,
            initial_scale=float(self._library.init_noise_sigma),
            final_sigma=sigma_of(self._alpha(targets[-1])),
            clip=float(config.clip_sample_range) if config.clip_sample else math.inf,
        )

    def _stage(self, timestep: int, target: int) -> Stage:
        alpha, alpha_next = self._alpha(timestep), self._alpha(target)
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
