"""Samplers: how many noise levels a job visits, which ones, and the arithmetic between them.

The levels come from the diffusers class of the same name, made from the pipeline's own scheduler
config, so that a whole run equals the library's. The coefficients are the closed forms of those
classes' `step` methods (see `pipelines.plans` for what they multiply). Re-planning is ours: the
library fixes its levels at the start.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
)

from pipelines.plans import Plan, Stage

PREDICTIONS = ("epsilon", "v_prediction", "sample")
PLANS_KEPT = 256  # per sampler; a plan is a few kB and a ladder needs a handful


class Sampler(ABC):
    """Makes plans. Immutable after construction, so one instance serves every job of a variant."""

    name: str
    fixed_schedule = False
    """True for models distilled for a few fixed levels: such plans cannot be re-planned."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` is the scheduler config of the loaded pipeline, of whichever class.

        ValueError if it asks for something that this sampler does not do.
        """
        self._config = config
        self._library = self._new_library()
        own = self._library.config
        if own.prediction_type not in PREDICTIONS:
            raise ValueError(
                f"Sampler {self.name!r} handles models that predict {', '.join(PREDICTIONS)}, "
                f"not {own.prediction_type!r}."
            )
        if own.get("thresholding"):
            raise ValueError(
                f"Sampler {self.name!r} has no dynamic thresholding; set thresholding to false in "
                "the variant's scheduler_config.json."
            )
        self.prediction: str = own.prediction_type
        cumulative = self._library.alphas_cumprod.double().numpy()
        self._cumulative: npt.NDArray[np.float64] = cumulative
        self.plan = lru_cache(maxsize=PLANS_KEPT)(self._plan)

    @property
    def steps_max(self) -> int:
        """The longest plan that the model's training allows."""
        return int(self._library.config.num_train_timesteps)

    @abstractmethod
    def _new_library(self) -> Any:
        """A fresh diffusers scheduler with this sampler's settings."""

    @abstractmethod
    def _whole_plan(self, library: Any) -> Plan:
        """The plan that the library's schedule, with its timesteps set, stands for."""

    @abstractmethod
    def replan(self, plan: Plan, done: int, remaining: int) -> Plan:
        """The rest of `plan` after `done` stages, respaced to `remaining` stages.

        It starts at exactly the level reached and ends where `plan` ends. ValueError for a fixed
        schedule, or if `remaining` is not between 1 and the stages left.
        """

    def _plan(self, steps: int) -> Plan:
        """The plan of a whole run of `steps`; ValueError if the model has no such schedule."""
        if not 1 <= steps <= self.steps_max:
            raise ValueError(
                f"steps must be between 1 and {self.steps_max} with sampler {self.name!r}, got "
                f"{steps}."
            )
        library = self._new_library()
        library.set_timesteps(steps)
        return self._whole_plan(library)

    def _check_replan(self, plan: Plan, done: int, remaining: int) -> None:
        left = len(plan) - done
        if not 0 <= done < len(plan) or not 1 <= remaining <= left:
            raise ValueError(
                f"A plan of {len(plan)} steps with {done} done can be re-planned to between 1 and "
                f"{max(left, 0)} steps, not {remaining}."
            )


class Ddim(Sampler):
    """Denoising diffusion implicit models (Song et al. 2020, arXiv:2010.02502), eta 0."""

    name = "ddim"

    def _new_library(self) -> Any:
        # The class's default is to clip the estimate to [-1, 1], which is meant for pixels: a
        # config that never heard of clipping must not get it, for latents reach well beyond.
        settings = {} if "clip_sample" in self._config else {"clip_sample": False}
        return _from_config(DDIMScheduler, dict(self._config) | settings)

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
            final_sigma=_sigma(self._alpha(targets[-1])),
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
            sigma=_sigma(alpha),
            estimate_x=estimate_x,
            estimate_v=estimate_v,
            next_x=onward * noise_x,
            next_v=onward * noise_v,
            next_e=math.sqrt(alpha_next),
        )


