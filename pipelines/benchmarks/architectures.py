"""The architectures of Stable Diffusion 1.5 and SDXL as data, and pipelines of them with random weights.

Speed does not depend on the weights, so nothing is downloaded. The numbers are those of the
published configs (stable-diffusion-v1-5, stable-diffusion-xl-base-1.0); a test holds the parameter
counts against the published ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from pipelines.embedded.captions import vocabulary
from pipelines.embedded.tokenizer import build_tokenizer

library: Any = diffusers  # its classes are untyped
Settings = Mapping[str, Any]
POSITIONS = 77
VOCABULARY = 49408
LATENT_FACTOR = 8

_CROSS_DOWN, _DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
_CROSS_UP, _UP = "CrossAttnUpBlock2D", "UpBlock2D"
_NOISE: Settings = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


@dataclass(frozen=True)
class Architecture:
    """A model family: the settings of its networks, as their config.json files hold them.

    `texts` are one or two text encoders; with two it is SDXL's. `vae` settings leave out what is
    the class's default.
    """

    name: str
    title: str
    unet: Settings
    vae: Settings
    texts: tuple[Settings, ...]

    @property
    def is_xl(self) -> bool:
        """Whether the model wants pooled texts and picture sizes as well."""
        return len(self.texts) == 2


def _autoencoder(widths: tuple[int, ...], **extra: Any) -> Settings:
    blocks = len(widths)
    return {
        "block_out_channels": widths,
        "down_block_types": ("DownEncoderBlock2D",) * blocks,
        "up_block_types": ("UpDecoderBlock2D",) * blocks,
        "layers_per_block": 2,
        "latent_channels": 4,
        **extra,
    }


def _text(width: int, layers: int, heads: int, **extra: Any) -> Settings:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "projection_dim": width,
        "max_position_embeddings": POSITIONS,
        "vocab_size": VOCABULARY,
        **extra,
    }


_VIT_L = _text(768, 12, 12, hidden_act="quick_gelu")

SD15 = Architecture(
    name="sd15",
    title="SD 1.5",
    unet={
        "sample_size": 64,
        "down_block_types": (_CROSS_DOWN, _CROSS_DOWN, _CROSS_DOWN, _DOWN),
        "up_block_types": (_UP, _CROSS_UP, _CROSS_UP, _CROSS_UP),
        "block_out_channels": (320, 640, 1280, 1280),
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    vae=_autoencoder((128, 256, 512, 512), sample_size=512, scaling_factor=0.18215),
    texts=(_VIT_L,),
)
SDXL = Architecture(
    name="sdxl",
    title="SDXL",
    unet={
        "sample_size": 128,
        "down_block_types": (_DOWN, _CROSS_DOWN, _CROSS_DOWN),
        "up_block_types": (_CROSS_UP, _CROSS_UP, _UP),
        "block_out_channels": (320, 640, 1280),
        "layers_per_block": 2,
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "transformer_layers_per_block": (1, 2, 10),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 1280 + 6 * 256,
    },
    vae=_autoencoder((128, 256, 512, 512), sample_size=1024, scaling_factor=0.13025),
    texts=(_VIT_L, _text(1280, 32, 20, hidden_act="gelu")),
)
TINY15 = Architecture(
    name="tiny15",
    title="tiny SD 1.5",
    unet={
        "sample_size": 8,
        "down_block_types": (_CROSS_DOWN, _DOWN),
        "up_block_types": (_UP, _CROSS_UP),
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        "norm_num_groups": 8,
    },
    vae=_autoencoder((8, 8, 16, 16), sample_size=64, norm_num_groups=4),
    texts=(_text(32, 2, 2),),
)
TINYXL = Architecture(
    name="tinyxl",
    title="tiny SDXL",
    unet={
        **TINY15.unet,
        "cross_attention_dim": 64,
        "transformer_layers_per_block": (1, 2),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 32 + 6 * 8,
    },
    vae=TINY15.vae,
    texts=(_text(32, 2, 2), _text(32, 2, 2)),
)
FULL_SIZE: Mapping[str, Architecture] = {one.name: one for one in (SD15, SDXL)}
TINY: Mapping[str, Architecture] = {one.name: one for one in (TINY15, TINYXL)}


def save_random_pipeline(
    architecture: Architecture, folder: Path, *, dtype: torch.dtype, device: str, seed: int
) -> Path:
    """A whole pipeline folder with random weights of `dtype`, made on `device`; returns `folder`.

    Its sampler is Euler's. The tokenizer has the vocabulary of the embedded model's captions, and
    spells other words in pieces.
    """
    torch.manual_seed(seed)
    tokenizer = _tokenizer(folder / "words")
    with torch.device(device), _made_in(dtype):
        unet = library.UNet2DConditionModel(**architecture.unet)
        autoencoder = library.AutoencoderKL(**architecture.vae)
        texts = [
            kind(_text_config(settings, tokenizer))
            for kind, settings in zip(
                (CLIPTextModel, CLIPTextModelWithProjection), architecture.texts, strict=False
            )
        ]
    parts: dict[str, Any] = {
        "vae": autoencoder,
        "text_encoder": texts[0],
        "tokenizer": tokenizer,
        "unet": unet,
        "scheduler": library.EulerDiscreteScheduler(**_NOISE),
    }
    if architecture.is_xl:
        parts |= {"text_encoder_2": texts[1], "tokenizer_2": tokenizer}
        pipeline = library.StableDiffusionXLPipeline(**parts, add_watermarker=False)
    else:
        parts |= {"safety_checker": None, "feature_extractor": None}
        pipeline = library.StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipeline.save_pretrained(folder)
    shutil.rmtree(folder / "words")
    return folder


def unet_flops(architecture: Architecture, rows: int, width: int, height: int) -> int:
    """Floating-point operations of one UNet call, two for each multiplication with its addition.

    Counted by torch on the meta device, for `rows` latents of a picture of `width` x `height`.
    """
    with torch.device("meta"):
        unet = library.UNet2DConditionModel(**architecture.unet).eval()
        inputs = torch.empty(rows, 4, height // LATENT_FACTOR, width // LATENT_FACTOR)
        tokens = torch.empty(rows, POSITIONS, int(architecture.unet["cross_attention_dim"]))
        added = None
        if architecture.is_xl:
            pooled = torch.empty(rows, int(architecture.texts[-1]["projection_dim"]))
            added = {"text_embeds": pooled, "time_ids": torch.empty(rows, 6)}
        counter: Any = FlopCounterMode(display=False)
        with counter, torch.inference_mode():
            unet(
                inputs,
                torch.empty(rows),
                encoder_hidden_states=tokens,
                added_cond_kwargs=added,
            )
    return int(counter.get_total_flops())


@contextmanager
def _made_in(dtype: torch.dtype) -> Iterator[None]:
    """Within it, new parameters have this type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _tokenizer(folder: Path) -> CLIPTokenizer:
    tokenizer = build_tokenizer(vocabulary(), folder)
    tokenizer.model_max_length = POSITIONS
    return tokenizer


def _text_config(settings: Settings, tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    return CLIPTextConfig(
        **settings,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
