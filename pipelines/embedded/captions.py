"""Scenes to captions in varied wording and order, and captions back to what they ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.embedded.scenes import COLOURS, SHAPES, Item, Scene

SIZE_WORDS: Mapping[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "large": ("large", "big", "huge"),
}
PLACE_WORDS: Mapping[str, tuple[str, ...]] = {
    "left": ("on the left", "at left", "at the left"),
    "right": ("on the right", "at right", "at the right"),
    "top": ("at the top", "at top", "on top"),
    "bottom": ("at the bottom", "at bottom"),
    "centre": ("in the centre", "in the middle", "at the center"),
}
_POSITION_OF_WORD = {
    "left": "left",
    "right": "right",
    "top": "top",
    "bottom": "bottom",
} | dict.fromkeys(("centre", "center", "middle"), "centre")
_SIZE_OF_WORD = {word: size for size, words in SIZE_WORDS.items() for word in words}
PLAIN_SHARE = 0.1  # captions that leave an attribute unsaid, so that "a red circle" works too


def compose(scene: Scene, rng: np.random.Generator) -> str:
    """One caption for the scene, its wording, order and completeness drawn from `rng`."""
    plain = rng.random() < PLAIN_SHARE
    items = [_item_phrase(item, rng, plain=plain) for item in scene.items]
    if len(items) == 2 and rng.random() < 0.5:
        items.reverse()
    things = " and ".join(items)
    if plain and rng.random() < 0.5:
        return things
    background = f"{scene.background} background"
    article = rng.random() < 0.5
    match rng.integers(4):
        case 0:
            return f"{things}, {background}"
        case 1:
            return f"{things} on a {background}"
        case 2:
            return f"{'a ' if article else ''}{background} with {things}"
        case _:
            return f"{'on a ' if article else ''}{background}, {things}"


def _item_phrase(item: Item, rng: np.random.Generator, *, plain: bool) -> str:
    size = SIZE_WORDS[item.size][rng.integers(len(SIZE_WORDS[item.size]))]
    place = PLACE_WORDS[item.position][rng.integers(len(PLACE_WORDS[item.position]))]
    say_size = not plain or rng.random() < 0.5
    say_place = not plain or rng.random() < 0.5
    words = f"{size + ' ' if say_size else ''}{item.colour} {item.shape}"
    article = "an" if words[0] in "aeiou" else "a"
    return f"{article} {words}{' ' + place if say_place else ''}"


def vocabulary() -> list[str]:
    """Every word and mark that `compose` can write, in a fixed order."""
    phrases = [
        *COLOURS,
        *SHAPES,
        *_SIZE_OF_WORD,
        *(phrase for phrases in PLACE_WORDS.values() for phrase in phrases),
    ]
    phrases.append("a an and background on with ,")
    return sorted({word for phrase in phrases for word in phrase.split()})


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caption asks of one item; None where it leaves the choice open."""

    shape: str
    colour: str | None
    size: str | None
    position: str | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a caption asks for: its items in the order they are named, and the background, None if unsaid."""

    items: tuple[Wish, ...]
    background: str | None


def read(caption: str) -> Reading:
    """Read a caption of the kind `compose` writes. Words that mean nothing here are passed over.

    Raises ValueError when no shape is named.
    """
    background = None
    text = caption.lower()
    match = re.search(rf"({'|'.join(COLOURS)}) background", text)
    if match:
        background = match.group(1)
        text = text[: match.start()] + " , " + text[match.end() :]
    wishes: list[Wish] = []
    open_attributes: dict[str, str] = {}
    for word in re.findall(r"[a-z]+", text):
        if word in COLOURS:
            open_attributes["colour"] = word
        elif word in _SIZE_OF_WORD:
            open_attributes["size"] = _SIZE_OF_WORD[word]
        elif word in SHAPES:
            wishes.append(
                Wish(word, open_attributes.get("colour"), open_attributes.get("size"), None)
            )
            open_attributes = {}
        elif word in _POSITION_OF_WORD and wishes:
            last = wishes[-1]
            wishes[-1] = Wish(last.shape, last.colour, last.size, _POSITION_OF_WORD[word])
    if not wishes:
        raise ValueError(
            f"The caption {caption!r} names no shape; name one of {', '.join(SHAPES)}."
        )
    return Reading(tuple(wishes), background)
