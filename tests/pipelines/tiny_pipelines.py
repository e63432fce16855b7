"""Tiny Stable Diffusion pipelines with random weights, saved to a folder and loaded from there."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from pipelines.jobs import PictureRequest
from policies.nouns import Ladder, Rung, Service

library: Any = diffusers  # its classes are untyped
POSITIONS = 32
SIZE = 16
LADDER = Ladder(
    (
        Rung("full", 12, "high"),
        Rung("full", 6, "medium"),
        Rung("full", 4, "low"),
        Rung("turbo", 4, "low", replannable=False),
    )
)


UNREAD = "zq"
"""A word that a tokenizer may know and its text encoder has no embedding for."""


def save_tokenizer(folder: Path, *, unread: bool = False) -> CLIPTokenizer:
    """Letters, their word-final forms, and one merge; everything else is unknown. `unread`: also a
    word whose token is the last."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [*string.ascii_lowercase, ","]
    words = [*letters, *(letter + "</w>" for letter in letters), "re", "red</w>"]
    words += ["<|startoftext|>", "<|endoftext|>", *([f"{UNREAD}</w>"] if unread else [])]
    vocabulary = {word: index for index, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    merges = "#version: 0.2\nr e\nre d</w>\n" + ("z q</w>\n" if unread else "")
    (folder / "merges.txt").write_text(merges)
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=POSITIONS
    )


def text_config(tokenizer: CLIPTokenizer, width: int, *, unread: bool = False) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer) - unread,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def make_unet(text_width: int, **extra: Any) -> Any:
    settings = {"sample_size": SIZE // 2, "in_channels": 4, "out_channels": 4} | extra
    unet = library.UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=text_width,
        attention_head_dim=4,
        norm_num_groups=8,
        **settings,
    )
    # A fresh model hardly answers; a strong one lets a wrong row, text or timestep be seen.
    with torch.no_grad():
        unet.conv_out.weight.mul_(4)
    return unet


def make_autoencoder() -> Any:
    return library.AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE,
    )


def noise_settings(prediction: str) -> dict[str, Any]:
    return {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": prediction,
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    }


def save_pipeline(
    folder: Path,
    prediction: str = "v_prediction",
    *,
    distilled: bool = False,
    unread: bool = False,
    unet: dict[str, Any] | None = None,
) -> Path:
    """A whole SD 1.x-like pipeline folder, the same weights every time. `unread`: its text encoder
    fails on the word UNREAD."""
    torch.manual_seed(7)
    tokenizer = save_tokenizer(folder / "words", unread=unread)
    settings = noise_settings(prediction)
    pipeline = library.StableDiffusionPipeline(
        vae=make_autoencoder(),
        text_encoder=CLIPTextModel(text_config(tokenizer, 32, unread=unread)),
        tokenizer=tokenizer,
        unet=make_unet(32, **(unet or {})),
        scheduler=library.LCMScheduler(**settings)
        if distilled
        else library.DDIMScheduler(**settings),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def save_xl_pipeline(folder: Path, prediction: str = "epsilon") -> Path:
    """A whole SDXL-like pipeline folder: two text encoders and added conditions."""
    torch.manual_seed(8)
    tokenizer = save_tokenizer(folder / "words")
    unet = make_unet(
        64,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
    )
    pipeline = library.StableDiffusionXLPipeline(
        vae=make_autoencoder(),
        text_encoder=CLIPTextModel(text_config(tokenizer, 32)),
        text_encoder_2=CLIPTextModelWithProjection(text_config(tokenizer, 32)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=library.DDIMScheduler(**noise_settings(prediction)),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def request(job_id: str = "job", **changes: Any) -> PictureRequest:
    """A request with sensible defaults: twelve guided steps of `full`, any rung accepted."""
    values: dict[str, Any] = {
        "prompt": "a red circle",
        "service": Service("full", 12, 0),
        "seed": 11,
        "width": SIZE,
        "height": SIZE,
        "guidance_scale": 5.0,
        "floor": LADDER.last,
    }
    return PictureRequest(job_id=job_id, **(values | changes))
