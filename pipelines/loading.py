"""From a folder or a hub id to a variant that the engine can step.

Any folder that `StableDiffusionPipeline.from_pretrained` or `StableDiffusionXLPipeline`'s loads is
a variant. Weights are read from safetensors only, unless pickled ones are allowed by name, and the
safety checker is not loaded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from pipelines.decoding import Decoder
from pipelines.encoding import EMBEDDINGS_KEPT, Encoder
from pipelines.execution import Denoiser, Execution, check_execution
from pipelines.placement import (
    Offload,
    check_dtype,
    check_offload,
    execution_device,
    place,
    settle_networks,
)
from pipelines.quantisation import Quantisation, check_quantisation, quantise
from pipelines.samplers import NAME_OF_LIBRARY_CLASS, SAMPLERS, Sampler, make_sampler

DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_CLASSES: Mapping[str, Any] = {
    "StableDiffusionPipeline": StableDiffusionPipeline,
    "StableDiffusionXLPipeline": StableDiffusionXLPipeline,
}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
EAGER = Execution()
DEFAULT_STEPS = 25
DEFAULT_GUIDANCE = 7.5
SIZE_MULTIPLE = 8  # the library's own rule for width and height, whatever the autoencoder's factor


class LoadError(ValueError):
    """A variant cannot be loaded; the message is one sentence that says what to change."""


@dataclass(frozen=True)
class Variant:
    """A loaded pipeline with the defaults it is served with.

    `fixed_schedule`: distilled for a few fixed levels; it keeps its own sampler and is never
    re-planned. `guided` False: distilled without guidance; a client's guidance scale is ignored.
    `device` is where the networks run, wherever their weights lie: with `offload` "model" only one
    of them is there at a time, so one thread must do all the calling. `autoencoder_digest` tells
    autoencoders with other weights apart.
    """

    name: str
    pipeline: Any
    dtype: str
    device: torch.device
    offload: Offload
    quantisation: Quantisation
    sampler: str
    steps: int
    guidance_scale: float
    fixed_schedule: bool
    guided: bool
    encoder: Encoder
    decoder: Decoder
    denoiser: Denoiser
    autoencoder_digest: str
    _samplers: dict[str, Sampler] = field(default_factory=dict, repr=False)

    @property
    def unet(self) -> Any:
        """The denoising model."""
        return self.pipeline.unet

    @property
    def execution(self) -> Execution:
        """How the model is called."""
        return self.denoiser.execution

    def rows_for(self, rows: int) -> int:
        """How many rows to call the model with when `rows` are wanted; ValueError if too many."""
        return self.denoiser.rows_for(rows)

    @property
    def is_xl(self) -> bool:
        """Whether the model also wants pooled text and picture sizes, as SDXL does."""
        return hasattr(self.pipeline, "text_encoder_2")

    @property
    def latent_factor(self) -> int:
        """Pixels per latent, along each side."""
        return int(self.pipeline.vae_scale_factor)

    @property
    def size_multiple(self) -> int:
        """Width and height must be multiples of this."""
        return max(SIZE_MULTIPLE, self.latent_factor)

    @property
    def native_size(self) -> int:
        """The side in pixels that the model was trained at."""
        return int(self.unet.config.sample_size) * self.latent_factor

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(1, channels, height, width) of one picture's latents."""
        factor = self.latent_factor
        return (1, int(self.unet.config.in_channels), height // factor, width // factor)

    def check_size(self, width: int, height: int) -> None:
        """ValueError if the autoencoder cannot make a picture of this size."""
        multiple = self.size_multiple
        if min(width, height) < multiple or width % multiple or height % multiple:
            raise ValueError(
                f"Width and height must be multiples of {multiple} for variant {self.name!r}, got "
                f"{width}x{height}."
            )

    def sampler_for(self, name: str | None) -> Sampler:
        """The sampler of that name (None: the variant's own) with this model's settings.

        A variant with a fixed schedule keeps its own. ValueError for an unknown name, or for the
        few-step sampler on a model that was not distilled for it.
        """
        chosen = self.sampler if name is None or self.fixed_schedule else name
        if name is not None and name not in SAMPLERS:
            raise ValueError(f"Sampler {name!r} is unknown; use one of {', '.join(SAMPLERS)}.")
        if chosen not in self._samplers:
            sampler = make_sampler(chosen, self.pipeline.scheduler.config)
            if sampler.fixed_schedule and not self.fixed_schedule:
                raise ValueError(
                    f"Sampler {chosen!r} needs a distilled model, and variant {self.name!r} is not."
                )
            self._samplers[chosen] = sampler
        return self._samplers[chosen]


def load_variant(
    name: str,
    source: str | Path,
    *,
    dtype: str = "float32",
    device: str = "cpu",
    sampler: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    fixed_schedule: bool | None = None,
    weights: str | None = None,
    embeddings_kept: int = EMBEDDINGS_KEPT,
    execution: Execution = EAGER,
    offload: Offload = "none",
    quantisation: Quantisation = "none",
    allow_pickled_weights: bool = False,
) -> Variant:
    """Load a pipeline folder or hub id.

    dtype is float32, bfloat16 or float16; device as torch names it. Without `sampler` the folder's
    own is taken. A guidance scale of at most 1 on a model with a fixed schedule switches guidance
    off for good. `fixed_schedule` defaults to whether the sampler is the few-step one; set it for
    models distilled for other samplers (SD-Turbo). `weights` picks a file variant such as "fp16".
    `execution`, `offload` and `quantisation`: see pipelines.execution, .placement, .quantisation.
    Pickled weights can run code while they are read: allow them only from who you trust.
    LoadError, a ValueError in one sentence, for anything that stops this.
    """
    with _naming(name):
        number, target = _checked(dtype, device, execution, offload, quantisation)
    family = _family(name, source)
    if Path(source).is_dir():
        _check_folder(name, Path(source), family, allow_pickled_weights)
    pipeline = _read(name, source, family, number, weights, allow_pickled_weights)
    _check_model(name, pipeline)
    sampler_name = sampler or _own_sampler(name, pipeline)
    digest = _digest(pipeline.vae)
    with _naming(name):
        made = make_sampler(sampler_name, pipeline.scheduler.config)
        fixed = made.fixed_schedule if fixed_schedule is None else fixed_schedule
        steps = (4 if fixed else DEFAULT_STEPS) if steps is None else steps
        made.plan(steps)  # too many for the model's training are refused here
        _prepare(pipeline, target, execution, offload, quantisation)
        decoder = Decoder(pipeline.vae)
        encoder = Encoder(pipeline, target, embeddings_kept)
        denoiser = Denoiser(pipeline.unet, execution, quantised=quantisation != "none")
    if guidance_scale is None:
        guidance_scale = 1.0 if fixed else DEFAULT_GUIDANCE
    return Variant(
        name=name,
        pipeline=pipeline,
        dtype=dtype,
        device=target,
        offload=offload,
        quantisation=quantisation,
        sampler=sampler_name,
        steps=steps,
        guidance_scale=guidance_scale,
        fixed_schedule=fixed,
        guided=not (fixed and guidance_scale <= 1),
        encoder=encoder,
        decoder=decoder,
        denoiser=denoiser,
        autoencoder_digest=digest,
        _samplers={sampler_name: made},
    )


def variants_share_latents(a: Variant, b: Variant) -> bool:
    """Whether a half-denoised picture of one variant can go on in the other.

    Their autoencoders must have the same weights and scaling, and their noise schedules the same
    cumulative alphas; neither may be distilled for a fixed schedule. What the models predict, and
    their texts, may differ.
    """
    if a.fixed_schedule or b.fixed_schedule or a.autoencoder_digest != b.autoencoder_digest:
        return False
    ours, theirs = (variant.pipeline.scheduler.alphas_cumprod.cpu() for variant in (a, b))
    return ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=1e-6, atol=0.0)


