"""The few-step sampler of consistency models."""

from __future__ import annotations

import math
from typing import Any

from diffusers import LCMScheduler

from pipelines.plans import Plan, Stage
from pipelines.samplers.base import Sampler, clean_estimate, from_config, sigma_of


class Lcm(Sampler):
    """Latent consistency models (Luo et al. 2023, arXiv:2310.04378): few steps, fixed levels."""

    name = "lcm"
    fixed_schedule = True

    def _new_library(self) -> Any:
        return from_config(LCMScheduler, self._config)

    @property
    def steps_max(self) -> int:
        """The levels that the model was distilled on."""
        return int(self._library.config.original_inference_steps)

    def _whole_plan(self, library: Any) -> Plan:
        timesteps = [int(t) for t in library.timesteps]
        targets = [*timesteps[1:], None]
        config = library.config
        return Plan(
            stages=tuple(
                self._stage(library, t, to) for t, to in zip(timesteps, targets, strict=True)
            ),
            initial_scale=float(library.init_noise_sigma),
            final_sigma=0.0,
            clip=float(config.clip_sample_range) if config.clip_sample else math.inf,
        )

    def _stage(self, library: Any, timestep: int, target: int | None) -> Stage:
        alpha = float(self._cumulative[timestep])
        estimate_x, estimate_v = clean_estimate(alpha, self.prediction)
        skip, out = library.get_scalings_for_boundary_condition_discrete(timestep)
        alpha_next = 1.0 if target is None else float(self._cumulative[target])
        return Stage(
            timestep=float(timestep),
            sigma=sigma_of(alpha),
            estimate_x=estimate_x,
            estimate_v=estimate_v,
            next_x=math.sqrt(alpha_next) * float(skip),
            next_e=math.sqrt(alpha_next) * float(out),
            next_noise=math.sqrt(1 - alpha_next),
        )

    def replan(self, plan: Plan, done: int, remaining: int) -> Plan:
        raise ValueError(
            "A distilled few-step variant has a fixed schedule and cannot be re-planned; mark its "
            "rungs as not replannable."
        )
