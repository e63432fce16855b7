"""From a folder or a hub id to a variant that the engine can step.

Any folder that `StableDiffusionPipeline.from_pretrained` or `StableDiffusionXLPipeline`'s loads is
a variant. Weights are read from safetensors only, and the safety checker is not loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
from pipelines.execution import Denoiser, Execution
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
    """

    name: str
    pipeline: Any
    dtype: str
    sampler: str
    steps: int
    guidance_scale: float
    fixed_schedule: bool
    guided: bool
    encoder: Encoder
    decoder: Decoder
    denoiser: Denoiser
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
    def device(self) -> torch.device:
        """Where the weights are."""
        return torch.device(self.pipeline.device)

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
) -> Variant:
    """Load a pipeline folder or hub id.

    dtype is float32, bfloat16 or float16; device as torch names it. Without `sampler` the folder's
    own is taken. A guidance scale of at most 1 on a model with a fixed schedule switches guidance
    off for good. `fixed_schedule` defaults to whether the sampler is the few-step one; set it for
    models distilled for other samplers (SD-Turbo). `weights` picks a file variant such as "fp16".
    LoadError, a ValueError in one sentence, for anything that stops this.
    """
    if dtype not in DTYPES:
        raise LoadError(f"Variant {name!r}: dtype must be {', '.join(DTYPES)}, not {dtype!r}.")
    family = _family(name, source)
    if Path(source).is_dir():
        _check_folder(name, Path(source), family)
    pipeline = _read(name, source, family, DTYPES[dtype], weights)
    _check_model(name, pipeline)
    try:
        pipeline.to(device)
    except (RuntimeError, AssertionError) as error:
        raise LoadError(f"Variant {name!r}: device {device!r} is not usable: {error}") from error
    _settle(pipeline)
    sampler_name = sampler or _own_sampler(name, pipeline)
    try:
        made = make_sampler(sampler_name, pipeline.scheduler.config)
        decoder = Decoder(pipeline.vae)
        encoder = Encoder(pipeline, embeddings_kept)
    except ValueError as error:
        raise LoadError(f"Variant {name!r}: {error}") from error
    fixed = made.fixed_schedule if fixed_schedule is None else fixed_schedule
    if guidance_scale is None:
        guidance_scale = 1.0 if fixed else DEFAULT_GUIDANCE
    return Variant(
        name=name,
        pipeline=pipeline,
        dtype=dtype,
        sampler=sampler_name,
        steps=steps or (4 if fixed else DEFAULT_STEPS),
        guidance_scale=guidance_scale,
        fixed_schedule=fixed,
        guided=not (fixed and guidance_scale <= 1),
        encoder=encoder,
        decoder=decoder,
        denoiser=Denoiser(pipeline.unet, execution),
        _samplers={sampler_name: made},
    )


def hide_loading_bars() -> None:
    """Keep the libraries' progress bars for loading off this process's stderr."""
    quiet: tuple[Any, ...] = (diffusers_logging, transformers_logging)  # partly untyped
    for library_logging in quiet:
        library_logging.disable_progress_bar()


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


def _check_folder(name: str, folder: Path, family: str) -> None:
    parts = ["unet", "vae", "text_encoder"]
    if family == "StableDiffusionXLPipeline":
        parts.append("text_encoder_2")
    for part in parts:
        if not any((folder / part).glob("*.safetensors")):
            raise LoadError(
                f"Variant {name!r}: {folder / part} holds no .safetensors weights; put the "
                "weights there or name another folder."
            )


def _read(
    name: str, source: str | Path, family: str, dtype: torch.dtype, weights: str | None
) -> Any:
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "variant": weights}
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


def _settle(pipeline: Any) -> None:
    """Inference only, and an autoencoder that overflows in half precision kept in single."""
    pipeline.set_progress_bar_config(disable=True)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
            part.requires_grad_(False)
    if pipeline.vae.dtype == torch.float16 and getattr(pipeline.vae.config, "force_upcast", False):
        pipeline.vae.to(torch.float32)


def _own_sampler(name: str, pipeline: Any) -> str:
    own = type(pipeline.scheduler).__name__
    if own not in NAME_OF_LIBRARY_CLASS:
        raise LoadError(
            f"Variant {name!r}: its own sampler {own} is not one the engine steps; name one of "
            f"{', '.join(SAMPLERS)}."
        )
    return NAME_OF_LIBRARY_CLASS[own]
