"""What the samplers share whose levels are sigmas."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.plans import Plan, Stage
from pipelines.samplers.base import Sampler, respaced


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
