"""Training of the text encoder, before and apart from any denoiser: captions to the scenes they describe.

Stable Diffusion's text encoder was trained on captions and pictures long before its denoiser (CLIP, Radford et al. 2021,
arXiv 2103.00020). Here captions and scenes take that place: from the state of the end mark, or of any padding after it, a linear
map has to tell what stands at each of the five positions, and the background. Learning to read through the denoiser's loss
alone was tried first: after 1,650 steps it knew the background and nothing else of the caption.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from pipelines.embedded.captions import compose
from pipelines.embedded.judge import PER_POSITION, targets
from pipelines.embedded.networks import TEXT_WIDTH, text_encoder
from pipelines.embedded.scenes import COLOURS, POSITIONS, random_scene
from pipelines.embedded.training.loop import Draw, Recipe, train

TEXT_RECIPE = Recipe(steps=3_000, batch=64, learning_rate=1e-3, seed=20)


def tokens(tokenizer: CLIPTokenizer, captions: list[str], device: torch.device) -> Tensor:
    """Token ids, (B, 32), padded and cut as the library's pipeline does it."""
    encoded = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    ids: Tensor = encoded.input_ids
    return ids.to(device)


def train_text(tokenizer: CLIPTokenizer, folder: Path, device: torch.device) -> CLIPTextModel:
    """Train the text encoder; the linear map that reads it is thrown away."""
    torch.manual_seed(TEXT_RECIPE.seed)
    text = text_encoder(tokenizer).to(device)
    reader = nn.Linear(TEXT_WIDTH, len(POSITIONS) * sum(PER_POSITION) + len(COLOURS)).to(device)

    def batch_loss(rng: Draw) -> Tensor:
        scenes = [random_scene(rng.numpy) for _ in range(TEXT_RECIPE.batch)]
        ids = tokens(tokenizer, [compose(scene, rng.numpy) for scene in scenes], device)
        state = text(ids).last_hidden_state
        ends = (ids == tokenizer.eos_token_id).int().argmax(dim=1)
        spread = torch.rand(len(scenes), generator=rng.torch).to(device) * (ids.shape[1] - ends)
        read = reader(state[torch.arange(len(scenes), device=device), ends + spread.long()])
        wanted = targets(scenes).to(device)
        items, background = read.split([read.shape[1] - len(COLOURS), len(COLOURS)], dim=1)
        loss = F.cross_entropy(background, wanted[:, -1])
        logits = items.unflatten(1, (len(POSITIONS), sum(PER_POSITION))).split(PER_POSITION, dim=2)
        for attribute, scores in enumerate(logits):
            classes = wanted[:, :-1].unflatten(1, (-1, len(PER_POSITION)))[:, :, attribute]
            loss = loss + F.cross_entropy(scores.flatten(0, 1), classes.flatten())
        return loss

    train("text", TEXT_RECIPE, {"text": text, "reader": reader}, batch_loss, folder)
    return text
