"""Measures of pictures: SSIM is the library's, and what is worse is farther away."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from pipelines.embedded.drawing import draw
from pipelines.embedded.judge import Judge
from pipelines.embedded.scenes import random_scene
from pipelines.quality import Pictures
from pipelines.quality_study.measures import (
    Drawings,
    feature_distances,
    features_of,
    similarity,
)


def drawn(count: int, seed: int) -> Pictures:
    rng = np.random.default_rng(seed)
    return draw([random_scene(rng) for _ in range(count)], rng)


def noisy(pictures: Pictures, spread: float) -> Pictures:
    noise = np.random.default_rng(9).normal(0, spread, pictures.shape)
    return np.clip(pictures + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def judge() -> Judge:
    torch.manual_seed(0)
    return Judge().eval().requires_grad_(False)


def test_ssim_is_torchmetrics_in_double_precision() -> None:
    pictures, others = drawn(4, 1), noisy(drawn(4, 1), 20)
    pair = [torch.from_numpy(one).permute(0, 3, 1, 2).double() / 255 for one in (pictures, others)]
    theirs = structural_similarity_index_measure(*pair, data_range=1.0, reduction="none")
    assert similarity(pictures, others) == pytest.approx(np.asarray(theirs), abs=1e-10)


def test_a_pictures_ssim_with_itself_is_one() -> None:
    pictures = drawn(20, 2)
    assert similarity(pictures, pictures) == pytest.approx(1.0, abs=1e-9)


def test_feature_distance_is_nothing_to_itself_and_grows_with_noise(judge: Judge) -> None:
    pictures = drawn(20, 3)
    plain, little, much = (
        features_of(judge, one) for one in (pictures, noisy(pictures, 10), noisy(pictures, 60))
    )
    assert np.all(feature_distances(plain, plain) == 0)
    assert np.all(feature_distances(much, plain) > feature_distances(little, plain))


def test_fid_and_kid_grow_when_pictures_get_worse(judge: Judge) -> None:
    drawings = Drawings(features_of(judge, drawn(150, 4)))
    alike = features_of(judge, drawn(150, 5))
    worse = features_of(judge, noisy(drawn(150, 5), 60))
    assert drawings.fid(worse) > 2 * drawings.fid(alike)
    assert drawings.kid(worse) > drawings.kid(alike)
    assert drawings.fid(drawings.features) == pytest.approx(0, abs=1e-3)


def test_kid_does_not_depend_on_the_features_scale(judge: Judge) -> None:
    some, others = features_of(judge, drawn(60, 6)), features_of(judge, drawn(60, 7))
    assert Drawings(7 * some).kid(7 * others) == pytest.approx(Drawings(some).kid(others))


def test_the_drawings_are_as_many_of_each_category_and_repeat(judge: Judge) -> None:
    once, again = (Drawings.of_held_out_scenes(judge, 12, 8) for _ in range(2))
    assert once.features.shape == (24, 128)
    assert torch.equal(once.features, again.features)