class SigmaSampler(Sampler):
    """Samplers whose levels are sigmas; the timestep follows from the sigma."""

    whole_timesteps = False
    """True where the library only asks the model at whole timesteps."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__(config)
        table = np.sqrt((1 - self._cumulative) / self._cumulative)
        self._log_sigmas: npt.NDArray[np.float64] = np.log(table)

    @abstractmethod
    def _stages(self, timesteps: Sequence[float], sigmas: Sequence[float]) -> tuple[Stage, ...]:
        """Stages from sigmas[i] to sigmas[i + 1], the model asked at timesteps[i]."""

    def _whole_plan(self, library: Any) -> Plan:
        sigmas = [float(sigma) for sigma in library.sigmas]
        return Plan(
            stages=self._stages([float(t) for t in library.timesteps], sigmas),
            initial_scale=float(library.init_noise_sigma),
            final_sigma=sigmas[-1],
        )

    def replan(self, plan: Plan, done: int, remaining: int) -> Plan:
        self._check_replan(plan, done, remaining)
        sigmas_left = plan.sigmas[done:-1]
        # Exact times of the levels, not the plan's: those may be rounded, even to duplicates.
        indices = np.arange(len(self._log_sigmas), dtype=np.float64)
        times_left = np.interp(np.log(sigmas_left), self._log_sigmas, indices)
        times = respaced(times_left.tolist(), remaining)
        sigmas = np.exp(np.interp(times, indices, self._log_sigmas)).tolist()
        sigmas[0] = sigmas_left[0]
        timesteps = [math.floor(t + 0.5) if self.whole_timesteps else t for t in times]
        timesteps[0] = plan[done].timestep
        return Plan(
            stages=self._stages(timesteps, [*sigmas, plan.final_sigma]),
            initial_scale=plan.initial_scale,
            final_sigma=plan.final_sigma,
        )


class Euler(SigmaSampler):
    """Euler steps on the probability-flow ODE (Karras et al. 2022, arXiv:2206.00364)."""

    name = "euler"

    def _new_library(self) -> Any:
        library = _from_config(EulerDiscreteScheduler, self._config)
        if library.config.timestep_type != "discrete":
            raise ValueError("Sampler 'euler' needs timestep_type 'discrete' in the config.")
        return library

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

    def _new_library(self) -> Any:
        return _from_config(EulerAncestralDiscreteScheduler, self._config)

    def _split(self, sigma: float, sigma_next: float) -> tuple[float, float]:
        up = math.sqrt(sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2)
        return math.sqrt(sigma_next**2 - up**2), up


class DpmSolver(SigmaSampler):
    """DPM-Solver++ multistep of second order (Lu et al. 2022, arXiv:2211.01095).

    A re-planned rest starts with a step of first order: the estimate before it belongs to another
    spacing.
    """

    name = "dpmpp_2m"
    whole_timesteps = True

    def _new_library(self) -> Any:
        library = _from_config(DPMSolverMultistepScheduler, self._config)
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


class Lcm(Sampler):
    """Latent consistency models (Luo et al. 2023, arXiv:2310.04378): few steps, fixed levels."""

    name = "lcm"
    fixed_schedule = True

    def _new_library(self) -> Any:
        return _from_config(LCMScheduler, self._config)

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
            sigma=_sigma(alpha),
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


_KINDS: tuple[type[Sampler], ...] = (Ddim, Euler, EulerAncestral, DpmSolver, Lcm)
SAMPLERS: Mapping[str, type[Sampler]] = {kind.name: kind for kind in _KINDS}
NAME_OF_LIBRARY_CLASS: Mapping[str, str] = {
    "DDIMScheduler": Ddim.name,
    "EulerDiscreteScheduler": Euler.name,
    "EulerAncestralDiscreteScheduler": EulerAncestral.name,
    "DPMSolverMultistepScheduler": DpmSolver.name,
    "LCMScheduler": Lcm.name,
}


def make_sampler(name: str, config: Mapping[str, Any]) -> Sampler:
    """The sampler called `name` with a pipeline's scheduler config; ValueError if unknown."""
    if name not in SAMPLERS:
        raise ValueError(f"Sampler {name!r} is unknown; use one of {', '.join(SAMPLERS)}.")
    return SAMPLERS[name](config)


def respaced(times: Sequence[float], remaining: int) -> list[float]:
    """`remaining` times spread over the same course as `times`, starting at the first of them.

    The course is read at equal shares of its steps, so whatever spacing the sampler chose (even,
    Karras, ...) keeps its shape. Both lists leave the last level, zero, to the caller.
    """
    positions = np.arange(remaining) * (len(times) / remaining)
    return [float(t) for t in np.interp(positions, np.arange(len(times)), times)]


def clean_estimate(alpha: float, prediction: str) -> tuple[float, float]:
    """Coefficients (on x, on the model's output) of the clean estimate.

    `alpha` is the cumulative alpha of x = sqrt(alpha) clean + sqrt(1 - alpha) noise. The model
    predicts the noise (epsilon), v = sqrt(alpha) noise - sqrt(1 - alpha) clean, or the clean
    latents (sample).
    """
    root, rest = math.sqrt(alpha), math.sqrt(1 - alpha)
    if prediction == "v_prediction":
        return root, -rest
    if prediction == "sample":
        return 0.0, 1.0
    if root == 0:
        raise ValueError(
            "A model that predicts noise cannot start from pure noise (zero terminal signal); set "
            "rescale_betas_zero_snr to false."
        )
    return 1 / root, -rest / root


def _from_config(library: Any, config: Mapping[str, Any]) -> Any:
    """A diffusers scheduler; its classes are untyped, hence the Any."""
    return library.from_config(dict(config))


def _sigma(alpha: float) -> float:
    return math.inf if alpha == 0 else math.sqrt((1 - alpha) / alpha)
