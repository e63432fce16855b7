"""Euler's method, and its ancestral form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from diffusers import EulerAncestralDiscreteScheduler, EulerDiscreteScheduler

from pipelines.plans import Stage
from pipelines.samplers.base import NOISE_SCHEDULE, SPACINGS, Allowed, clean_estimate
from pipelines.samplers.sigma import SigmaSampler


class Euler(SigmaSampler):
    """Euler steps on the probability-flow ODE (Karras et al. 2022, arXiv:2206.00364)."""

    name = "euler"
    library = EulerDiscreteScheduler
    followed = NOISE_SCHEDULE | {
        "prediction_type",
        "steps_offset",
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "sigma_min",
        "sigma_max",
    }
    only: ClassVar[Allowed] = {
        "timestep_spacing": SPACINGS,
        "timestep_type": ("discrete",),
        "interpolation_type": ("linear", "log_linear"),
        "final_sigmas_type": ("zero", "sigma_min"),
    }
    idle = frozenset()

    def _stages(self, timesteps: Sequence[float], sigmas: Sequence[float]) -> tuple[Stage, ...]:
        return tuple(self._stage(t, sigmas[i], sigmas[i + 1]) for i, t in enumerate(timesteps))

    def _stage(self, timestep: float, sigma: float, sigma_next: float) -> Stage:
        down, up = self._split(sigma, sigma_next)
        # Latents here are x = clean + sigma * noise: the other samplers' latents over sqrt(alpha).
        alpha = 1 / (1 + sigma**2)
        estimate_x, estimate_v = clean_estimate(alpha, self.prediction)
        ratio = down / sigma
        return Stage(
            timestep=timestep,
            sigma=sigma,
            estimate_x=estimate_x * math.sqrt(alpha),
            estimate_v=estimate_v,
            next_x=ratio,
            next_e=1 - ratio,
            next_noise=up,
            input_scale=math.sqrt(alpha),
        )

    def _split(self, sigma: float, sigma_next: float) -> tuple[float, float]:
        """The level to step down to, and the noise to add there."""
        return sigma_next, 0.0


class EulerAncestral(Euler):
    """Euler steps that overshoot and add fresh noise back (k-diffusion's ancestral sampling)."""

    name = "euler_ancestral"
    library = EulerAncestralDiscreteScheduler
    predictions = ("epsilon", "v_prediction")
    followed = NOISE_SCHEDULE | {"prediction_type", "steps_offset"}
    only: ClassVar[Allowed] = {"timestep_spacing": SPACINGS}

    def _split(self, sigma: float, sigma_next: float) -> tuple[float, float]:
        down = sigma_next**2 / sigma
        return down, math.sqrt(max(sigma_next**2 - down**2, 0.0))
