"""Drawing: shapes where they belong, in their colour, with soft edges."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.embedded.drawing import COLOUR_JITTER, draw
from pipelines.embedded.scenes import COLOURS, PICTURE_PX, POSITIONS, SHAPES, Item, Scene


def one(shape: str = "square", size: str = "large", position: str = "centre") -> Scene:
    return Scene((Item(shape, "red", size, position),), "white")


def foreground(picture: np.ndarray) -> np.ndarray:
    return np.abs(picture.astype(int) - picture[0, 0].astype(int)).max(axis=-1) > 60


def test_a_batch_is_drawn_as_bytes() -> None:
    pictures = draw([one(), one("ring")], np.random.default_rng(0))
    assert pictures.shape == (2, PICTURE_PX, PICTURE_PX, 3)
    assert pictures.dtype == np.uint8


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_stands_where_its_scene_says(shape: str, position: str) -> None:
    pictures = draw([one(shape, "small", position)] * 8, np.random.default_rng(1))
    for picture in pictures:
        rows, columns = np.nonzero(foreground(picture))
        assert (
            np.hypot(
                columns.mean() + 0.5 - POSITIONS[position][0],
                rows.mean() + 0.5 - POSITIONS[position][1],
            )
            < 4
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_large_shapes_cover_more_than_small_ones(shape: str) -> None:
    rng = np.random.default_rng(2)
    small, large = (
        foreground(draw([one(shape, size)] * 8, rng)).mean() for size in ("small", "large")
    )
    assert large > 2 * small


def test_colours_stay_within_their_jitter_and_edges_are_blended() -> None:
    picture = draw([one("circle")], np.random.default_rng(3))[0].astype(int)
    assert np.abs(picture[32, 32] - COLOURS["red"]).max() <= COLOUR_JITTER + 1
    assert np.abs(picture[0, 0] - COLOURS["white"]).max() <= COLOUR_JITTER + 1
    distances = np.abs(picture - picture[0, 0]).max(axis=-1)
    full = distances[32, 32]
    assert ((distances > 0.1 * full) & (distances < 0.9 * full)).sum() > 10


def test_the_same_generator_draws_the_same_pictures() -> None:
    first, again = (draw([one(), one("star")], np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
