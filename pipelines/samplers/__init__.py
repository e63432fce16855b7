"""Samplers: how many noise levels a job visits, which ones, and the arithmetic between them.

The levels come from the diffusers class of the same name, made from the pipeline's own scheduler
config, so that a whole run equals the library's. The coefficients are the closed forms of those
classes' `step` methods (see `pipelines.plans` for what they multiply). Re-planning is ours: the
library fixes its levels at the start. On purpose otherwise than the library: DDIM clips only where
a config says so, trailing spacing has exactly the steps asked for, and steps of no length (whole
timesteps that ran out) are of first order, where the library's second order divides by zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.samplers.base import PREDICTIONS, Sampler, respaced
from pipelines.samplers.ddim import Ddim
from pipelines.samplers.dpm_solver import DpmSolver
from pipelines.samplers.euler import Euler, EulerAncestral
from pipelines.samplers.lcm import Lcm
from pipelines.samplers.unipc import UniPc

__all__ = [
    "NAME_OF_LIBRARY_CLASS",
    "PREDICTIONS",
    "SAMPLERS",
    "Sampler",
    "make_sampler",
    "respaced",
]

_KINDS: tuple[type[Sampler], ...] = (Ddim, Euler, EulerAncestral, DpmSolver, UniPc, Lcm)
SAMPLERS: Mapping[str, type[Sampler]] = {kind.name: kind for kind in _KINDS}
NAME_OF_LIBRARY_CLASS: Mapping[str, str] = {kind.library.__name__: kind.name for kind in _KINDS}


def make_sampler(name: str, config: Mapping[str, Any]) -> Sampler:
    """The sampler called `name` with a pipeline's scheduler config; ValueError if unknown."""
    if name not in SAMPLERS:
        raise ValueError(f"Sampler {name!r} is unknown; use one of {', '.join(SAMPLERS)}.")
    return SAMPLERS[name](config)