def hide_loading_bars() -> None:
    """Keep the libraries' progress bars for loading off this process's stderr."""
    quiet: tuple[Any, ...] = (diffusers_logging, transformers_logging)  # partly untyped
    for library_logging in quiet:
        library_logging.disable_progress_bar()


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Say which variant a complaint is about."""
    try:
        yield
    except ValueError as error:
        raise LoadError(f"Variant {name!r}: {error}") from error


def _checked(
    dtype: str, device: str, execution: Execution, offload: str, quantisation: str
) -> tuple[torch.dtype, torch.device]:
    """What can be refused before anything is read; ValueError for it."""
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be {', '.join(DTYPES)}, not {dtype!r}.")
    number, target = DTYPES[dtype], execution_device(device)
    check_dtype(number, target)
    check_execution(execution, target)
    compiled, quantised = execution.compile, quantisation != "none"
    check_offload(offload, compiled=compiled != "none", quantised=quantised)
    check_quantisation(quantisation, number, target, compiled=compiled == "inductor")
    return number, target


def _family(name: str, source: str | Path) -> str:
    """The pipeline class named in the folder's model_index.json."""
    if not Path(source).is_dir() and not _HUB_ID.fullmatch(str(source)):
        raise LoadError(
            f"Variant {name!r}: there is no folder {source}; give a pipeline folder or a hub id "
            "such as owner/model."
        )
    try:
        family = str(DiffusionPipeline.load_config(str(source)).get("_class_name"))
    except (OSError, ValueError) as error:
        raise LoadError(
            f"Variant {name!r}: {source} has no readable model_index.json; give the folder (or hub "
            "id) of a whole diffusers pipeline."
        ) from error
    if family not in _CLASSES:
        raise LoadError(
            f"Variant {name!r}: {source} is a {family}; the engine runs {' and '.join(_CLASSES)}."
        )
    return family


