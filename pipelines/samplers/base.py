"""What every sampler has: a config held against its library class, and plans made from it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.plans import Plan

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


def from_config(library: Any, config: Mapping[str, Any]) -> Any:
    """A diffusers scheduler; its classes are untyped, hence the Any."""
    return library.from_config(dict(config))


def sigma_of(alpha: float) -> float:
    return math.inf if alpha == 0 else math.sqrt((1 - alpha) / alpha)
