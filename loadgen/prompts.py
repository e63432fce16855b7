"""Prompts for a run: a text file, one prompt a line, and a seeded order to send them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

DEFAULT_PROMPTS = Path(__file__).with_name("prompts.txt")


def read_prompts(path: Path) -> tuple[str, ...]:
    """The file's non-empty lines, stripped. Raises ValueError, one sentence, if there are none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(
            f"cannot read prompts from {path} ({reason}): "
            "name a text file with one prompt a line with --prompts."
        ) from error
    prompts = tuple(line.strip() for line in lines if line.strip())
    if not prompts:
        raise ValueError(f"{path} holds no prompts: write one a line, or name another file.")
    return prompts


def prompt_order(available: int, count: int, seed: int) -> list[int]:
    """Which prompt request i sends: shuffles of all prompts, one after another, by seed.

    Every prompt is used once before any is used again, so short runs vary as much as they can.
    """
    rng = np.random.default_rng([seed, 1])
    order: list[int] = []
    while len(order) < count:
        order.extend(int(index) for index in rng.permutation(available))
    return order[:count]
