"""What goes into the engine and what comes out of it, as plain data without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from policies.nouns import Service

Picture = npt.NDArray[np.uint8]
"""Pixels, uint8 of shape (height, width, 3)."""

EarlyExit = Literal["none", "replan", "finish", "hand_over", "converged"]
FailureKind = Literal["out_of_memory", "not_a_number", "error"]
PARTIALS_MAX = 3


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """One picture to make, with the service it was granted.

    guidance_scale and sampler None mean the variant's own. guidance_rescale (0 to 1) pulls the
    guided output back to the spread of the prompted one. `floor` is the lowest acceptable rung as a
    ladder index; `fixed` forbids early exits that the load asks for, `pinned` only a change of
    variant. `converge` lets the job end once its clean estimate stands still. `partials` (0 to 3) asks for that many intermediate
    pictures, spread evenly over the plan. `alone`: run in calls of its own, because it was in a
    call that broke an engine.
    """

    job_id: str
    prompt: str
    service: Service
    seed: int
    width: int
    height: int
    negative_prompt: str = ""
    guidance_scale: float | None = None
    guidance_rescale: float = 0.0
    sampler: str | None = None
    floor: int = 0
    fixed: bool = False
    pinned: bool = False
    converge: bool = False
    partials: int = 0
    alone: bool = False


class InvalidRequest(ValueError):
    """The engine could never make this picture: one sentence about the parameter named `param`."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message, param)
        self.param = param

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What a finished job got.

    `variant` is the one that ran the last step. steps_planned is the first plan, steps_run what was
    really visited, guided_steps how many of those ran with guidance. early_exit is the last that
    happened. Times are seconds on the engine's clock, from the boundary that took the job in to the
    end of its decoding.
    """

    variant: str
    sampler: str
    guidance_scale: float
    guidance_rescale: float
    seed: int
    steps_planned: int
    steps_run: int
    guided_steps: int
    early_exit: EarlyExit
    rung_admitted: int
    rung_delivered: int
    started_s: float
    ended_s: float


@dataclass(frozen=True, slots=True)
class StepDone:
    """A job has run `steps_run` of the `steps_planned` steps of its present plan."""

    job_id: str
    steps_run: int
    steps_planned: int


@dataclass(frozen=True, slots=True)
class PartialPicture:
    """The decoded clean estimate of a running job; `index` counts from 0."""

    job_id: str
    index: int
    image: Picture


@dataclass(frozen=True, slots=True)
class PictureDone:
    """The finished picture. The job has left the batch."""

    job_id: str
    image: Picture
    facts: PictureFacts


@dataclass(frozen=True, slots=True)
class PictureFailed:
    """The job has left the batch without a picture; `message` is one sentence for the client."""

    job_id: str
    message: str
    kind: FailureKind


@dataclass(frozen=True, slots=True)
class BatchLimit:
    """At most `limit` jobs share a call of this stage ("encode" of 0x0, "step" or "decode"), because
    memory ran out."""

    variant: str
    width: int
    height: int
    stage: str
    limit: int


EngineEvent = StepDone | PartialPicture | PictureDone | PictureFailed
