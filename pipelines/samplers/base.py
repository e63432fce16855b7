"""What every sampler has: a config held against the library's class, and plans made from it."""

from __future__ import annotations

import inspect
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, ClassVar

import diffusers
import numpy as np
import numpy.typing as npt
from diffusers.schedulers import KarrasDiffusionSchedulers

from pipelines.plans import Plan

PREDICTIONS = ("epsilon", "v_prediction", "sample")
SPACINGS = ("linspace", "leading", "trailing")
PLANS_KEPT = 256  # per sampler; a plan is a few kB and a ladder needs a handful
TRIAL_STEPS = 10  # a first plan of this length shows at start what a config cannot do

NOISE_SCHEDULE = frozenset(
    (
        "num_train_timesteps",
        "beta_start",
        "beta_end",
        "beta_schedule",
        "trained_betas",
        "rescale_betas_zero_snr",
    )
)
"""The settings from which every class computes the cumulative alphas."""

THRESHOLDING = frozenset(("dynamic_thresholding_ratio", "sample_max_value"))
"""Settings that matter only with dynamic thresholding, which no sampler here does."""

Allowed = Mapping[str, tuple[Any, ...]]
"""Settings, and the values at which they are followed."""

_SAID = {"thresholding": "dynamic thresholding", "use_flow_sigmas": "flow sigmas"}
_FILE = "the variant's scheduler_config.json"


class Sampler(ABC):
    """Makes plans. Immutable after construction, so one instance serves every job of a variant.

    Every setting of the library's class is in exactly one of `followed`, `only` and `idle`: what a
    sampler cannot follow it refuses. Settings of other classes are dropped, as the library does
    when it makes one class from another's config.
    """

    name: ClassVar[str]
    library: ClassVar[Any]
    """The diffusers class whose runs a plan equals."""

    predictions: ClassVar[Sequence[str]] = PREDICTIONS
    fixed_schedule: ClassVar[bool] = False
    """True for models distilled for a few fixed levels: such plans cannot be re-planned."""

    followed: ClassVar[frozenset[str]]
    """Settings followed at every value that the library's class takes."""

    only: ClassVar[Allowed]
    """Settings followed at these values only."""

    aliases: ClassVar[Allowed] = {}
    """Values, of its relatives, that the library's class takes for one of its own in `only`."""

    idle: ClassVar[frozenset[str]]
    """Settings that the library's class itself never acts on, or not without one refused here."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` is the scheduler config of the loaded pipeline, of whichever class.

        ValueError, in one sentence, if it asks for something that this sampler does not do.
        """
        self._config = dict(config)
        self._refuse_unknown_settings()
        self._refuse_values()
        library = self._new_library()
        self._refuse_combinations(library.config)
        self.prediction: str = library.config.prediction_type
        self._settings: Mapping[str, Any] = library.config
        self._cumulative: npt.NDArray[np.float64] = library.alphas_cumprod.double().numpy()
        self._check_schedule()
        self.plan = lru_cache(maxsize=PLANS_KEPT)(self._plan)
        self._prepare(library)
        self.plan(min(TRIAL_STEPS, self.steps_max))

    @property
    def steps_max(self) -> int:
        """The longest plan that the model's training allows."""
        return int(self._settings["num_train_timesteps"])

    @abstractmethod
    def _whole_plan(self, library: Any, timesteps: Sequence[float]) -> Plan:
        """The plan that the library's schedule, with its timesteps set, stands for."""

    @abstractmethod
    def replan(self, plan: Plan, done: int, remaining: int) -> Plan:
        """The rest of `plan` after `done` stages, respaced to `remaining` stages.

        It starts at exactly the level reached and ends where `plan` ends. `plan` may come from any
        sampler that `same_levels_as` holds for, whatever its model predicts. ValueError for a fixed
        schedule, or if `remaining` is not between 1 and the stages left.
        """

    def same_levels_as(self, other: Sampler) -> bool:
        """Whether latents can go from `other`'s plans to this sampler's, and be re-planned here.

        They can if both have one name, hence one scaling of the latents and one kind of step, and
        the same cumulative alphas. A fixed schedule takes no latents and gives none.
        """
        return (
            self.name == other.name
            and not self.fixed_schedule
            and np.array_equal(self._cumulative, other._cumulative)
        )

    def _new_library(self, steps: int | None = None) -> Any:
        """A fresh object of the library's class, scheduled for `steps` if they are given.

        ValueError for what that class itself refuses.
        """
        try:
            library = self.library.from_config(self._config, **self._overrides())
            if steps is not None:
                library.set_timesteps(steps)
        except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ValueError(
                f"The library makes no sampler {self.name!r} from this scheduler config ({reason});"
                f" correct {_FILE}."
            ) from error
        return library

    def _overrides(self) -> Mapping[str, Any]:
        """Settings to take instead of the config's."""
        return {}

    def _prepare(self, library: Any) -> None:
        """Whatever plans need beside the settings and the cumulative alphas."""
        return

    def _plan(self, steps: int) -> Plan:
        """The plan of a whole run of `steps`; ValueError if the model has no such schedule.

        It has exactly `steps` stages. The library's trailing spacing has one more for some counts
        (61 of 1000, for one), by a rounding error, and asks the model at timestep -1: left out.
        """
        if not 1 <= steps <= self.steps_max:
            raise ValueError(
                f"steps must be between 1 and {self.steps_max} with sampler {self.name!r}, got "
                f"{steps}."
            )
        library = self._new_library(steps)
        timesteps = [float(t) for t in library.timesteps]
        if timesteps[-1] < 0:
            del timesteps[-1]
        if len(timesteps) != steps:
            raise self._no_schedule(steps)
        return self._whole_plan(library, timesteps)

    def _no_schedule(self, steps: int) -> ValueError:
        spacing = self._settings["timestep_spacing"]
        return ValueError(
            f"Sampler {self.name!r} has no {steps} levels to step to with timestep_spacing "
            f"{spacing!r} and the other settings of {_FILE}; ask for another number of steps or "
            "change them."
        )

    def _check_replan(self, plan: Plan, done: int, remaining: int) -> None:
        left = len(plan) - done
        if not 0 <= done < len(plan) or not 1 <= remaining <= left:
            raise ValueError(
                f"A plan of {len(plan)} steps with {done} done can be re-planned to between 1 and "
                f"{max(left, 0)} steps, not {remaining}."
            )

    def _refuse_unknown_settings(self) -> None:
        known = _known_settings() | settings_of(self.library)
        strange = sorted(
            key for key in self._config if not key.startswith("_") and key not in known
        )
        if strange:
            raise ValueError(
                f"Sampler {self.name!r} knows no setting {', '.join(strange)}; correct or remove "
                f"it in {_FILE}."
            )

    def _refuse_values(self) -> None:
        # Those that their own class took by default the library leaves to the new class's default.
        defaulted = self._config.get("_use_default_values", ())
        given = {key: value for key, value in self._config.items() if key not in defaulted}
        prediction = given.get("prediction_type", "epsilon")
        if prediction not in self.predictions:
            raise ValueError(
                f"Sampler {self.name!r} handles models that predict "
                f"{', '.join(self.predictions)}, not {prediction!r}; name another sampler."
            )
        for key in self.only.keys() & given.keys():
            value, fine = given[key], self.only[key]
            if value in (*fine, *self.aliases.get(key, ())) or (value is None and False in fine):
                continue
            said = _SAID.get(key, f"{key} {value!r}")
            shown = " or ".join(json.dumps(one) for one in fine)
            raise ValueError(
                f"Sampler {self.name!r} does not follow {said}; set {key} to {shown} in {_FILE}, "
                "or name another sampler."
            )

    def _refuse_combinations(self, config: Mapping[str, Any]) -> None:
        """ValueError for settings of the library's object that do not go together."""
        return

    def _check_schedule(self) -> None:
        alphas = self._cumulative
        if len(alphas) != self._settings["num_train_timesteps"]:
            raise ValueError(
                f"trained_betas has {len(alphas)} values where num_train_timesteps is "
                f"{self._settings['num_train_timesteps']}; make them equal in {_FILE}."
            )
        if not np.isfinite(alphas).all() or alphas.max() >= 1 or alphas.min() < 0:
            raise ValueError(
                "The betas must lie between 0 and 1, far enough from both for float32; correct "
                f"beta_start, beta_end or trained_betas in {_FILE}."
            )


