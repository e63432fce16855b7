"""Training of `full` and `small`: velocity prediction on encoded drawings, captions dropped now and then for guidance."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from pipelines.embedded.captions import compose
from pipelines.embedded.drawing import draw
from pipelines.embedded.judge import to_tensor
from pipelines.embedded.networks import (
    BETA_END,
    BETA_START,
    TIMESTEPS,
    full_unet,
    small_unet,
)
from pipelines.embedded.scenes import Scene, random_scene
from pipelines.embedded.training.language import tokens
from pipelines.embedded.training.loop import Draw, Recipe, train

PICTURES = 49_152
PICTURES_SEED = 21
FULL_RECIPE = Recipe(steps=4_500, batch=64, learning_rate=2e-3, seed=22)
SMALL_RECIPE = Recipe(steps=8_500, batch=64, learning_rate=2e-3, seed=23)
UNCONDITIONAL_SHARE = 0.1
_DRAWN_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Encoded:
    """The training set of the denoisers: scenes and their scaled latents (N, 12, 8, 8)."""

    scenes: Sequence[Scene]
    latents: Tensor

    def batch(self, rng: Draw, size: int) -> tuple[list[str], Tensor]:
        """A batch with freshly worded captions, some of them empty: (captions, latents (size, 12, 8, 8) float32)."""
        chosen = rng.numpy.integers(len(self.scenes), size=size)
        captions = [compose(self.scenes[index], rng.numpy) for index in chosen]
        dropped = rng.numpy.random(size) < UNCONDITIONAL_SHARE
        return [
            "" if drop else caption for caption, drop in zip(captions, dropped, strict=True)
        ], self.latents[chosen].float()


def encode_pictures(vae: AutoencoderKL, folder: Path, device: torch.device) -> Encoded:
    """Draw the training pictures and encode them once; the latents are kept in `folder`."""
    rng = np.random.default_rng(PICTURES_SEED)
    scenes = [random_scene(rng) for _ in range(PICTURES)]
    path = folder / "latents.safetensors"
    if not path.exists():
        chunks = []
        with torch.inference_mode():
            for start in track(range(0, PICTURES, _DRAWN_AT_ONCE), description="encoding pictures"):
                pictures = to_tensor(draw(scenes[start : start + _DRAWN_AT_ONCE], rng), device)
                chunks.append(
                    (vae.encode(pictures).latent_dist.mean * vae.config.scaling_factor).half().cpu()
                )
        save_file({"latents": torch.cat(chunks)}, path)
    return Encoded(scenes, load_file(path)["latents"])


@functools.cache
def alphas_cumprod(device: torch.device) -> Tensor:
    """The noise schedule's cumulated alphas, (1000,): beta_t is the square of a straight line (Stable Diffusion's choice)."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TIMESTEPS, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float().to(device)


def train_full(
    tokenizer: CLIPTokenizer,
    text: CLIPTextModel,
    encoded: Encoded,
    folder: Path,
    device: torch.device,
) -> UNet2DConditionModel:
    """Train the reference denoiser. The text encoder stays as it is, here and below."""
    return _train("full", FULL_RECIPE, full_unet, tokenizer, text, encoded, folder, device)


def train_small(
    tokenizer: CLIPTokenizer,
    text: CLIPTextModel,
    encoded: Encoded,
    folder: Path,
    device: torch.device,
) -> UNet2DConditionModel:
    """Train the small denoiser the same way."""
    return _train("small", SMALL_RECIPE, small_unet, tokenizer, text, encoded, folder, device)


def _train(
    name: str,
    recipe: Recipe,
    network: Callable[[], UNet2DConditionModel],
    tokenizer: CLIPTokenizer,
    text: CLIPTextModel,
    encoded: Encoded,
    folder: Path,
    device: torch.device,
) -> UNet2DConditionModel:
    torch.manual_seed(recipe.seed)
    unet = network().to(device)
    loss = _VelocityLoss(tokenizer, text, unet, encoded, recipe.batch, device)
    train(name, recipe, {"unet": unet}, loss, folder)
    return unet


@dataclass(frozen=True, slots=True)
class _VelocityLoss:
    """Mean squared error of the velocity (Salimans & Ho 2022, arXiv 2202.00512) at a uniformly drawn timestep."""

    tokenizer: CLIPTokenizer
    text: CLIPTextModel
    unet: UNet2DConditionModel
    encoded: Encoded
    batch: int
    device: torch.device

    def __call__(self, rng: Draw) -> Tensor:
        captions, latents = self.encoded.batch(rng, self.batch)
        latents = latents.to(self.device)
        noise = torch.randn(latents.shape, generator=rng.torch).to(self.device)
        timesteps = torch.randint(TIMESTEPS, (self.batch,), generator=rng.torch).to(self.device)
        kept = alphas_cumprod(self.device)[timesteps][:, None, None, None]
        noisy = kept.sqrt() * latents + (1 - kept).sqrt() * noise
        velocity = kept.sqrt() * noise - (1 - kept).sqrt() * latents
        with torch.autocast(self.device.type, torch.bfloat16):
            with torch.no_grad():
                context = self.text(tokens(self.tokenizer, captions, self.device)).last_hidden_state
            predicted = self.unet(noisy, timesteps, context).sample
        return F.mse_loss(predicted.float(), velocity)
