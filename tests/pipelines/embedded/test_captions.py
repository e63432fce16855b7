"""Captions: varied wording, always readable back, every word known to the tokenizer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.embedded.captions import compose, read, vocabulary
from pipelines.embedded.scenes import random_scene
from pipelines.embedded.tokenizer import MAX_TOKENS, build_tokenizer


@given(st.integers(0, 2**32))
def test_whatever_is_composed_reads_back_as_its_scene(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng)
    reading = read(compose(scene, rng))
    left = list(scene.items)
    for wish in reading.items:
        match = next(
            item
            for item in left
            if item.shape == wish.shape
            and item.colour == wish.colour
            and wish.size in (None, item.size)
            and wish.position in (None, item.position)
        )
        left.remove(match)
    assert not left
    assert reading.background in (None, scene.background)


@pytest.mark.parametrize(
    "caption",
    [
        "a large red circle on the left, blue background",
        "blue background with a big red circle at left",
    ],
)
def test_two_wordings_of_one_scene_read_alike(caption: str) -> None:
    reading = read(caption)
    (wish,) = reading.items
    assert (wish.shape, wish.colour, wish.size, wish.position) == ("circle", "red", "large", "left")
    assert reading.background == "blue"


def test_a_caption_without_a_shape_is_refused_with_the_shapes_to_name() -> None:
    with pytest.raises(ValueError, match="names no shape; name one of circle"):
        read("a friendly dog")


def test_every_word_is_one_token_and_unknown_words_are_spelled(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(vocabulary(), tmp_path)
    rng = np.random.default_rng(0)
    for _ in range(200):
        caption = compose(random_scene(rng), rng)
        ids = tokenizer(caption).input_ids
        assert len(ids) == 2 + len(re.findall(r"[a-z]+|,", caption)) <= MAX_TOKENS
    assert len(tokenizer("a zebra ☃ quux").input_ids) > 8
    assert (
        tokenizer.decode(tokenizer("a zebra").input_ids, skip_special_tokens=True).strip()
        == "a zebra"
    )
