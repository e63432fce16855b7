"""What the samplers share whose levels are sigmas."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from pipelines.plans import Plan, Stage
from pipelines.samplers.base import Sampler, respaced, rounded


class SigmaSampler(Sampler):
    """Samplers whose levels are sigmas; the timestep follows from the sigma."""

    whole_timesteps: ClassVar[bool] = False
    """True where the library only asks the model at whole timesteps."""

    def _prepare(self, library: Any) -> None:
        if self._cumulative.min() == 0:
            raise ValueError(
                f"Sampler {self.name!r} needs some signal left at every level; correct "
                "trained_betas in the variant's scheduler_config.json."
            )
        log_sigmas = np.log((1 - self._cumulative) / self._cumulative) / 2
        # Rescaled to zero terminal signal, the library's last level may lie below the one before.
        self._log_sigmas: npt.NDArray[np.float64] = np.maximum.accumulate(log_sigmas)

    @abstractmethod
    def _stages(self, timesteps: Sequence[float], sigmas: Sequence[float]) -> tuple[Stage, ...]:
        """Stages from sigmas[i] to sigmas[i + 1], the model asked at timesteps[i].

        The last sigma may be zero. Two neighbours may be equal where whole timesteps ran out.
        """

    def _whole_plan(self, library: Any, timesteps: Sequence[float]) -> Plan:
        sigmas = [float(sigma) for sigma in library.sigmas]
        visited, final_sigma = sigmas[: len(timesteps)], sigmas[len(library.timesteps)]
        if len(visited) > 1 and visited[0] <= visited[-1]:
            raise self._no_schedule(len(visited))
        return Plan(
            stages=self._stages(timesteps, [*visited, final_sigma]),
            initial_scale=float(library.init_noise_sigma),
            final_sigma=final_sigma,
        )

    def replan(self, plan: Plan, done: int, remaining: int) -> Plan:
        self._check_replan(plan, done, remaining)
        sigmas = self._respaced_sigmas(plan.sigmas[done:-1], remaining)
        # The plan's own times, for its settings may ask the model at others than the levels'.
        timesteps = respaced(plan.timesteps[done:], remaining)
        if self.whole_timesteps:
            timesteps = [rounded(t) for t in timesteps]
        return Plan(
            stages=self._stages(timesteps, [*sigmas, plan.final_sigma]),
            initial_scale=plan.initial_scale,
            final_sigma=plan.final_sigma,
        )

    def _respaced_sigmas(self, sigmas: Sequence[float], remaining: int) -> list[float]:
        """`remaining` levels over the course of `sigmas`, spaced as those are in training time."""
        indices = np.arange(len(self._log_sigmas), dtype=np.float64)
        logs = np.log(sigmas)
        times = np.interp(logs, self._log_sigmas, indices)
        # Levels outside the trained ones (sigma_max, sigma_min) share their time: the difference
        # goes along, so that the levels between them fall too.
        beyond = logs - np.interp(times, indices, self._log_sigmas)
        inside = np.interp(respaced(times.tolist(), remaining), indices, self._log_sigmas)
        levels = np.exp(inside + respaced(beyond.tolist(), remaining)).tolist()
        return [sigmas[0], *levels[1:]]
