"""What the embedded model can draw: one or two coloured shapes on a coloured background.

A `Scene` is the meaning of a caption, without pixels and without wording. About 5 % of the scenes are held out: neither the
generator nor the judge ever sees a picture or a caption of them in training, so a prompt for one tests composition, not recall.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (247, 140, 30),
    "yellow": (250, 220, 50),
    "green": (50, 160, 70),
    "blue": (45, 90, 210),
    "purple": (130, 50, 160),
    "white": (245, 245, 245),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
SIZES: dict[str, float] = {
    "small": 8.0,
    "large": 14.0,
}  # circumscribed radius in pixels of a 64 x 64 picture
POSITIONS: dict[str, tuple[float, float]] = {  # centre (x, y) in pixels
    "left": (16.5, 32.0),
    "right": (47.5, 32.0),
    "top": (32.0, 16.5),
    "bottom": (32.0, 47.5),
    "centre": (32.0, 32.0),
}
OPPOSITES = (("left", "right"), ("top", "bottom"))
PICTURE_PX = 64
HELD_OUT_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Item:
    """One shape of a scene; every field is a key of the tables above."""

    shape: str
    colour: str
    size: str
    position: str


@dataclass(frozen=True, slots=True)
class Scene:
    """One or two items at distinct positions, in `POSITIONS` order, on a background of another colour than theirs."""

    items: tuple[Item, ...]
    background: str

    def is_held_out(self) -> bool:
        """True for the fixed share of scenes kept out of all training: a hash of the meaning decides, not a draw."""
        digest = hashlib.sha256(repr(self).encode()).digest()
        return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def random_scene(
    rng: np.random.Generator, *, held_out: bool = False, items: int | None = None
) -> Scene:
    """Draw a scene uniformly from the training scenes, or from the held-out ones.

    `items` fixes the number of shapes (1 or 2); by default a little more than half of the scenes have two.
    """
    while True:
        count = items or (2 if rng.random() < 0.55 else 1)
        scene = _any_scene(rng, count)
        if scene.is_held_out() == held_out:
            return scene


def _any_scene(rng: np.random.Generator, count: int) -> Scene:
    colours = list(COLOURS)
    background = colours[rng.integers(len(colours))]
    others = [colour for colour in colours if colour != background]
    if count == 1:
        positions: tuple[str, ...] = (list(POSITIONS)[rng.integers(len(POSITIONS))],)
    else:
        positions = OPPOSITES[rng.integers(len(OPPOSITES))]
    items = tuple(
        Item(
            shape=SHAPES[rng.integers(len(SHAPES))],
            colour=others[rng.integers(len(others))],
            size=list(SIZES)[rng.integers(len(SIZES))],
            position=position,
        )
        for position in positions
    )
    return Scene(items=items, background=background)