def settings_of(library: Any) -> frozenset[str]:
    """The names of a diffusers class's settings."""
    parameters = inspect.signature(library).parameters.values()
    return frozenset(one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD)


@cache
def _known_settings() -> frozenset[str]:
    """The settings of all classes whose configs the library makes into one another.

    EDMEulerScheduler is among them by name, but its preconditioning is another model's.
    """
    names = {kind.name for kind in KarrasDiffusionSchedulers} - {"EDMEulerScheduler"}
    names |= {"LCMScheduler", "TCDScheduler"}
    return frozenset[str]().union(*(settings_of(getattr(diffusers, name)) for name in names))


def respaced(times: Sequence[float], remaining: int) -> list[float]:
    """`remaining` times spread over the same course as `times`, starting at the first of them.

    The course is read at equal shares of its steps, so whatever spacing the sampler chose (even,
    Karras, ...) keeps its shape. Both lists leave the last level, zero, to the caller.
    """
    positions = np.arange(remaining) * (len(times) / remaining)
    return [float(t) for t in np.interp(positions, np.arange(len(times)), times)]


def rounded(time: float) -> float:
    """The nearest whole training time, halves upwards."""
    return float(math.floor(time + 0.5))


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
            f"rescale_betas_zero_snr to false in {_FILE}."
        )
    return 1 / root, -rest / root


def sigma_of(alpha: float) -> float:
    """The noise level sqrt((1 - a) / a) of a cumulative alpha; infinity for pure noise."""
    return math.inf if alpha == 0 else math.sqrt((1 - alpha) / alpha)
