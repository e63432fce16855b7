"""How good pictures are: prompt accuracy as the judge reads it, FID and KID against drawn pictures.

Accuracy is reported per attribute and per category (one object, two objects), as GenEval does (Ghosh et al. 2023,
arXiv 2310.11513), with the trained judge in the detector's place. FID and KID come from torchmetrics on the judge's features:
they compare runs of this project with each other and with nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from pipelines.embedded.captions import Reading, Wish, compose, read
from pipelines.embedded.judge import FEATURES_OUT, Judge, to_tensor
from pipelines.embedded.scenes import Item, Scene, random_scene

Pictures = NDArray[np.uint8]
ATTRIBUTES = ("shape", "colour", "size", "position", "background", "count")
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares in 0..1 over `pictures` pictures: right per attribute, and with every attribute right."""

    pictures: int
    attributes: Mapping[str, float]
    all_right: float

    @property
    def mean_attribute(self) -> float:
        """Mean over the attributes that the captions asked for."""
        return float(np.mean(list(self.attributes.values())))


def score(asked: Reading, seen: Scene) -> dict[str, bool]:
    """Which attributes of the caption the picture has; attributes that the caption leaves open are not in the answer.

    An item is looked for at the place asked for; if nothing stands there its place is wrong and it is compared with what
    stands elsewhere, so that a misplaced red circle is still a red circle.
    """
    right = {"count": len(asked.items) == len(seen.items)}
    if asked.background is not None:
        right["background"] = seen.background == asked.background
    left = list(seen.items)
    for wish in sorted(asked.items, key=lambda wish: wish.position is None):
        item = _matching(wish, left)
        if item is not None:
            left.remove(item)
        for attribute in ("shape", "colour", "size", "position"):
            wanted = getattr(wish, attribute)
            if wanted is not None:
                hit = item is not None and getattr(item, attribute) == wanted
                right[attribute] = right.get(attribute, True) and hit
    return right


def _matching(wish: Wish, items: Sequence[Item]) -> Item | None:
    def likeness(item: Item) -> tuple[bool, int]:
        pairs = ((item.shape, wish.shape), (item.colour, wish.colour), (item.size, wish.size))
        return item.position == wish.position, sum(have == want for have, want in pairs)

    return max(items, key=likeness, default=None)


def accuracy(prompts: Sequence[str], scenes: Sequence[Scene]) -> Accuracy:
    """Accuracy of what the judge saw against what the prompts asked for. Raises ValueError for a prompt naming no shape."""
    scores = [score(read(prompt), scene) for prompt, scene in zip(prompts, scenes, strict=True)]
    asked = {name: [one[name] for one in scores if name in one] for name in ATTRIBUTES}
    return Accuracy(
        pictures=len(scores),
        attributes={name: float(np.mean(hits)) for name, hits in asked.items() if hits},
        all_right=float(np.mean([all(one.values()) for one in scores])),
    )


def unseen_prompts(count: int, seed: int, *, items: int) -> list[str]:
    """Fully worded captions of held-out scenes with `items` shapes: no caption of these scenes was ever trained on."""
    rng = np.random.default_rng(seed)
    prompts: list[str] = []
    while len(prompts) < count:
        prompt = compose(random_scene(rng, held_out=True, items=items), rng)
        asked = read(prompt)
        if asked.background and all(wish.size and wish.position for wish in asked.items):
            prompts.append(prompt)
    return prompts


def judged(judge: Judge, pictures: Pictures) -> list[Scene]:
    """What the judge sees in (N, 64, 64, 3) uint8 pictures."""
    return [scene for chunk in _chunks(pictures) for scene in judge.scenes(to_tensor(chunk))]


def distances(judge: Judge, pictures: Pictures, drawn: Pictures, seed: int) -> dict[str, float]:
    """FID, and KID's mean and deviation, of pictures against drawn ones, on the judge's features.

    The drawn ones should show the same kinds of scenes in the same numbers, or that difference is measured too.
    """
    fid = FrechetInceptionDistance(feature=_Features(judge))
    kid = KernelInceptionDistance(feature=_Features(judge), subset_size=min(100, len(pictures)))
    torch.manual_seed(seed)  # KID draws its subsets from torch's global generator
    for chunk, real in [
        *((one, False) for one in _chunks(pictures)),
        *((one, True) for one in _chunks(drawn)),
    ]:
        tensor = torch.from_numpy(chunk).permute(0, 3, 1, 2)
        fid.update(tensor, real=real)
        kid.update(tensor, real=real)
    mean, deviation = kid.compute()
    return {"fid": float(fid.compute()), "kid": float(mean), "kid_deviation": float(deviation)}


class _Features(nn.Module):
    """The judge's features of uint8 pictures, in the form torchmetrics expects."""

    num_features = FEATURES_OUT

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.judge = judge

    def forward(self, pictures: Tensor) -> Tensor:
        return self.judge.features(pictures.float().div(127.5).sub(1))


def generate(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    steps: int,
    guidance_scale: float,
) -> Pictures:
    """Pictures (N, H, W, 3) from the library's own pipeline call, one CPU generator a seed."""
    pipeline.set_progress_bar_config(disable=True)
    done = []
    for start in range(0, len(prompts), _BATCH):
        generators = [
            torch.Generator("cpu").manual_seed(seed) for seed in seeds[start : start + _BATCH]
        ]
        output = pipeline(
            list(prompts[start : start + _BATCH]),
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=generators,
            output_type="np",
        )
        done.append(np.rint(output.images * 255).astype(np.uint8))
    return np.concatenate(done)


def load_plain(folder: Path | str) -> StableDiffusionPipeline:
    """The folder's pipeline as the library loads it, in float32 and without a network."""
    return StableDiffusionPipeline.from_pretrained(
        folder, safety_checker=None, local_files_only=True
    )


def _chunks(pictures: Pictures) -> list[Pictures]:
    return [pictures[start : start + 256] for start in range(0, len(pictures), 256)]
