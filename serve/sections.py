"""The sections of the configuration file, each with what it may say."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

SECONDS_PER_HOUR = 3600.0

SamplerName = Literal["ddim", "euler", "euler_ancestral", "dpmpp_2m", "unipc", "lcm"]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
ShareAboveNone = Annotated[float, Field(gt=0, le=1)]


def checked_name(value: str) -> str:
    """The name itself; ValueError if it cannot stand in a URL or a metric's label."""
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no name; use letters, digits, dots, dashes, underscores")
    return value


class Section(BaseModel):
    """What all sections have in common: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSection(Section):
    """The model as clients see it. `sizes` are WxH in pixels; the first is the default."""

    id: str
    sizes: Annotated[tuple[str, ...], Field(min_length=1)]
    prompt_chars_max: Count = 1000
    steps_max: Count = 100
    created: Annotated[int, Field(ge=0)] = 1_763_596_800  # unix seconds, for /v1/models

    @field_validator("id")
    @classmethod
    def _id_is_a_name(cls, value: str) -> str:
        return checked_name(value)

    @field_validator("sizes")
    @classmethod
    def _sizes_fit_the_autoencoder(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for size in value:
            match = _SIZE.fullmatch(size)
            if match is None:
                raise ValueError(f"{size!r} is not a size; write WIDTHxHEIGHT, such as 64x64")
            if any(int(side) % 8 for side in match.groups()):
                raise ValueError(f"both sides of {size!r} must be multiples of 8")
        return value


class VariantSection(Section):
    """One loadable pipeline.

    `source` is a folder (relative to this file), `embedded:NAME` for the weights that come with
    the project, or `hub:OWNER/NAME`. `weights` picks among a folder's files, such as fp16;
    `pickled_weights` lets files be read that can run code (only from who you trust). `sampler` and
    `guidance_scale` left out mean what the pipeline itself says. `quantisation` makes the denoising
    model's weights 8 bits wide: int8_weights only to store, int8 and float8 to compute as well.
    """

    source: str
    weights: str | None = None
    pickled_weights: bool = False
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    quantisation: Literal["none", "int8_weights", "int8", "float8"] = "none"
    sampler: SamplerName | None = None
    guidance_scale: Annotated[float, Field(ge=0, le=50)] | None = None
    steps_max: Count | None = None

    @field_validator("source")
    @classmethod
    def _source_is_known(cls, value: str) -> str:
        kind, _, name = value.rpartition(":")
        if kind == "hub" and not _HUB_ID.fullmatch(name):
            raise ValueError(f"{name!r} is not a hub id; write hub:OWNER/NAME")
        return value


class RungSection(Section):
    """One rung of the ladder; `replannable` is false for few-step distilled variants.

    `guidance_share`: the share of the steps, from the first on, that run with guidance. `score` is
    the measured quality of its pictures from 0 to 1, which only policies that weigh quality by
    numbers need; `python -m pipelines ladder` prints it.
    """

    variant: str
    steps: Count
    quality: Literal["low", "medium", "high", "xhigh", "max"]
    replannable: bool = True
    guidance_share: Share = 1.0
    score: Share | None = None


class ConvergenceSection(Section):
    """Early exits for requests that ask to converge, when a picture no longer changes.

    `loss_budget` is the mean loss that this may cost, as the distance of the clean latents to those
    of the whole run, relative to their size. `audited_share` of such requests runs to the end all
    the same, so that the loss is measured.
    """

    loss_budget: Annotated[float, Field(gt=0)]
    audited_share: ShareAboveNone = 0.05


class EarlyExitSection(Section):
    """Early exits that the load has no part in. Without `convergence` no request may ask for it."""

    convergence: ConvergenceSection | None = None


class AutoscalingSection(Section):
    """How many engines a pool has: as many as keep the mean wait at `target_wait_s` by the queueing
    model, within bounds. It starts with the fewest."""

    min_replicas: Count = 1
    max_replicas: Count
    target_wait_s: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> AutoscalingSection:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas {self.min_replicas} is above max_replicas {self.max_replicas};"
                " lower the one or raise the other"
            )
        return self


class PoolSection(Section):
    """Like engines: each of `replicas` processes hosts all `variants` on one `device`.

    `threads` is the number of CPU threads that one engine computes with. `device` is cpu, cuda,
    or auto (cuda where there is one); on cuda each engine takes `gpus` of the machine's. `overlap`
    reads texts and decodes pictures in a second thread, beside the batch.

    `compile` prepares the denoising model for every size and number of rows before the engine is
    ready; `row_buckets` are these numbers (a guided picture is two rows), rising, and powers of two
    if left out. `channels_last` lays convolutions out as tensor cores want them. `offload` keeps
    weights in the machine's memory: model moves one network at a time, layers one layer.

    `costs` is the cost table that `python -m pipelines profile` measured on such an engine, a file
    relative to this one. Policies that predict times need it, and it must hold all `variants` at
    the default size, in their dtype, with these `threads` and this `device`, for batches up to
    `max_batch`. All pools name one, or none does. `price_per_hour` is what an hour of one engine
    costs, in any one currency; policies that weigh prices need it. With `autoscaling` the number of
    engines follows the load.

    An engine closes, and is replaced, when one call takes longer than `call_max_factor` times what a
    step of a full batch should take by its own warm-up, and longer than `call_max_s`; the first call
    of a shape, in which kernels are chosen or compiled, may take any time.
    """

    name: str
    variants: Annotated[tuple[str, ...], Field(min_length=1)]
    replicas: Count = 1
    max_batch: Annotated[int, Field(ge=1, le=256)] = 8
    threads: Count = 1
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    gpus: Annotated[float, Field(gt=0)] = 1.0
    overlap: bool = False
    compile: Literal["none", "inductor", "cuda_graphs"] = "none"
    channels_last: bool = False
    row_buckets: tuple[Count, ...] = ()
    offload: Literal["none", "model", "layers"] = "none"
    costs: str | None = None
    price_per_hour: Annotated[float, Field(ge=0)] | None = None
    call_max_factor: Annotated[float, Field(gt=1)] = 20.0
    call_max_s: Annotated[float, Field(gt=0)] = 5.0
    autoscaling: AutoscalingSection | None = None

    @field_validator("name")
    @classmethod
    def _name_is_a_name(cls, value: str) -> str:
        return checked_name(value)

    @field_validator("row_buckets")
    @classmethod
    def _buckets_rise(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(larger <= smaller for smaller, larger in pairwise(value)):
            raise ValueError("row buckets must rise; sort them and drop repetitions")
        return value

    @property
    def price_per_s(self) -> float:
        """What a second of one engine costs; 0 if nothing is said."""
        return (self.price_per_hour or 0.0) / SECONDS_PER_HOUR

    @model_validator(mode="after")
    def _replicas_are_set_once(self) -> PoolSection:
        if self.autoscaling is not None and "replicas" in self.model_fields_set:
            raise ValueError(
                "autoscaling sets the number of engines; drop replicas, or drop autoscaling"
            )
        return self

    @model_validator(mode="after")
    def _execution_can_be(self) -> PoolSection:
        if self.compile != "none" and self.offload != "none":
            raise ValueError(
                f"compile {self.compile} needs weights that stay in place, and offload"
                f" {self.offload} moves them; set one of the two to none"
            )
        if self.offload == "model" and self.overlap:
            raise ValueError(
                "offload model has one network at a time on the device, and overlap uses two at"
                " once; set overlap to false or offload to layers"
            )
        if self.compile == "cuda_graphs" and self.device == "cpu":
            raise ValueError(
                "compile cuda_graphs needs a CUDA device; set device to cuda, or compile to none"
                " or inductor"
            )
        return self


class ServerSection(Section):
    """Where the server listens, and what it takes."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    body_bytes_max: Count = 1_000_000
    gateways: Count = 1
