"""Scenes: what may be drawn, and what training never sees."""

from __future__ import annotations

import numpy as np

from pipelines.embedded.scenes import COLOURS, OPPOSITES, POSITIONS, SHAPES, SIZES, random_scene


def test_the_world_is_as_rich_as_promised() -> None:
    assert len(COLOURS) >= 8
    assert len(SHAPES) >= 6
    assert len(SIZES) >= 2
    assert len(POSITIONS) >= 5


def test_training_scenes_and_held_out_scenes_never_meet() -> None:
    rng = np.random.default_rng(0)
    training = {random_scene(rng, items=1) for _ in range(20_000)}
    held_out = {random_scene(rng, held_out=True, items=1) for _ in range(2_000)}
    assert not training & held_out
    assert not any(scene.is_held_out() for scene in training)
    assert all(scene.is_held_out() for scene in held_out)


def test_about_one_scene_in_twenty_is_held_out() -> None:
    rng = np.random.default_rng(1)
    every = {
        random_scene(rng, held_out=kind, items=1) for kind in (False, True) for _ in range(5_000)
    }
    share = sum(scene.is_held_out() for scene in every) / len(every)
    assert 0.03 < share < 0.07


def test_items_differ_from_the_background_and_two_stand_opposite_each_other() -> None:
    rng = np.random.default_rng(2)
    for _ in range(500):
        scene = random_scene(rng)
        assert all(item.colour != scene.background for item in scene.items)
        if len(scene.items) == 2:
            assert tuple(item.position for item in scene.items) in OPPOSITES
