"""The few-step sampler of consistency models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from diffusers import LCMScheduler

from pipelines.plans import Plan, Stage
from pipelines.samplers.base import (
    NOISE_SCHEDULE,
    THRESHOLDING,
    Allowed,
    Sampler,
    clean_estimate,
    sigma_of,
)


class Lcm(Sampler):
    """Latent consistency models (Luo et al. 2023, arXiv:2310.04378): few steps, fixed levels."""

    name = "lcm"
    library = LCMScheduler
    fixed_schedule = True
    followed = NOISE_SCHEDULE | {
        "prediction_type",
        "original_inference_steps",
        "timestep_scaling",
        "clip_sample",
        "clip_sample_range",
    }
    only: ClassVar[Allowed] = {"thresholding": (False,)}
    # Its levels are the distilled ones, whatever the spacing, and its last step adds no noise.
    idle = THRESHOLDING | {"set_alpha_to_one", "steps_offset", "timestep_spacing"}

    @property
    def steps_max(self) -> int:
        """The levels that the model was distilled on."""
        return int(self._settings["original_inference_steps"])

    def _prepare(self, library: Any) -> None:
        if not 1 <= self.steps_max <= len(self._cumulative):
            raise ValueError(
                f"original_inference_steps must be between 1 and {len(self._cumulative)}, the "
                f"number of trained timesteps, not {self.steps_max}; correct it in the variant's "
                "scheduler_config.json."
            )

    def _whole_plan(self, library: Any, timesteps: Sequence[float]) -> Plan:
        times = [int(t) for t in timesteps]
        targets = [*times[1:], None]
        clips = self._settings["clip_sample"]
        return Plan(
            stages=tuple(self._stage(library, t, to) for t, to in zip(times, targets, strict=True)),
            initial_scale=1.0,
            final_sigma=0.0,
            clip=float(self._settings["clip_sample_range"]) if clips else math.inf,
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
