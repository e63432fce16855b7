"""Scores: what counts as right, and distances that grow when pictures get worse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.embedded.captions import read
from pipelines.embedded.drawing import draw
from pipelines.embedded.judge import Judge
from pipelines.embedded.scenes import Item, Scene, random_scene
from pipelines.quality import accuracy, distances, score, unseen_prompts

RED_CIRCLE = Item("circle", "red", "large", "left")
BLUE_STAR = Item("star", "blue", "small", "right")
PROMPT = "a large red circle on the left, green background"


def test_a_picture_as_asked_is_all_right() -> None:
    assert all(score(read(PROMPT), Scene((RED_CIRCLE,), "green")).values())


def test_a_misplaced_item_loses_its_place_and_nothing_else() -> None:
    seen = Scene((Item("circle", "red", "large", "top"),), "green")
    assert [name for name, right in score(read(PROMPT), seen).items() if not right] == ["position"]


def test_an_empty_picture_has_nothing_right_but_its_background() -> None:
    assert [name for name, right in score(read(PROMPT), Scene((), "green")).items() if right] == [
        "background"
    ]


def test_an_extra_item_spoils_the_count() -> None:
    seen = Scene((RED_CIRCLE, BLUE_STAR), "green")
    assert [name for name, right in score(read(PROMPT), seen).items() if not right] == ["count"]


def test_items_are_matched_by_place_whatever_order_they_are_named_in() -> None:
    asked = read("a small blue star at right and a large red circle at left on a green background")
    assert all(score(asked, Scene((RED_CIRCLE, BLUE_STAR), "green")).values())
    swapped = Scene(
        (Item("star", "blue", "small", "left"), Item("circle", "red", "large", "right")), "green"
    )
    assert not all(score(asked, swapped).values())


def test_what_a_prompt_leaves_open_is_not_scored() -> None:
    assert set(score(read("a red circle"), Scene((RED_CIRCLE,), "green"))) == {
        "count",
        "shape",
        "colour",
    }


def test_accuracy_counts_attributes_and_pictures() -> None:
    result = accuracy(
        [PROMPT, PROMPT], [Scene((RED_CIRCLE,), "green"), Scene((BLUE_STAR,), "green")]
    )
    assert result.all_right == 0.5
    assert result.attributes["background"] == 1.0
    assert result.attributes["shape"] == 0.5


def test_unseen_prompts_name_every_attribute_and_repeat_by_seed() -> None:
    prompts = unseen_prompts(30, 3, items=2)
    assert prompts == unseen_prompts(30, 3, items=2)
    for prompt in prompts:
        reading = read(prompt)
        assert reading.background
        assert len(reading.items) == 2
        assert all(wish.colour and wish.size and wish.position for wish in reading.items)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save:UserWarning")
def test_noisy_pictures_are_farther_from_drawn_ones_than_drawn_ones_are() -> None:
    torch.manual_seed(0)
    judge = Judge().eval().requires_grad_(False)
    rng = np.random.default_rng(0)
    drawn = draw([random_scene(rng) for _ in range(200)], rng)
    noisy = np.clip(drawn + rng.normal(0, 60, drawn.shape), 0, 255).astype(np.uint8)
    others = draw([random_scene(rng) for _ in range(200)], rng)
    near, far = distances(judge, drawn, others, 1), distances(judge, noisy, others, 1)
    assert far["fid"] > 2 * near["fid"]
    assert far["kid"] > near["kid"]