def _check_folder(name: str, folder: Path, family: str, allow_pickled: bool) -> None:
    parts = ["unet", "vae", "text_encoder"]
    if family == "StableDiffusionXLPipeline":
        parts.append("text_encoder_2")
    for part in parts:
        pickled = any((folder / part).glob("*.bin"))
        if any((folder / part).glob("*.safetensors")) or (pickled and allow_pickled):
            continue
        if pickled:
            raise LoadError(
                f"Variant {name!r}: {folder / part} holds no .safetensors weights but pickled "
                "ones, which can run code while they are read; convert them, or allow pickled "
                "weights if you trust where they come from."
            )
        raise LoadError(
            f"Variant {name!r}: {folder / part} holds no .safetensors weights; put the weights "
            "there or name another folder."
        )


def _read(
    name: str,
    source: str | Path,
    family: str,
    dtype: torch.dtype,
    weights: str | None,
    allow_pickled: bool,
) -> Any:
    options: dict[str, Any] = {"dtype": dtype, "variant": weights}
    options["use_safetensors"] = None if allow_pickled else True  # None: pickled if need be
    if family == "StableDiffusionPipeline":
        options |= {
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }
    try:
        return _CLASSES[family].from_pretrained(str(source), **options)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise LoadError(
            f"Variant {name!r} cannot be loaded from {source}: {reason}; check that the folder is "
            "complete and its weights are safetensors."
        ) from error


def _check_model(name: str, pipeline: Any) -> None:
    config = pipeline.unet.config
    if config.time_cond_proj_dim is not None:
        raise LoadError(
            f"Variant {name!r}: models with an embedded guidance scale (time_cond_proj_dim) are "
            "not handled; use one distilled without guidance."
        )
    if config.in_channels != config.out_channels:
        raise LoadError(
            f"Variant {name!r}: the model takes {config.in_channels} channels and gives "
            f"{config.out_channels}; inpainting and editing models are not handled."
        )
    positions = pipeline.text_encoder.config.max_position_embeddings
    if pipeline.tokenizer.model_max_length > positions:
        raise LoadError(
            f"Variant {name!r}: set model_max_length to {positions} in tokenizer_config.json, the "
            "number of positions that its text encoder has."
        )


def _prepare(
    pipeline: Any,
    device: torch.device,
    execution: Execution,
    offload: Offload,
    quantisation: Quantisation,
) -> None:
    """Settle the networks, quantise and place them; ValueError if they do not fit."""
    pipeline.set_progress_bar_config(disable=True)
    settle_networks(pipeline, channels_last=execution.channels_last)
    if pipeline.vae.dtype == torch.float16 and getattr(pipeline.vae.config, "force_upcast", False):
        pipeline.vae.to(torch.float32)  # it overflows in half precision
    try:
        if quantisation != "none":
            pipeline.unet.to(device)  # where it is quicker, and where float8 is known
            quantise(pipeline.unet, quantisation)
        place(pipeline, device, offload)
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"it does not fit into the memory of {device}; set offload to 'model' or 'layers', "
            "quantise it, or use a half-precision dtype."
        ) from error


def _digest(autoencoder: Any) -> str:
    """A hash of an autoencoder's weights and of how its latents are scaled."""
    config = autoencoder.config
    scaling = f"{config.scaling_factor} {getattr(config, 'shift_factor', None)}"
    digest = hashlib.blake2b(scaling.encode(), digest_size=16)
    for name, tensor in sorted(autoencoder.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _own_sampler(name: str, pipeline: Any) -> str:
    own = type(pipeline.scheduler).__name__
    if own not in NAME_OF_LIBRARY_CLASS:
        raise LoadError(
            f"Variant {name!r}: its own sampler {own} is not one the engine steps; name one of "
            f"{', '.join(SAMPLERS)}."
        )
    return NAME_OF_LIBRARY_CLASS[own]
