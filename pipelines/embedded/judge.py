"""The judge: a small convolutional network that reads shape, colour, size, position and background off a picture.

It is trained on drawn pictures alone and never meets the generator. For each of the five positions it says what stands there
(nothing or a shape), in which colour and size; its pooled features serve as the feature space of FID and KID.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.embedded.scenes import COLOURS, POSITIONS, SHAPES, SIZES, Item, Scene

WEIGHTS = Path(__file__).parent / "weights" / "judge" / "model.safetensors"
FEATURES = 96
FEATURES_OUT = 128
_NOTHING = len(SHAPES)
PER_POSITION = (len(SHAPES) + 1, len(COLOURS), len(SIZES))


@dataclass(frozen=True, slots=True)
class JudgeOutput:
    """Logits: shape (B, 5, 7), colour (B, 5, 8), size (B, 5, 2), background (B, 8)."""

    shape: Tensor
    colour: Tensor
    size: Tensor
    background: Tensor


class Judge(nn.Module):
    """Reads pictures given as (B, 3, 64, 64) floats in -1..1."""

    def __init__(self) -> None:
        super().__init__()
        widths = (24, 48, 96, FEATURES)
        blocks: list[nn.Module] = [
            nn.Conv2d(3, widths[0], 5, stride=2, padding=2),
            nn.GroupNorm(8, widths[0]),
            nn.SiLU(),
        ]
        for before, after in pairwise(widths):
            blocks += [
                nn.Conv2d(before, after, 3, padding=1),
                nn.GroupNorm(8, after),
                nn.SiLU(),
                nn.MaxPool2d(2),
            ]
        self.trunk = nn.Sequential(*blocks)  # (B, 96, 4, 4)
        self.read = nn.Sequential(nn.Flatten(), nn.Linear(FEATURES * 16, FEATURES_OUT), nn.SiLU())
        self.items = nn.Linear(FEATURES_OUT, len(POSITIONS) * sum(PER_POSITION))
        self.background = nn.Linear(FEATURES_OUT, len(COLOURS))

    def forward(self, pictures: Tensor) -> JudgeOutput:
        """Read a batch of pictures."""
        hidden = self.read(self.trunk(pictures))
        items = self.items(hidden).unflatten(1, (len(POSITIONS), sum(PER_POSITION)))
        shape, colour, size = items.split(PER_POSITION, dim=2)
        return JudgeOutput(shape, colour, size, self.background(hidden))

    def features(self, pictures: Tensor) -> Tensor:
        """Features for FID and KID: (B, 128)."""
        features: Tensor = self.read(self.trunk(pictures))
        return features

    @torch.inference_mode()
    def scenes(self, pictures: Tensor) -> list[Scene]:
        """What stands in each picture, as the judge reads it; items in `POSITIONS` order, possibly none."""
        output = self(pictures)
        shapes, colours = output.shape.argmax(2).tolist(), output.colour.argmax(2).tolist()
        sizes, backgrounds = output.size.argmax(2).tolist(), output.background.argmax(1).tolist()
        names, positions = (list(COLOURS), list(SIZES)), list(POSITIONS)
        return [
            Scene(
                items=tuple(
                    Item(SHAPES[shape], names[0][colour], names[1][size], position)
                    for position, shape, colour, size in zip(positions, *picture, strict=True)
                    if shape != _NOTHING
                ),
                background=names[0][background],
            )
            for *picture, background in zip(shapes, colours, sizes, backgrounds, strict=True)
        ]


def targets(scenes: Sequence[Scene]) -> Tensor:
    """Class indices: (B, 5, 3) for shape, colour, size by position, -100 where there is nothing to say; and (B,) backgrounds.

    Returned as one (B, 16) tensor: the 15 of the items, then the background.
    """
    rows = []
    for scene in scenes:
        by_position = {item.position: item for item in scene.items}
        row: list[int] = []
        for position in POSITIONS:
            item = by_position.get(position)
            if item is None:
                row += [_NOTHING, -100, -100]
            else:
                row += [
                    SHAPES.index(item.shape),
                    list(COLOURS).index(item.colour),
                    list(SIZES).index(item.size),
                ]
        rows.append([*row, list(COLOURS).index(scene.background)])
    return torch.tensor(rows)


def to_tensor(pictures: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """(N, H, W, 3) bytes to (N, 3, H, W) floats in -1..1, as the judge and the autoencoder take them."""
    moved = torch.from_numpy(pictures).to(device)
    return moved.permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()


def load_judge(path: Path = WEIGHTS) -> Judge:
    """The trained judge, ready to read. Raises FileNotFoundError naming the command that makes the weights."""
    if not path.exists():
        raise FileNotFoundError(
            f"The judge's weights are missing at {path}; run `make train` to make them."
        )
    judge = Judge()
    judge.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return judge.eval().requires_grad_(False)
