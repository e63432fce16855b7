"""How good a set of pictures is: each against its prompt and its full picture, all against drawings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from pipelines.embedded.drawing import draw
from pipelines.embedded.judge import FEATURES_OUT, Judge, to_tensor
from pipelines.embedded.scenes import random_scene
from pipelines.quality import Pictures

_CHUNK = 100
_SIGMA, _RADIUS = 1.5, 5  # of SSIM's Gaussian window, in pixels: 11 x 11
_C1, _C2 = 0.01**2, 0.03**2  # SSIM's constants for a range of 1


def features_of(judge: Judge, pictures: Pictures) -> Tensor:
    """The judge's features (N, 128), float64, of (N, H, W, 3) bytes."""
    with torch.inference_mode():
        parts = [judge.features(to_tensor(chunk)) for chunk in _chunks(pictures)]
    return torch.cat(parts).double()


def similarity(pictures: Pictures, full: Pictures) -> NDArray[np.float64]:
    """SSIM (Wang et al. 2004) of each picture with the one of the same row in `full`.

    torchmetrics' structural_similarity_index_measure with its defaults, in double precision: in
    single, even areas lose so much to rounding that a picture's SSIM with itself falls to 0.999,
    and the library's convolution is forty times slower in double than these separable filters.
    """
    x, y = (one.astype(np.float64) / 255 for one in (pictures, full))
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x = np.maximum(_blurred(x * x) - mean_x**2, 0.0)
    variance_y = np.maximum(_blurred(y * y) - mean_y**2, 0.0)
    covariance = _blurred(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return np.asarray((light * structure).mean(axis=(1, 2, 3)))


def _blurred(pictures: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(gaussian_filter(pictures, _SIGMA, mode="mirror", radius=_RADIUS, axes=(1, 2)))


def feature_distances(features: Tensor, full: Tensor) -> NDArray[np.float64]:
    """||f - f_full|| / ||f_full|| of each row of (N, 128)."""
    return np.asarray((features - full).norm(dim=1) / full.norm(dim=1))


@dataclass(frozen=True)
class Drawings:
    """Features (N, 128) of drawn pictures, which FID and KID are taken against."""

    features: Tensor

    @classmethod
    def of_held_out_scenes(cls, judge: Judge, per_category: int, seed: int) -> Drawings:
        """As many drawings of one and of two shapes, of scenes that no training saw."""
        rng = np.random.default_rng(seed)
        scenes = [
            random_scene(rng, held_out=True, items=items)
            for items in (1, 2)
            for _ in range(per_category)
        ]
        return cls(features_of(judge, draw(scenes, rng)))

    def fid(self, features: Tensor) -> float:
        """Frechet distance (Heusel et al. 2017) on the judge's features; grows as pictures become fewer."""
        metric = FrechetInceptionDistance(feature=_AsGiven())
        metric.update(self.features, real=True)
        metric.update(features, real=False)
        return float(metric.compute())

    def kid(self, features: Tensor) -> float:
        """Kernel distance (Binkowski et al. 2018), unbiased, over all pictures at once.

        The features are scaled so that the drawings' have a mean square of 1: the cubic kernel
        would otherwise be a matter of the few pictures with the largest features.
        """
        scale = self.features.square().mean().sqrt()
        return float(poly_mmd(self.features / scale, features / scale))


class _AsGiven(nn.Module):
    """Features that are already taken, in the form torchmetrics expects of a network."""

    num_features = FEATURES_OUT

    def forward(self, features: Tensor) -> Tensor:
        return features


def _chunks(pictures: Pictures) -> list[Pictures]:
    return [pictures[start : start + _CHUNK] for start in range(0, len(pictures), _CHUNK)]
