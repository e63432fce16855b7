"""Training of the judge and of the autoencoder, both on freshly drawn pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from pipelines.embedded.drawing import draw
from pipelines.embedded.judge import Judge, targets, to_tensor
from pipelines.embedded.networks import autoencoder
from pipelines.embedded.scenes import PICTURE_PX, POSITIONS, Scene, random_scene
from pipelines.embedded.training.loop import Draw, Recipe, train

Pictures = NDArray[np.uint8]

JUDGE_RECIPE = Recipe(steps=2000, batch=64, learning_rate=2e-3, seed=11)
CROPS_RECIPE = Recipe(steps=4000, batch=32, learning_rate=2e-3, seed=12, weight_decay=0.0)
AUTOENCODER_RECIPE = Recipe(steps=1500, batch=16, learning_rate=1e-3, seed=13, weight_decay=0.0)
CROP_PX = 32
KL_WEIGHT = 1e-5
SQUARED_WEIGHT, ABSOLUTE_WEIGHT = 3.0, 0.3


def train_judge(folder: Path, device: torch.device) -> Judge:
    """Train the judge; blur, noise and shifts of contrast teach it to read pictures that are not drawn quite cleanly."""
    torch.manual_seed(JUDGE_RECIPE.seed)
    judge = Judge().to(device)

    def batch_loss(rng: Draw) -> Tensor:
        scenes = [random_scene(rng.numpy) for _ in range(JUDGE_RECIPE.batch)]
        pictures = _roughened(to_tensor(draw(scenes, rng.numpy), device), rng)
        wanted = targets(scenes).to(device)
        items = wanted[:, :-1].unflatten(1, (-1, 3))
        output = judge(pictures)
        return (
            F.cross_entropy(output.shape.flatten(0, 1), items[:, :, 0].flatten())
            + F.cross_entropy(output.colour.flatten(0, 1), items[:, :, 1].flatten())
            + F.cross_entropy(output.size.flatten(0, 1), items[:, :, 2].flatten())
            + F.cross_entropy(output.background, wanted[:, -1])
        )

    train("judge", JUDGE_RECIPE, {"judge": judge}, batch_loss, folder)
    return judge


def _roughened(pictures: Tensor, rng: Draw) -> Tensor:
    """Half of the pictures with faint noise, a quarter slightly blurred."""
    count = pictures.shape[0]
    noise = torch.randn(pictures.shape, generator=rng.torch).to(pictures.device)
    strength = 0.06 * torch.rand(count, 1, 1, 1, generator=rng.torch).to(pictures.device)
    pictures = torch.cat([pictures[: count // 2], (pictures + strength * noise)[count // 2 :]])
    blurred = F.avg_pool2d(
        F.pad(pictures[: count // 4], (1, 1, 1, 1), mode="replicate"), 3, stride=1
    )
    return torch.cat([0.5 * pictures[: count // 4] + 0.5 * blurred, pictures[count // 4 :]])


def train_autoencoder(folder: Path, device: torch.device) -> AutoencoderKL:
    """Train the autoencoder on squared and absolute error, with a faint pull of the latents to the normal distribution.

    Most of the steps see crops around a shape, a quarter of a picture each: four times cheaper, and not mostly background. The
    last ones see whole pictures, on whose statistics group normalisation will work. (Absolute error alone was tried first: it
    settles on the background's colour and forgets the shapes.)
    """
    torch.manual_seed(CROPS_RECIPE.seed)
    vae = autoencoder().to(device)

    def crops_loss(rng: Draw) -> Tensor:
        scenes = [random_scene(rng.numpy) for _ in range(CROPS_RECIPE.batch)]
        return _autoencoding_loss(
            vae, to_tensor(_crops(scenes, draw(scenes, rng.numpy), rng.numpy), device), rng
        )

    def pictures_loss(rng: Draw) -> Tensor:
        scenes = [random_scene(rng.numpy) for _ in range(AUTOENCODER_RECIPE.batch)]
        return _autoencoding_loss(vae, to_tensor(draw(scenes, rng.numpy), device), rng)

    train("autoencoder_crops", CROPS_RECIPE, {"autoencoder": vae}, crops_loss, folder)
    vae.requires_grad_(True)
    train("autoencoder", AUTOENCODER_RECIPE, {"autoencoder": vae}, pictures_loss, folder)
    vae.register_to_config(scaling_factor=_scaling_factor(vae, device))
    return vae


def _autoencoding_loss(vae: AutoencoderKL, pictures: Tensor, rng: Draw) -> Tensor:
    with torch.autocast(pictures.device.type, torch.bfloat16):
        posterior = vae.encode(pictures).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=rng.torch).to(pictures.device)
        decoded = vae.decode(posterior.mean + posterior.std * noise).sample
    kl = (
        0.5
        * (
            posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()
        ).mean()
    )
    error = decoded.float() - pictures
    return (
        SQUARED_WEIGHT * (error**2).mean() + ABSOLUTE_WEIGHT * error.abs().mean() + KL_WEIGHT * kl
    )


def _crops(scenes: Sequence[Scene], pictures: Pictures, rng: np.random.Generator) -> Pictures:
    """One crop a picture, (N, 32, 32, 3), around one of its shapes but seldom in the middle of it."""
    crops = []
    for scene, picture in zip(scenes, pictures, strict=True):
        centre = POSITIONS[scene.items[rng.integers(len(scene.items))].position]
        middle = np.array(centre) + rng.uniform(-14, 14, 2)
        left, top = np.clip(np.rint(middle - CROP_PX / 2).astype(int), 0, PICTURE_PX - CROP_PX)
        crops.append(picture[top : top + CROP_PX, left : left + CROP_PX])
    return np.stack(crops)


@torch.inference_mode()
def _scaling_factor(vae: AutoencoderKL, device: torch.device) -> float:
    """One over the standard deviation of the latents of 1,024 drawn pictures, as Stable Diffusion defines it."""
    rng = np.random.default_rng(AUTOENCODER_RECIPE.seed)
    latents = [
        vae.encode(
            to_tensor(draw([random_scene(rng) for _ in range(64)], rng), device)
        ).latent_dist.mean
        for _ in range(16)
    ]
    return float(1 / torch.cat(latents).std())
