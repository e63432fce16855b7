"""Scenes to pictures: anti-aliased shapes from signed distances, with jitter in colour, size and place.

A shape is the set where its signed distance is negative; coverage of a pixel falls linearly over one pixel across the edge,
which is the usual analytic anti-aliasing. All pictures of a batch are drawn at once with numpy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.embedded.scenes import COLOURS, PICTURE_PX, POSITIONS, SIZES, Scene

Floats = NDArray[np.float32]

COLOUR_JITTER = 9.0  # of 255, uniform on either side
SIZE_JITTER = 0.08  # share of the radius
PLACE_JITTER_PX = 1.5
_WINDOW_PX = (
    36  # the largest shape with its jitter fits in: only this much around an item is computed
)


def draw(scenes: Sequence[Scene], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a batch: (N, 64, 64, 3) uint8 RGB."""
    pictures = np.empty((len(scenes), PICTURE_PX, PICTURE_PX, 3), np.float32)
    pictures[:] = _jittered([scene.background for scene in scenes], rng)[:, None, None, :]
    for slot in range(max(len(scene.items) for scene in scenes)):
        chosen = np.array([index for index, scene in enumerate(scenes) if len(scene.items) > slot])
        items = [scenes[index].items[slot] for index in chosen]
        radius = np.array([SIZES[item.size] for item in items], np.float32)
        radius *= 1 + rng.uniform(-SIZE_JITTER, SIZE_JITTER, len(items)).astype(np.float32)
        centre = np.array([POSITIONS[item.position] for item in items], np.float32)
        centre += rng.uniform(-PLACE_JITTER_PX, PLACE_JITTER_PX, centre.shape).astype(np.float32)
        corner = np.clip(np.rint(centre).astype(int) - _WINDOW_PX // 2, 0, PICTURE_PX - _WINDOW_PX)
        coverage = _coverage([item.shape for item in items], centre - corner, radius)[..., None]
        colour = _jittered([item.colour for item in items], rng)[:, None, None, :]
        window = np.arange(_WINDOW_PX)
        place = (
            chosen[:, None, None],
            (corner[:, 1, None] + window)[:, :, None],
            (corner[:, 0, None] + window)[:, None, :],
        )
        pictures[place] += coverage * (colour - pictures[place])
    return np.clip(np.rint(pictures), 0, 255).astype(np.uint8)


def _jittered(names: Sequence[str], rng: np.random.Generator) -> Floats:
    colours = np.array([COLOURS[name] for name in names], np.float32)
    return np.clip(
        colours + rng.uniform(-COLOUR_JITTER, COLOUR_JITTER, colours.shape), 0, 255
    ).astype(np.float32)


def _coverage(shapes: Sequence[str], centre: Floats, radius: Floats) -> Floats:
    """Share of every pixel of a window inside the shape: (N, 36, 36) in 0..1; `centre` is relative to the window."""
    axis = np.arange(_WINDOW_PX, dtype=np.float32) + 0.5
    distance = np.empty((len(shapes), _WINDOW_PX, _WINDOW_PX), np.float32)
    names = np.array(shapes)
    for name in set(shapes):
        chosen = names == name
        x = (axis[None, None, :] - centre[chosen, 0, None, None]).astype(np.float32)
        y = (axis[None, :, None] - centre[chosen, 1, None, None]).astype(np.float32)
        distance[chosen] = _DISTANCES[name](x, y, radius[chosen])
    return np.clip(0.5 - distance, 0, 1)


def _circle(x: Floats, y: Floats, radius: Floats) -> Floats:
    return np.sqrt(x * x + y * y) - 0.9 * radius[:, None, None]


def _ring(x: Floats, y: Floats, radius: Floats) -> Floats:
    return (
        np.abs(np.sqrt(x * x + y * y) - 0.72 * radius[:, None, None]) - 0.2 * radius[:, None, None]
    )


def _square(x: Floats, y: Floats, radius: Floats) -> Floats:
    return np.maximum(np.abs(x), np.abs(y)) - 0.8 * radius[:, None, None]


def _cross(x: Floats, y: Floats, radius: Floats) -> Floats:
    arm, width = 0.95 * radius[:, None, None], 0.3 * radius[:, None, None]
    upright = np.maximum(np.abs(x) - width, np.abs(y) - arm)
    level = np.maximum(np.abs(x) - arm, np.abs(y) - width)
    return np.minimum(upright, level)


def _triangle(x: Floats, y: Floats, radius: Floats) -> Floats:
    y = y - 0.15 * radius[:, None, None]  # the centroid sits low: lift it to the middle of its box
    corners = [
        (float(np.sin(angle)), float(-np.cos(angle))) for angle in np.arange(3) * 2 * np.pi / 3
    ]
    return _polygon(x, y, radius, corners)


def _star(x: Floats, y: Floats, radius: Floats) -> Floats:
    corners = []
    for index in range(10):
        reach, angle = (1.05 if index % 2 == 0 else 0.44), index * np.pi / 5
        corners.append((float(reach * np.sin(angle)), float(-reach * np.cos(angle))))
    return _polygon(x, y, radius, corners)


def _polygon(x: Floats, y: Floats, radius: Floats, corners: list[tuple[float, float]]) -> Floats:
    """Signed distance to a polygon with corners in units of the radius: nearest edge, sign by the crossing rule."""
    scale = radius[:, None, None]
    nearest = np.full((len(radius), _WINDOW_PX, _WINDOW_PX), np.inf, np.float32)
    inside = np.zeros(nearest.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        px, py = x - ax * scale, y - ay * scale
        ex, ey = (bx - ax) * scale, (by - ay) * scale
        along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, (px - along * ex) ** 2 + (py - along * ey) ** 2)
        crosses = (ay * scale > y) != (by * scale > y)
        inside ^= crosses & (px < ex * py / np.where(ey == 0, 1, ey))
    return np.where(inside, -1, 1).astype(np.float32) * np.sqrt(nearest)


_DISTANCES = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}
